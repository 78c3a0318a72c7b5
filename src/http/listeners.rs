//! Places for those who listen to the stream of revocations. While the feed is open to all, strangers
//! cannot take them all: one address has so many, and some are kept for holders of the scope
//! `revocations:read`, who need no address of their own. Of those holders, one client cannot take them
//! all either.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The part of all places, one in that many, that is kept for holders of the scope.
const KEPT_OF: usize = 4;

/// The part of all places, one in that many, that the holders of the scope of one client may have.
const OF_A_CLIENT: usize = 2;

/// The places of one instance. Cheap to clone.
#[derive(Clone)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    strangers: Arc<Mutex<Strangers>>,
    /// How many each client has by holders of the scope.
    clients: Arc<Mutex<HashMap<String, usize>>>,
    limits: Limits,
}

/// How many may listen.
#[derive(Clone, Copy)]
struct Limits {
    /// All.
    in_all: usize,
    /// Strangers.
    together: usize,
    /// Strangers at one address.
    per_address: usize,
    /// Holders of the scope, of one client.
    per_client: usize,
}

/// Those who listen without a token.
#[derive(Default)]
struct Strangers {
    count: usize,
    by_network: HashMap<IpAddr, usize>,
}

/// A place that is taken; free again when this value is dropped.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    _taken_by: TakenBy,
}

/// Who counts one place less when this value is dropped.
enum TakenBy {
    Stranger { _one: Stranger },
    Client { _one: OfClient },
}

struct OfClient {
    clients: Arc<Mutex<HashMap<String, usize>>>,
    client_id: String,
}

struct Stranger {
    strangers: Arc<Mutex<Strangers>>,
    network: IpAddr,
}

impl Places {
    /// `max` places, of which one address may have `per_address`.
    pub(super) fn new(max: usize, per_address: usize) -> Self {
        let all = Arc::new(Semaphore::new(max));
        let limits = Limits {
            in_all: max,
            together: max - max / KEPT_OF,
            per_address,
            per_client: max.div_ceil(OF_A_CLIENT),
        };
        Self { all, strangers: Arc::default(), clients: Arc::default(), limits }
    }

    /// The number of places that are taken.
    pub(super) fn taken(&self) -> usize {
        self.limits.in_all - self.all.available_permits()
    }

    /// A place for a holder of the scope `revocations:read` of this client, if there is one.
    pub(super) fn take(&self, client_id: &str) -> Option<Place> {
        let permit = self.all.clone().try_acquire_owned().ok()?;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let of_client = clients.get(client_id).copied().unwrap_or_default();
        if of_client >= self.limits.per_client {
            return None;
        }
        clients.insert(client_id.to_owned(), of_client + 1);
        let client_id = client_id.to_owned();
        let one = OfClient { clients: self.clients.clone(), client_id };
        Some(Place { _permit: permit, _taken_by: TakenBy::Client { _one: one } })
    }

    /// A place for anybody at `address`, if there is one for strangers; without an address they all
    /// count as one.
    pub(super) fn take_as_stranger(&self, address: Option<IpAddr>) -> Option<Place> {
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
        Some(Place { _permit: permit, _taken_by: TakenBy::Stranger { _one: stranger } })
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

impl Drop for OfClient {
    fn drop(&mut self) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_client) = clients.get_mut(&self.client_id) {
            *of_client = of_client.saturating_sub(1);
            if *of_client == 0 {
                clients.remove(&self.client_id);
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
        Places::new(max, per_address)
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
        assert!(places.take("app").is_some(), "a holder of the scope needs no address");
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
        let holders: Vec<_> = (0..8).map(|_| places.take("app")).collect();
        assert_eq!(holders.iter().flatten().count(), 2);
        drop((strangers, holders));
        let holders: Vec<_> = (0..9).map(|n| places.take(&format!("app{}", n % 2))).collect();
        assert_eq!(holders.iter().flatten().count(), 8);
        assert!(places.take_as_stranger(None).is_none());
    }

    #[test]
    fn one_client_cannot_take_them_all() {
        let places = places(8, 8);
        let mut of_one: Vec<_> = (0..8).filter_map(|_| places.take("one")).collect();
        assert_eq!(of_one.len(), 4);
        let of_other: Vec<_> = (0..8).filter_map(|_| places.take("other")).collect();
        assert_eq!(of_other.len(), 4);
        drop(of_one.pop());
        assert!(places.take("other").is_none());
        assert!(places.take("one").is_some(), "the place of who has gone is free again");
        drop((of_one, of_other));
        assert!(places.clients.lock().unwrap().is_empty());
    }

    #[test]
    fn without_places_nobody_listens() {
        assert!(
            places(0, 0).take("app").is_none() && places(0, 0).take_as_stranger(None).is_none()
        );
        assert!(places(1, 1).take_as_stranger(None).is_some());
        assert!(places(1, 1).take("app").is_some());
    }
}
