//! Places where a test can let the process die, as if it had been killed there. In release builds
//! they are nothing.

/// Ends the process at once, without any cleaning up, if `SIGNET_FAULT` names this `point`.
#[cfg(debug_assertions)]
pub fn point(point: &str) {
    use rustix::process::{Signal, getpid, kill_process};
    if std::env::var("SIGNET_FAULT").is_ok_and(|wanted| wanted == point) {
        // SIGKILL cannot be caught; where it could not be sent, the test sees that nothing died.
        let _ = kill_process(getpid(), Signal::KILL);
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
pub fn point(_: &str) {}
