//! What the tests stand on: servers started on free ports and ended with the test, and thin clients.
//!
//! Not every helper is used by every state of the tree.
#![allow(dead_code)]

pub mod client;
pub mod jwt;
pub mod postgres;
pub mod process;
pub mod reaper;
pub mod redis;
pub mod signet;
