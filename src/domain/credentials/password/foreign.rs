//! A stored hash of another system's scheme, whichever it is: what is expected, and how the same is made
//! of a password.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

/// A hash, or a sentence for the operator without any part of it.
pub(super) type Parsed = Result<Foreign, &'static str>;

/// What a scheme makes of a password; `None` of one that it does not take.
type Derivation = dyn Fn(&[u8]) -> Option<Zeroizing<Vec<u8>>>;

pub(super) struct Foreign {
    /// Whether it takes much memory, or a good part of the maximum work.
    pub is_expensive: bool,
    expected: Vec<u8>,
    derive: Box<Derivation>,
}

impl Foreign {
    /// `derive` makes what is expected of the password.
    pub(super) fn new(
        is_expensive: bool,
        expected: Vec<u8>,
        derive: impl Fn(&[u8]) -> Option<Zeroizing<Vec<u8>>> + 'static,
    ) -> Self {
        Self { is_expensive, expected, derive: Box::new(derive) }
    }

    /// Whether it is the hash of exactly these bytes; compared in constant time.
    pub(super) fn matches(&self, password: &[u8]) -> bool {
        let output = (self.derive)(password);
        output.is_some_and(|output| verify_slices_are_equal(&output, &self.expected).is_ok())
    }
}
