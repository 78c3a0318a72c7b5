//! yescrypt (`$y$`), the default of most Linux distributions in `/etc/shadow`. Only its native mode
//! without options is supported.

use yescrypt::{Mode, Params, yescrypt};
use zeroize::Zeroizing;

use super::encoding::{self, MALFORMED, parts};
use super::foreign::{Foreign, Parsed};

const NATIVE: char = 'j';
/// The maximum length of the parameters in this mode without options.
const MAX_PARAMETERS: usize = 8;
/// The maximum memory in blocks of 128 bytes: 256 MiB, libxcrypt's cost 9; its default is 5.
const MAX_N_TIMES_R: u64 = 1 << 21;
const MAX_P: u32 = 16;
/// The memory above which only one hash is verified at a time: 64 MiB.
const MODEST_N_TIMES_R: u64 = 1 << 19;
const TOO_DEAR: &str = "asks for more work than is allowed: yescrypt goes up to 256 MiB and p = 16";
const MAX_SALT: usize = 64;
const OUTPUT: usize = 32;

/// The parameters, the salt and the hash, all in crypt's base64.
pub(super) fn parse(text: &str) -> Parsed {
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
    let is_expensive = n_times_r > Some(MODEST_N_TIMES_R);
    Ok(Foreign::new(is_expensive, expected, move |password| {
        let mut output = Zeroizing::new(vec![0; OUTPUT]);
        yescrypt(password, &salt, &params, &mut output).ok()?;
        Some(output)
    }))
}
