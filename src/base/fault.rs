//! Points where a test can kill the process. They do nothing in release builds.

/// Kills the process, without any clean-up, if `SIGNET_FAULT` names this `point`.
#[cfg(debug_assertions)]
pub(crate) fn point(point: &str) {
    use rustix::process::{Signal, getpid, kill_process};
    if std::env::var("SIGNET_FAULT").is_ok_and(|wanted| wanted == point) {
        // SIGKILL cannot be caught; if it could not be sent, the test sees that the process lives.
        let _ = kill_process(getpid(), Signal::KILL);
    }
}

/// Does nothing.
#[cfg(not(debug_assertions))]
pub(crate) fn point(_: &str) {}
