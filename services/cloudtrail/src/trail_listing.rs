//! Trails. None can be made yet (`CreateTrail` answers `NotImplemented`), so there are none.

use api_cloudtrail::{DescribeTrailsInput, DescribeTrailsOutput, ListTrailsInput, ListTrailsOutput};
use plane::{ApiError, Call};

pub(crate) async fn describe_trails(_cx: &mut Call, _input: DescribeTrailsInput) -> Result<DescribeTrailsOutput, ApiError> {
    Ok(DescribeTrailsOutput { trail_list: Some(Vec::new()) })
}

pub(crate) async fn list_trails(_cx: &mut Call, _input: ListTrailsInput) -> Result<ListTrailsOutput, ApiError> {
    Ok(ListTrailsOutput { trails: Some(Vec::new()), next_token: None })
}
