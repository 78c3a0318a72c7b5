//! Random values: bytes, opaque tokens and identifiers (RFC 9562), from a source that is passed to
//! every function that makes a secret.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::base::secret::Secret;
use crate::base::time::Timestamp;

/// The source of random values, passed to every function that makes a secret or an identifier.
#[derive(Clone, Debug)]
pub struct Random {
    system: SystemRandom,
    /// The second, and the number within it, of the last identifier of version 7.
    last: Arc<AtomicU64>,
}

/// How many numbers a second has: one for each millisecond and the 12 bits after it.
const A_SECOND: u64 = 1000 << 12;
const SECOND_BITS: u32 = 22;
/// The last second that fits into an identifier, in the year 10889.
const LAST_SECOND: i64 = (1 << 48) / 1000 - 1;

impl Random {
    /// The operating system's cryptographic generator.
    pub fn system() -> Self {
        Self { system: SystemRandom::new(), last: Arc::default() }
    }

    /// `N` fresh random bytes.
    #[allow(clippy::expect_used, reason = "without randomness nothing is safe")]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        // Without randomness nothing is safe, and the system's generator does not fail once it
        // has been seeded: a panic is the only safe answer.
        self.system.fill(&mut bytes).expect("the system's random generator answers");
        bytes
    }

    /// A fresh opaque secret of 256 random bits, base64url without padding (43 characters).
    pub fn token(&self) -> Secret<String> {
        let bytes = Zeroizing::new(self.bytes::<32>());
        Secret::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()))
    }

    /// A random identifier (RFC 9562, version 4).
    pub fn uuid(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.bytes()).into_uuid()
    }

    /// A random identifier that sorts by the time it was made (RFC 9562, version 7). Time is in
    /// seconds here, so a counter replaces the milliseconds and the bits after them within each
    /// second of this process (section 6.2, method 1).
    #[allow(clippy::indexing_slicing, reason = "both lengths are constants")]
    pub fn uuid_at(&self, now: Timestamp) -> Uuid {
        let second = now.as_unix().clamp(0, LAST_SECOND) as u64;
        let first = second << SECOND_BITS;
        let next = |last: u64| if last < first { first } else { last.saturating_add(1) };
        let last = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
            // In a second that is over or full, the last number is used again.
            Some(if next(last) < first + A_SECOND { next(last) } else { last })
        });
        let number = (next(last.unwrap_or_else(|last| last)) - first).min(A_SECOND - 1);
        let mut bytes = self.bytes::<10>();
        bytes[..2].copy_from_slice(&((number & 0xfff) as u16).to_be_bytes());
        uuid::Builder::from_unix_timestamp_millis(second * 1000 + (number >> 12), &bytes)
            .into_uuid()
    }
}

/// The position of an identifier of version 7 within its second: from 0 to less than 1.
pub fn part_of_second(id: Uuid) -> f64 {
    if id.get_version_num() != 7 {
        return 0.0;
    }
    let (milliseconds, rest) = (id.as_u128() >> 80, (id.as_u128() >> 64) & 0xfff);
    (((milliseconds % 1000) << 12) | rest) as f64 / A_SECOND as f64
}

/// The second in which an identifier of version 7 was made; `None` for other versions.
pub fn time_of(id: Uuid) -> Option<Timestamp> {
    let seconds = (id.get_version_num() == 7).then(|| (id.as_u128() >> 80) / 1000)?;
    i64::try_from(seconds).ok().map(Timestamp::from_unix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_sort_by_the_time_they_were_made() {
        let random = Random::system();
        let at = |seconds| random.uuid_at(Timestamp::from_unix(seconds));
        let ids: Vec<_> = [7, 7, 8, 8, 8, 1_800_000_000].map(at).into();
        assert!(ids.is_sorted() && ids.iter().all(|id| id.get_version_num() == 7), "{ids:?}");
        let parts: Vec<_> = ids.iter().copied().map(part_of_second).collect();
        assert!(parts[0] < parts[1] && parts[2] < parts[3] && parts[3] < parts[4], "{parts:?}");
        assert!(parts.iter().all(|part| (0.0..1.0).contains(part)), "{parts:?}");
        // A late one follows those of its second, and delays no other.
        let late = at(8);
        assert!(ids[4] < late && late < ids[5] && part_of_second(late) < 1.0);
        assert!(ids[5] < at(1_800_000_000));
        assert_ne!(at(-1), at(i64::MAX));
        assert_ne!(at(i64::MAX), at(i64::MAX));
        assert_eq!(part_of_second(random.uuid()), 0.0);
        assert_eq!(time_of(ids[5]), Some(Timestamp::from_unix(1_800_000_000)));
        assert_eq!(
            (time_of(ids[1]), time_of(random.uuid())),
            (Some(Timestamp::from_unix(7)), None)
        );
    }
}
