//! yescrypt (`$y$`), the default of most Linux distributions in `/etc/shadow`. Only its native mode
//! without options is supported.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use yescrypt::{Mode, Params, yescrypt};
use zeroize::Zeroizing;

use super::encoding::{self, MALFORMED, parts};

/// The beginning of the parameters in the native mode.
const NATIVE: char = 'j';
/// The maximum length of the parameters in this mode without options.
const MAX_PARAMETERS: usize = 8;
/// The maximum memory in blocks of 128 bytes: 256 MiB, libxcrypt's cost 9; its default is 5.
const MAX_N_TIMES_R: u64 = 1 << 21;
const MAX_P: u32 = 16;
/// The memory above which only one hash is verified at a time: 64 MiB.
const MODEST_N_TIMES_R: u64 = 1 << 19;
const TOO_DEAR: &str = "asks for more work than is allowed: yescrypt goes up to 256 MiB and p = 16";
/// What the scheme takes.
const MAX_SALT: usize = 64;
const OUTPUT: usize = 32;

/// A stored yescrypt hash.
pub(super) struct Hash {
    params: Params,
    salt: Vec<u8>,
    expected: Vec<u8>,
}

impl Hash {
    /// The parameters, the salt and the hash, all in crypt's base64.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let [parameters, salt, expected] = parts(text, '$')?;
        if !parameters.starts_with(NATIVE) || parameters.len() > MAX_PARAMETERS {
            return Err(MALFORMED);
        }
        let params: Params = parameters.parse().map_err(|_| MALFORMED)?;
        let (n, r, p) = (params.n(), params.r(), params.p());
        let n_times_r = n.checked_mul(r.into()).filter(|product| *product <= MAX_N_TIMES_R);
        if n_times_r.is_none() || p > MAX_P {
            return Err(TOO_DEAR);
        }
        // Other options, such as more passes over the memory, are encoded differently.
        if Params::new(Mode::Rw, n, r, p) != Ok(params) {
            return Err(MALFORMED);
        }
        let salt = encoding::salt(encoding::from_crypt64(salt)?)?;
        let expected = encoding::from_crypt64(expected)?;
        if salt.len() > MAX_SALT || expected.len() != OUTPUT {
            return Err(MALFORMED);
        }
        Ok(Self { params, salt, expected })
    }

    /// Whether it takes more than 64 MiB.
    pub(super) fn is_expensive(&self) -> bool {
        self.params.n().saturating_mul(self.params.r().into()) > MODEST_N_TIMES_R
    }

    /// Whether it is the hash of `password`; compared in constant time.
    pub(super) fn matches(&self, password: &[u8]) -> bool {
        let mut output = Zeroizing::new([0; OUTPUT]);
        let computed = yescrypt(password, &self.salt, &self.params, output.as_mut_slice());
        computed.is_ok() && verify_slices_are_equal(output.as_slice(), &self.expected).is_ok()
    }
}
