//! What is shown of a thing: one form each, which HTTP and `--json` serialise and the command line
//! prints. No view holds a secret that its reader has not just been given.

pub mod cell;
pub mod client;
pub mod event;
pub mod key;
pub mod key_revocation;
pub mod role;
pub mod session;
pub mod user;
