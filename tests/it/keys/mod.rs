//! Signing keys in running instances: crashes in the middle of a step, several instances, all
//! algorithms, the key-encryption key, and what verifiers may cache.

macro_rules! on_both_databases {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(crate::support::signet::Backend::Sqlite).await;
                }
            )+
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(crate::support::signet::Backend::PostgresSql).await;
                }
            )+
        }
    };
}

mod algorithms;
mod attacker;
mod authenticity;
mod cache;
mod crash;
mod encryption_key;
mod handover;
mod instances;
mod planted;
