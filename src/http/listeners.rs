//! Places for those who listen to the stream of revocations. While the feed is open to all, strangers
//! cannot take them all: one address has so many, and some are kept for holders of the scope
//! `revocations:read`, who need no address of their own.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The part of all places, one in so many, that is kept for holders of the scope.
const KEPT_OF: usize = 4;

/// The places of one instance. Cheap to clone.
#[derive(Clone)]
pub struct Places {
    all: Arc<Semaphore>,
    strangers: Arc<Mutex<Strangers>>,
    limits: Limits,
}

/// How many strangers may listen.
#[derive(Clone, Copy)]
struct Limits {
    together: usize,
    per_address: usize,
}

/// Those who listen without a token.
#[derive(Default)]
struct Strangers {
    count: usize,
    by_network: HashMap<IpAddr, usize>,
}

/// A place that is taken; free again when this value is dropped.
pub struct Place {
    _permit: OwnedSemaphorePermit,
    _stranger: Option<Stranger>,
}

struct Stranger {
    strangers: Arc<Mutex<Strangers>>,
    network: IpAddr,
}

impl Places {
    /// `all` places, `max` in number, of which one address may have `per_address`.
    pub fn new(all: Arc<Semaphore>, max: usize, per_address: usize) -> Self {
        let limits = Limits { together: max - max / KEPT_OF, per_address };
        Self { all, strangers: Arc::default(), limits }
    }

    /// A place for a holder of the scope `revocations:read`, if there is one.
    pub fn take(&self) -> Option<Place> {
        let permit = self.all.clone().try_acquire_owned().ok()?;
        Some(Place { _permit: permit, _stranger: None })
    }

    /// A place for anybody at `address`, if there is one for strangers; without an address they all
    /// count as one.
    pub fn take_as_stranger(&self, address: Option<IpAddr>) -> Option<Place> {
        let network = network_of(address.unwrap_or(IpAddr::from([0; 4])));
        let permit = self.all.clone().try_acquire_owned().ok()?;
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        let here = strangers.by_network.get(&network).copied().unwrap_or_default();
        if strangers.count >= self.limits.together || here >= self.limits.per_address {
            return None;
        }
        strangers.count += 1;
        strangers.by_network.insert(network, here + 1);
        let stranger = Stranger { strangers: self.strangers.clone(), network };
        Some(Place { _permit: permit, _stranger: Some(stranger) })
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        strangers.count = strangers.count.saturating_sub(1);
        if let Some(here) = strangers.by_network.get_mut(&self.network) {
            *here = here.saturating_sub(1);
            if *here == 0 {
                strangers.by_network.remove(&self.network);
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

    fn places(max: usize, per_address: usize) -> Places {
        Places::new(Arc::new(Semaphore::new(max)), max, per_address)
    }

    fn at(address: &str) -> Option<IpAddr> {
        Some(address.parse().unwrap())
    }

    #[test]
    fn one_address_has_so_many_and_another_its_own() {
        let places = places(100, 2);
        let take = |address| places.take_as_stranger(at(address));
        let (first, second) = (take("2001:db8::1"), take("2001:db8::2"));
        assert!(first.is_some() && second.is_some() && take("2001:db8::3").is_none());
        assert!(take("2001:db8:0:1::1").is_some() && take("192.0.2.1").is_some());
        assert!(places.take().is_some(), "a holder of the scope needs no address");
        drop(first);
        assert!(take("2001:db8::3").is_some(), "the place of who has gone is free again");
        drop(second);
        assert!(places.strangers.lock().unwrap().by_network.is_empty());
    }

    #[test]
    fn some_are_kept_for_holders_of_the_scope() {
        let places = places(8, 8);
        let strangers: Vec<_> =
            (1..9).map(|last| places.take_as_stranger(at(&format!("192.0.2.{last}")))).collect();
        assert_eq!(strangers.iter().flatten().count(), 6);
        let holders: Vec<_> = (0..8).map(|_| places.take()).collect();
        assert_eq!(holders.iter().flatten().count(), 2);
        drop((strangers, holders));
        let holders: Vec<_> = (0..9).map(|_| places.take()).collect();
        assert_eq!(holders.iter().flatten().count(), 8);
        assert!(places.take_as_stranger(None).is_none());
    }

    #[test]
    fn without_places_nobody_listens() {
        assert!(places(0, 0).take().is_none() && places(0, 0).take_as_stranger(None).is_none());
        assert!(places(1, 1).take_as_stranger(None).is_some());
    }
}
