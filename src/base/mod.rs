//! What everything stands on: values and tools without a rule of the service in them.

#[cfg(debug_assertions)]
pub(crate) mod debug;
pub mod display_name;
pub(crate) mod fault;
pub mod metrics;
pub mod network;
pub mod secret;
pub mod telemetry;
pub mod time;
