//! Work that is not to be cut off. actix-web drops a handler's future at its next await when the
//! client resets the connection; between a change and its audit event that would hide the change.

use std::panic::resume_unwind;

/// Runs `work` to its end, even if the caller disconnects, and returns its result.
pub(super) async fn to_the_end<T: 'static>(work: impl Future<Output = T> + 'static) -> T {
    match actix_web::rt::spawn(work).await {
        Ok(done) => done,
        // The task is never cancelled, so it panicked; the panic goes on here as if it had not
        // been a task.
        Err(error) => resume_unwind(error.into_panic()),
    }
}
