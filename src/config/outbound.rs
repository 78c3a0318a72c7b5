//! The section `outbound`.

use std::path::PathBuf;
use std::str::FromStr;

use super::check::Check;
use crate::storage::outbound::{Allowed, OutboundPolicy};

impl Check<'_> {
    pub(super) fn outbound(&mut self) -> Option<OutboundPolicy> {
        let timeout = self.duration("outbound.timeout");
        let ca_file = self.text("outbound.ca_file");
        let allow = self.items("outbound.allow", Allowed::from_str);
        let ca_file = Some(PathBuf::from(ca_file?)).filter(|file| !file.as_os_str().is_empty());
        let policy = OutboundPolicy::new(timeout?, ca_file.as_deref(), allow?);
        self.accept_policy("outbound", policy)
    }
}
