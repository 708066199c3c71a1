//! `TestMetricFilter`: which messages a pattern matches.

use std::collections::BTreeMap;

use api_logs::{MetricFilterMatchRecord, TestMetricFilterInput, TestMetricFilterOutput};
use plane::{ApiError, Call};

use crate::filter_pattern::FilterPattern;

pub(crate) async fn test_metric_filter(_: &mut Call, input: TestMetricFilterInput) -> Result<TestMetricFilterOutput, ApiError> {
    let pattern = FilterPattern::parse(&input.filter_pattern)?;
    let matches = (1_i64..).zip(input.log_event_messages).filter(|(_, message)| pattern.matches(message)).map(|(number, message)| {
        let extracted: BTreeMap<String, String> = pattern.extract(&message).into_iter().collect();
        MetricFilterMatchRecord { event_number: Some(number), extracted_values: Some(extracted), event_message: Some(message) }
    });
    Ok(TestMetricFilterOutput { matches: Some(matches.collect()) })
}
