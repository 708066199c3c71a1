//! CloudTrail: the trail that the plane keeps, as its API shows it.
//!
//! So far `LookupEvents`, and trail listings that truthfully say that no trail is configured; delivery, digests and Lake follow.
//!
//! Beyond AWS: `LookupEvents` gives data events too. On AWS they are found only where a trail delivers them; here there is one record of
//! everything, and hiding half of it would help nobody.
//!
//! Invariant: nothing here writes events.

mod lookup;
mod trail_listing;

use async_trait::async_trait;
use plane::{Handler, Service, handler};

/// The service.
pub struct CloudTrail;

#[async_trait]
impl Service for CloudTrail {
    fn id(&self) -> &'static str {
        "cloudtrail"
    }

    fn handlers(&self) -> &'static [Handler] {
        &[
            handler!("DescribeTrails", trail_listing::describe_trails),
            handler!("ListTrails", trail_listing::list_trails),
            handler!("LookupEvents", lookup::lookup_events),
        ]
    }
}
