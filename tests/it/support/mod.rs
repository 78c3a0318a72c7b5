//! What the tests stand on: servers started on free ports and ended with the test, and thin clients.

pub mod client;
pub mod contract;
pub mod fixtures;
mod folder;
pub mod jwt;
pub mod keys;
pub mod pgbouncer;
pub mod postgres;
pub mod process;
pub mod raw;
pub mod reaper;
pub mod redis;
pub mod signet;
#[cfg(feature = "pkcs11")]
pub mod softhsm;
pub mod sse;

/// Runs async functions as a test for each engine of an enum. What they take is an expression of the
/// engine: `on_each!(Engine [Sqlite Redis], |engine| open(engine).await, { one, two })`.
macro_rules! on_each {
    ($kind:ident $engines:tt, |$it:ident| $opened:expr, { $($name:ident),+ $(,)? }) => {
        $($crate::support::on_each!(@ $name $kind $engines, $it, $opened);)+
    };
    (@ $name:ident $kind:ident [$($engine:ident)+], $it:ident, $opened:expr) => {
        #[allow(non_snake_case, reason = "a test is called like the engine")]
        mod $name {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $engine() {
                    let $it = $kind::$engine;
                    super::$name($opened).await;
                }
            )+
        }
    };
}
pub(crate) use on_each;

/// Runs async functions of a `Backend` as a test for each backend.
macro_rules! on_every_backend {
    ($($name:ident),+ $(,)?) => {
        $crate::support::on_each!(
            Backend [Sqlite PostgresSql PostgresRedis], |backend| backend, { $($name),+ }
        );
    };
}
pub(crate) use on_every_backend;
