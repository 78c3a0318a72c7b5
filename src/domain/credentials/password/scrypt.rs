//! scrypt (RFC 7914) in the forms of passlib, Django, Werkzeug and Spring, and its ceilings.

pub(super) use scrypt::Params;
use zeroize::Zeroizing;

use super::encoding::{self, MALFORMED, parts, values};
use super::foreign::{Foreign, Parsed};

/// The bounds of the parameters. With the largest block size N is 256 MiB, allocated for the time
/// of one hash.
const MAX_LOG_N: u64 = 17;
const MAX_R: u64 = 16;
const MAX_P: u64 = 16;
/// The bound on the product of all three: some seconds of a core.
const MAX_WORK: u64 = 1 << 23;
/// The memory above which only one hash is verified at a time, in blocks of 128 bytes: 64 MiB.
const MODEST_N_TIMES_R: u64 = 1 << 19;
const TOO_DEAR: &str = "asks for more work than is allowed: scrypt goes up to N = 2^17, r = 16, \
                        p = 16 and N*r*p = 2^23";

/// passlib: named parameters, the salt and the hash in base64.
pub(super) fn passlib(text: &str) -> Parsed {
    let [parameters, salt, expected] = parts(text, '$')?;
    let [log_n, r, p] = values(parameters, ["ln", "r", "p"])?;
    let params = params(encoding::number(log_n)?, r, p)?;
    parse(params, encoding::base64(salt)?, encoding::base64(expected)?)
}

/// Django: N, the salt as text, r, p, base64.
pub(super) fn django(text: &str) -> Parsed {
    let [n, salt, r, p, expected] = parts(text, '$')?;
    parse(params(logarithm(n)?, r, p)?, salt.into(), encoding::base64(expected)?)
}

/// Werkzeug: N, r and p, the salt as text, hexadecimal digits.
pub(super) fn werkzeug(text: &str) -> Parsed {
    let [method, salt, expected] = parts(text, '$')?;
    let [n, r, p] = parts(method, ':')?;
    parse(params(logarithm(n)?, r, p)?, salt.into(), encoding::hex(expected)?)
}

/// Spring: `$`, the parameters as one hexadecimal number (the logarithm of N, then r and p in a byte
/// each), the salt and the hash in base64.
pub(super) fn spring(text: &str) -> Parsed {
    let [empty, parameters, salt, expected] = parts(text, '$')?;
    let is_hex = parameters.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u64::from_str_radix(parameters, 16).ok().filter(|_| is_hex);
    let number = number.filter(|_| empty.is_empty()).ok_or(MALFORMED)?;
    let [r, p] = [number >> 8 & 0xff, number & 0xff].map(|number| number.to_string());
    let params = params(number >> 16, &r, &p)?;
    parse(params, encoding::base64(salt)?, encoding::base64(expected)?)
}

fn parse(params: Params, salt: Vec<u8>, expected: Vec<u8>) -> Parsed {
    let (salt, expected) = (encoding::salt(salt)?, encoding::output(expected)?);
    let length = expected.len();
    let derive = move |password: &[u8]| Some(derive(password, &salt, &params, length));
    Ok(Foreign::new(is_expensive(&params), expected, derive))
}

/// Parameters within the ceilings; N by its binary logarithm.
pub(super) fn params(log_n: u64, r: &str, p: &str) -> Result<Params, &'static str> {
    let (r, p) = (encoding::number(r)?, encoding::number(p)?);
    if log_n == 0 || r == 0 || p == 0 {
        return Err(MALFORMED);
    }
    if log_n > MAX_LOG_N || r > MAX_R || p > MAX_P || (r * p) << log_n > MAX_WORK {
        return Err(TOO_DEAR);
    }
    Params::new(log_n as u8, r as u32, p as u32).map_err(|_| MALFORMED)
}

/// Whether they take more than 64 MiB, or a quarter of the maximum work.
pub(super) fn is_expensive(params: &Params) -> bool {
    let n_times_r = u64::from(params.r()) << params.log_n();
    n_times_r > MODEST_N_TIMES_R || n_times_r * u64::from(params.p()) >= MAX_WORK / 4
}

/// The output of `length`, which is a few dozen bytes.
#[allow(clippy::expect_used, reason = "the length of the output is a constant")]
pub(super) fn derive(
    password: &[u8],
    salt: &[u8],
    params: &Params,
    length: usize,
) -> Zeroizing<Vec<u8>> {
    let mut output = Zeroizing::new(vec![0; length]);
    scrypt::scrypt(password, salt, params, &mut output)
        .expect("the length of the output is within scrypt's bounds");
    output
}

fn logarithm(n: &str) -> Result<u64, &'static str> {
    match encoding::number(n)? {
        // A number that is no power of two is rounded down, which changes no comparison with a
        // ceiling.
        u64::MAX => Err(TOO_DEAR),
        n if n.is_power_of_two() => Ok(n.trailing_zeros().into()),
        _ => Err(MALFORMED),
    }
}
