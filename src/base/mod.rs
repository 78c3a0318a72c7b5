//! Values and tools that contain no rules of the service. Every other layer may use them.

#[cfg(debug_assertions)]
pub(crate) mod debug;
pub(crate) mod display_name;
pub(crate) mod fault;
pub(crate) mod metrics;
pub(crate) mod named;
pub(crate) mod network;
pub mod random;
pub mod sealing;
pub mod secret;
pub(crate) mod telemetry;
pub mod time;
