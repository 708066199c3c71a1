//! Reading and changing event selectors.

use api_cloudtrail::{GetEventSelectorsInput, GetEventSelectorsOutput, PutEventSelectorsInput, PutEventSelectorsOutput};
use plane::{ApiError, Call};

use crate::error::TrailError;
use crate::selector::Selectors;
use crate::trail;

pub(crate) async fn put_event_selectors(cx: &mut Call, input: PutEventSelectorsInput) -> Result<PutEventSelectorsOutput, ApiError> {
    let mut trail = trail::find_to_change(cx, &input.trail_name).await?;
    trail.selectors = match (input.event_selectors, input.advanced_event_selectors) {
        (Some(basic), None) => Selectors::from_basic(basic)?,
        (None, Some(advanced)) => Selectors::from_advanced(advanced)?,
        _ => {
            return Err(TrailError::Selectors("A trail has either event selectors or advanced event selectors.".to_owned()).into());
        }
    };
    trail.put(&mut cx.tx)?;
    Ok(PutEventSelectorsOutput {
        trail_arn: Some(trail.arn()),
        event_selectors: trail.selectors.to_basic(),
        advanced_event_selectors: trail.selectors.to_advanced(),
    })
}

pub(crate) async fn get_event_selectors(cx: &mut Call, input: GetEventSelectorsInput) -> Result<GetEventSelectorsOutput, ApiError> {
    let trail = trail::find(cx, &input.trail_name).await?;
    Ok(GetEventSelectorsOutput {
        trail_arn: Some(trail.arn()),
        event_selectors: trail.selectors.to_basic(),
        advanced_event_selectors: trail.selectors.to_advanced(),
    })
}
