//! What the tests stand on: servers started on free ports and ended with the test, and thin clients.

pub mod client;
pub mod contract;
pub mod fixtures;
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

/// Runs an async function of a `Backend` as one test for each backend.
macro_rules! on_every_backend {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            use crate::support::signet::Backend;

            #[tokio::test]
            async fn sqlite() {
                super::$name(Backend::Sqlite).await;
            }

            #[tokio::test]
            async fn postgres() {
                super::$name(Backend::PostgresSql).await;
            }

            #[tokio::test]
            async fn postgres_and_redis() {
                super::$name(Backend::PostgresRedis).await;
            }
        })+
    };
}
pub(crate) use on_every_backend;
