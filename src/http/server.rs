//! The server: workers, limits, time-outs, and an orderly end. On SIGTERM or SIGINT readiness goes
//! first, then the listener, then the requests in flight, each within its time.

use std::any::Any;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::rt::net::TcpStream;
use actix_web::{App as ActixApp, HttpServer};
use rustix::net::sockopt;
use tokio::signal::unix::{SignalKind, signal};

use super::routes::Routes;
use crate::app::Issuer;

const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(75);
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The most connections of one worker, beside those of the revocation feed, which never end; further
/// ones wait.
const MAX_CONNECTIONS: usize = 10_000;
/// How long a client may leave what was sent to it unread, in milliseconds: then it is cut off.
const UNREAD_TIMEOUT: u32 = 30_000;

/// Serves `app` on `listener` until a signal says stop and all is finished.
pub(crate) async fn serve(app: Arc<Issuer>, listener: TcpListener) -> std::io::Result<()> {
    let routes = Arc::new(Routes::new(app.clone()));
    let config = &app.config.http;
    let server = HttpServer::new(move || {
        let routes = routes.clone();
        ActixApp::new().configure(move |service| routes.configure(service))
    })
    .workers(config.workers)
    .max_connections(MAX_CONNECTIONS + app.config.revocations.max_listeners)
    .on_connect(|connection, _| limit_unread(connection))
    .client_request_timeout(HEAD_TIMEOUT)
    .client_disconnect_timeout(DISCONNECT_TIMEOUT)
    .keep_alive(KEEP_ALIVE)
    .shutdown_timeout(config.shutdown_timeout.as_secs())
    .disable_signals()
    .listen(listener)?
    .run();
    let stopper = tokio::spawn(stop_on_signal(app.clone(), server.handle()));
    let result = server.await;
    stopper.abort();
    result
}

/// Lets the kernel drop a connection whose other end does not read. The server would wait for it
/// without end: a stream is asked for more only when there is room.
fn limit_unread(connection: &dyn Any) {
    if let Some(connection) = connection.downcast_ref::<TcpStream>()
        && let Err(error) = sockopt::set_tcp_user_timeout(connection, UNREAD_TIMEOUT)
    {
        tracing::debug!(%error, "a connection has no time limit");
    }
}

async fn stop_on_signal(app: Arc<Issuer>, server: ServerHandle) {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be received: stop this process by SIGKILL");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    app.start_draining();
    tracing::info!("stopping: finishing what is in flight");
    tokio::time::sleep(app.config.http.drain_delay).await;
    server.stop(true).await;
}
