//! Clients registered once with the shared instance, for tests that only use them.

use std::sync::LazyLock;

use super::signet::Signet;

/// A confidential client with every grant, the scope `openid profile email read write` and the
/// audiences `API` and `OTHER_API`.
pub const CONFIDENTIAL: &str = "it-confidential";
/// A public client with the grants `password` and `refresh_token` and the scope `read`.
pub const PUBLIC: &str = "it-public";
/// A confidential client with no grant but `client_credentials` and no scope to speak of.
pub const BYSTANDER: &str = "it-bystander";

pub const API: &str = "https://api.example.com";
pub const OTHER_API: &str = "https://other.example.com/v1";

/// The credentials of `CONFIDENTIAL`.
pub fn confidential() -> (&'static str, &'static str) {
    static SECRET: LazyLock<String> = LazyLock::new(|| {
        let grants = "password,refresh_token,client_credentials";
        let scopes = "openid profile email read write";
        let audiences = format!("{API},{OTHER_API}");
        let options = ["--grants", grants, "--scopes", scopes, "--audiences", audiences.as_str()];
        Signet::shared().add_confidential(CONFIDENTIAL, &options)
    });
    (CONFIDENTIAL, &SECRET)
}

/// The credentials of `BYSTANDER`.
pub fn bystander() -> (&'static str, &'static str) {
    static SECRET: LazyLock<String> = LazyLock::new(|| {
        let options = ["--grants", "client_credentials", "--scopes", "read"];
        Signet::shared().add_confidential(BYSTANDER, &options)
    });
    (BYSTANDER, &SECRET)
}

/// Registers `PUBLIC` and returns its id.
pub fn public() -> &'static str {
    static REGISTERED: LazyLock<()> = LazyLock::new(|| {
        let options = ["--grants", "password,refresh_token", "--scopes", "read"];
        Signet::shared().add_public(PUBLIC, &options);
    });
    LazyLock::force(&REGISTERED);
    PUBLIC
}
