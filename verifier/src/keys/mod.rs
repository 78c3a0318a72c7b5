//! The issuer's public keys: read from its JWK Set, kept parsed, and refetched in the background.

mod absent;
mod budget;
pub mod freshness;
mod jwk;
mod refresh;
mod source;

use std::sync::OnceLock;

use aws_lc_rs::signature::ParsedPublicKey;

use crate::algorithm::Algorithm;
use crate::jws::{self, Header};

pub use refresh::{Refresh, run};
pub use source::{Asker, Keys, NotFetched};

/// Headers that a key's tokens are recognised by without reading them. An issuer has one a key.
const HEADERS: usize = 4;
/// The longest signature, by RSA-8192, and what a decoder wants beside it.
const MAX_SIGNATURE_BYTES: usize = 1024 + 8;

/// A public key that verifies by one algorithm.
pub struct Key {
    kid: Box<str>,
    algorithm: Algorithm,
    public: ParsedPublicKey,
    /// Segments that were read once, and whose tokens' signatures were good. Only a holder of
    /// the private key can add one.
    headers: [OnceLock<Box<str>>; HEADERS],
}

impl Key {
    fn new(kid: &str, algorithm: Algorithm, public: ParsedPublicKey) -> Self {
        Self { kid: kid.into(), algorithm, public, headers: Default::default() }
    }

    /// Its name.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Whether `signature`, in base64url, is this key's of `signed`.
    pub fn has_signed(&self, signed: &[u8], signature: &str) -> bool {
        let mut buffer = [0; MAX_SIGNATURE_BYTES];
        jws::decode_into(signature, &mut buffer)
            .is_some_and(|signature| self.public.verify_sig(signed, signature).is_ok())
    }

    /// Recognises a header's segment from now on. Only for one of a token that was verified.
    pub fn remember(&self, header: &str) {
        for slot in &self.headers {
            match slot.get() {
                Some(known) if **known == *header => return,
                Some(_) => {}
                None => {
                    // Where another thread was faster, the next token will try again.
                    let _ = slot.set(header.into());
                    return;
                }
            }
        }
    }

    fn recognises(&self, header: &str) -> bool {
        self.headers.iter().map_while(OnceLock::get).any(|known| **known == *header)
    }
}

/// The keys of one JWK Set that can be used.
#[derive(Default)]
pub struct KeySet(Vec<Key>);

/// What a set says about a header.
pub enum Lookup<'a> {
    /// This key has to have signed.
    Found(&'a Key),
    /// The key verifies by another algorithm than the header says.
    OtherAlgorithm,
    /// There is no such key.
    Absent,
}

impl KeySet {
    /// The key of a header that was remembered.
    pub fn recognise(&self, header: &str) -> Option<&Key> {
        self.0.iter().find(|key| key.recognises(header))
    }

    /// The key that `header` names, if it is for its algorithm.
    pub fn find(&self, header: &Header) -> Lookup<'_> {
        let mut of_name = self.0.iter().filter(|key| *key.kid == *header.kid).peekable();
        if of_name.peek().is_none() {
            return Lookup::Absent;
        }
        let found = of_name.find(|key| key.algorithm == header.algorithm);
        found.map_or(Lookup::OtherAlgorithm, Lookup::Found)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}
