//! Limits on the listeners of the revocation stream. While the feed is open to all, strangers
//! cannot take every place: an address has a maximum, and a part is kept for clients with the scope
//! `revocations:read`, for which the maximum of an address does not count. One such client gets at
//! most half of all places.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The part of all places, one in that many, that is kept for holders of the scope.
const KEPT_OF: usize = 4;

/// The part of all places, one in that many, that the holders of the scope of one client may have.
const OF_A_CLIENT: usize = 2;

#[derive(Clone)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    taken: Arc<Mutex<Taken>>,
    limits: Limits,
}

#[derive(Clone, Copy)]
struct Limits {
    in_all: usize,
    strangers: usize,
    per_address: usize,
    per_client: usize,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Listener {
    /// Holders of the scope, of one client.
    Client(String),
    /// Those at one address who listen without a token.
    Stranger(IpAddr),
}

/// How many places are taken by strangers, and by each listener.
#[derive(Default)]
struct Taken {
    strangers: usize,
    by: HashMap<Listener, usize>,
}

/// A place that is taken; free again when this value is dropped.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    taken: Arc<Mutex<Taken>>,
    by: Listener,
}

impl Places {
    /// `max` places, of which one address may have `per_address`.
    pub(super) fn new(max: usize, per_address: usize) -> Self {
        let limits = Limits {
            in_all: max,
            strangers: max - max / KEPT_OF,
            per_address,
            per_client: max.div_ceil(OF_A_CLIENT),
        };
        Self { all: Arc::new(Semaphore::new(max)), taken: Arc::default(), limits }
    }

    pub(super) fn taken(&self) -> usize {
        self.limits.in_all - self.all.available_permits()
    }

    /// A place for a holder of the scope `revocations:read` of this client, if there is one.
    pub(super) fn take(&self, client_id: &str) -> Option<Place> {
        self.take_by(Listener::Client(client_id.to_owned()))
    }

    /// A place for anybody at `address`, if there is one for strangers; without an address they all
    /// count as one.
    pub(super) fn take_as_stranger(&self, address: Option<IpAddr>) -> Option<Place> {
        self.take_by(Listener::Stranger(network_of(address.unwrap_or(IpAddr::from([0; 4])))))
    }

    fn take_by(&self, by: Listener) -> Option<Place> {
        let permit = self.all.clone().try_acquire_owned().ok()?;
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let before = taken.by.get(&by).copied().unwrap_or_default();
        let is_stranger = matches!(by, Listener::Stranger(_));
        let is_full = match is_stranger {
            true => taken.strangers >= self.limits.strangers || before >= self.limits.per_address,
            false => before >= self.limits.per_client,
        };
        if is_full {
            return None;
        }
        taken.strangers += usize::from(is_stranger);
        taken.by.insert(by.clone(), before + 1);
        Some(Place { _permit: permit, taken: self.taken.clone(), by })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.strangers -= usize::from(matches!(self.by, Listener::Stranger(_)));
        if let Some(count) = taken.by.get_mut(&self.by) {
            *count -= 1;
            if *count == 0 {
                taken.by.remove(&self.by);
            }
        }
    }
}

/// What counts as one address: an IPv4 address, or an IPv6 network of 64 bits, within which one
/// household or server has as many addresses as it likes.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            std::net::Ipv6Addr::from(network).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Option<IpAddr> {
        Some(address.parse().unwrap())
    }

    #[test]
    fn one_address_has_so_many_and_another_its_own() {
        let places = Places::new(100, 2);
        let take = |address| places.take_as_stranger(at(address));
        let (first, second) = (take("2001:db8::1"), take("2001:db8::2"));
        assert!(first.is_some() && second.is_some() && take("2001:db8::3").is_none());
        assert!(take("2001:db8:0:1::1").is_some() && take("192.0.2.1").is_some());
        assert!(places.take("app").is_some(), "a holder of the scope needs no address");
        drop(first);
        assert!(take("2001:db8::3").is_some(), "the place of who has gone is free again");
        drop(second);
        assert!(places.taken.lock().unwrap().by.is_empty());
    }

    #[test]
    fn some_are_kept_for_holders_of_the_scope() {
        let places = Places::new(8, 8);
        let strangers: Vec<_> =
            (1..9).map(|last| places.take_as_stranger(at(&format!("192.0.2.{last}")))).collect();
        assert_eq!(strangers.iter().flatten().count(), 6);
        let holders: Vec<_> = (0..8).map(|_| places.take("app")).collect();
        assert_eq!(holders.iter().flatten().count(), 2);
        drop((strangers, holders));
        let holders: Vec<_> = (0..9).map(|n| places.take(&format!("app{}", n % 2))).collect();
        assert_eq!(holders.iter().flatten().count(), 8);
        assert!(places.take_as_stranger(None).is_none());
    }

    #[test]
    fn one_client_cannot_take_them_all() {
        let places = Places::new(8, 8);
        let mut of_one: Vec<_> = (0..8).filter_map(|_| places.take("one")).collect();
        assert_eq!(of_one.len(), 4);
        let of_other: Vec<_> = (0..8).filter_map(|_| places.take("other")).collect();
        assert_eq!(of_other.len(), 4);
        drop(of_one.pop());
        assert!(places.take("other").is_none());
        assert!(places.take("one").is_some(), "the place of who has gone is free again");
        drop((of_one, of_other));
        assert!(places.taken.lock().unwrap().by.is_empty());
    }

    #[test]
    fn without_places_nobody_listens() {
        assert!(
            Places::new(0, 0).take("app").is_none()
                && Places::new(0, 0).take_as_stranger(None).is_none()
        );
        assert!(Places::new(1, 1).take_as_stranger(None).is_some());
        assert!(Places::new(1, 1).take("app").is_some());
    }
}
