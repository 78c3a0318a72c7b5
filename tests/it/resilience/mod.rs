//! What happens when a store goes away, Signet is killed, or both happen at bad moments.

mod crash;
mod hang_up;
mod late_stores;
mod login_hang_up;
mod neighbour;
mod outage;
mod overload;
mod shutdown;
mod store_state;
mod two_at_once;
