//! Values and tools without a rule of the service in them; every other layer may use them.

#[cfg(debug_assertions)]
pub(crate) mod debug;
pub mod display_name;
pub(crate) mod fault;
pub mod metrics;
pub mod network;
pub mod random;
pub mod sealing;
pub mod secret;
pub mod telemetry;
pub mod time;
