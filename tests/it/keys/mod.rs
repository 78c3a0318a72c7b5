//! Signing keys in running instances: crashes in the middle of a step, several instances, all
//! algorithms, the key-encryption key, and what verifiers may cache.

mod algorithms;
mod attacker;
mod authenticity;
mod cache;
mod crash;
mod encryption_key;
mod handover;
mod instances;
mod planted;
