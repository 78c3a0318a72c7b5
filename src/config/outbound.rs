//! The section `outbound`.

use std::str::FromStr;

use super::check::Check;
use crate::storage::outbound::{Allowed, OutboundPolicy};

impl Check<'_> {
    pub(super) fn outbound(&mut self) -> Option<OutboundPolicy> {
        let timeout = self.duration("outbound.timeout");
        let ca_file = self.path("outbound.ca_file");
        let allow = self.items("outbound.allow", Allowed::from_str);
        self.accept_policy("outbound", OutboundPolicy::new(timeout?, ca_file?.as_deref(), allow?))
    }
}
