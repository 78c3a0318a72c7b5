//! Endpoints for administrators, a file a thing; the same as the command line does. Each parses a
//! request, calls one use case in `services` or reads a list, and shows what it returns.

pub(super) mod audit;
pub(super) mod clients;
pub(super) mod keys;
pub(super) mod roles;
pub(super) mod sessions;
pub(super) mod users;
