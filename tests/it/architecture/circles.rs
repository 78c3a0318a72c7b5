//! Circles of files. A module and its own children may know each other; nothing else may.

use std::collections::{BTreeMap, BTreeSet};

/// What each module names.
pub type Imports = BTreeMap<String, BTreeSet<String>>;

/// The circles that are not between a module and its children.
pub fn circles(imports: &Imports) -> Vec<Vec<String>> {
    within(imports, imports.keys().cloned().collect())
}

/// Takes the module out of each circle whose children all others are, and looks at what is left.
fn within(imports: &Imports, modules: BTreeSet<String>) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for circle in components(imports, &modules) {
        let is_parent = |parent: &&String| {
            circle
                .iter()
                .all(|module| module == *parent || module.starts_with(&format!("{parent}/")))
        };
        match circle.iter().find(is_parent).cloned() {
            None => found.push(circle.into_iter().collect()),
            Some(parent) => {
                let rest = circle.into_iter().filter(|module| *module != parent).collect();
                found.extend(within(imports, rest));
            }
        }
    }
    found
}

/// The sets of more than one module that all lead to each other.
fn components(imports: &Imports, modules: &BTreeSet<String>) -> Vec<BTreeSet<String>> {
    let reachable: BTreeMap<_, _> =
        modules.iter().map(|module| (module, reachable(imports, modules, module))).collect();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for module in modules {
        let leads_back = |other: &&String| reachable[*other].contains(module);
        let circle: BTreeSet<_> = reachable[module].iter().filter(leads_back).cloned().collect();
        if circle.len() > 1 && seen.insert(circle.clone()) {
            found.push(circle);
        }
    }
    found
}

fn reachable(imports: &Imports, modules: &BTreeSet<String>, from: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut next = vec![from];
    while let Some(module) = next.pop() {
        for named in imports.get(module).into_iter().flatten() {
            if modules.contains(named) && found.insert(named.clone()) {
                next.push(named);
            }
        }
    }
    found
}
