//! The server: workers, limits, time-outs, and an orderly end. On SIGTERM or SIGINT readiness goes
//! first, then the listener, then the requests in flight, each within its time.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App as ActixApp, HttpServer};
use tokio::signal::unix::{SignalKind, signal};

use super::routes::Routes;
use crate::app::App;

/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection is kept open between requests.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a closing connection may linger.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Connections of one worker; beyond it new ones wait.
const MOST_CONNECTIONS: usize = 10_000;

/// Serves `app` on `listener` until a signal says stop and all is finished.
pub async fn serve(app: Arc<App>, listener: TcpListener) -> std::io::Result<()> {
    let routes = Arc::new(Routes::new(app.clone()));
    let config = &app.config.http;
    let server = HttpServer::new(move || {
        let routes = routes.clone();
        ActixApp::new().configure(move |service| routes.configure(service))
    })
    .workers(config.workers)
    .max_connections(MOST_CONNECTIONS)
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

async fn stop_on_signal(app: Arc<App>, server: ServerHandle) {
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
