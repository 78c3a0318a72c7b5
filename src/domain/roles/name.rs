//! The names of roles.

pub(crate) const ADMIN_ROLE: &str = "admin";

/// Checks a role's name: 1 to 64 characters of `a-z 0-9 _ - . :`.
pub(crate) fn check_role(role: &str) -> Result<(), &'static str> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.:".contains(c);
    if role.is_empty() || role.len() > 64 || !role.chars().all(allowed) {
        return Err("a role is 1 to 64 characters of a-z, 0-9, _, -, . and :");
    }
    Ok(())
}

/// The maximum number of roles of a user: they are in every token.
pub(super) const MAX_ROLES: usize = 32;

pub(crate) fn check_roles(roles: &[String]) -> Result<Vec<String>, &'static str> {
    let mut checked: Vec<String> = Vec::new();
    for role in roles {
        check_role(role)?;
        if !checked.contains(role) {
            checked.push(role.clone());
        }
        if checked.len() > MAX_ROLES {
            return Err("a user has at most 32 roles");
        }
    }
    Ok(checked)
}
