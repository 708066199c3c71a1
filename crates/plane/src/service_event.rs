//! Events of what a service did for a call after the call's own event was made: the end of a streamed answer.
//!
//! Source: CloudTrail User Guide, "Non-API events captured by CloudTrail" (`AwsServiceEvent`).

use serde_json::{Map, Value as Json};
use wire::Value;

use crate::audit::{self, Outcome, PendingEvent};
use crate::call::Call;
use crate::error::ApiError;
use crate::pipeline::Plane;

impl Plane {
    /// The events of notes under the request id of a call that has answered; none without notes.
    pub(crate) fn events_afterwards(
        &self,
        call: &Call,
        event_name: &str,
        notes: &Map<String, Json>,
    ) -> Result<Vec<PendingEvent>, ApiError> {
        if notes.is_empty() {
            return Ok(Vec::new());
        }
        let position = self.regions.position(&call.region).unwrap_or_default();
        let mut events = audit::events(call, position, Json::Null, &Outcome::Done(&Value::Null))?;
        for event in &mut events {
            let record = &mut event.entry.record;
            event_name.clone_into(&mut record.event_name);
            "AwsServiceEvent".clone_into(&mut record.event_type);
            record.additional_event_data = Some(Json::Object(notes.clone()));
            event.time_ms = self.now().0;
            record.event_time = crate::clock::iso8601_s(event.time_ms);
        }
        Ok(events)
    }
}
