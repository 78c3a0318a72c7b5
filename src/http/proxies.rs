//! The proxies that are trusted (`http.trusted_proxies`). Only such a proxy may
//! set the caller's address and the id of a request.

use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::dev::ServiceRequest;

use crate::base::network::Network;

pub(super) struct Proxies {
    networks: Vec<Network>,
    warned: AtomicBool,
}

impl Proxies {
    pub(super) fn new(networks: Vec<Network>) -> Self {
        Self { networks, warned: AtomicBool::new(false) }
    }

    /// Whether `request` comes from a trusted proxy. Another peer that sends `X-Forwarded-For` is
    /// logged, once in the life of the process: it is either a proxy that the operator forgot to
    /// name, so that all callers seem to have its address, or anybody who tries.
    pub(super) fn sent(&self, request: &ServiceRequest) -> bool {
        let Some(peer) = request.peer_addr() else { return false };
        let is_trusted = self.networks.iter().any(|network| network.contains(peer.ip()));
        if !is_trusted
            && request.headers().contains_key("x-forwarded-for")
            && !self.warned.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                peer = %peer.ip().to_canonical(),
                "X-Forwarded-For is ignored, since it comes from a peer that is not in \
                 http.trusted_proxies: if that is your proxy, name it there, or all callers have its \
                 address (logged once)"
            );
        }
        is_trusted
    }
}
