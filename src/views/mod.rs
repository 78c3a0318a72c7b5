//! What is shown of a thing: one form each, which HTTP and `--json` serialise and the command line
//! prints. No view holds a secret that its reader has not just been given.

pub(crate) mod cell;
pub(crate) mod client;
pub(crate) mod event;
pub(crate) mod key;
pub(crate) mod key_revocation;
pub(crate) mod role;
pub(crate) mod session;
pub(crate) mod user;
