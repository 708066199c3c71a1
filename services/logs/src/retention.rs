//! How long a group keeps its events.

use api_logs::{DeleteRetentionPolicyInput, DeleteRetentionPolicyOutput, PutRetentionPolicyInput, PutRetentionPolicyOutput};
use plane::{ApiError, Call};

use crate::error::LogsError;
use crate::log_group;

pub(crate) const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Source: CloudWatch Logs API reference, `PutRetentionPolicy`.
const ALLOWED_DAYS: [i32; 22] = [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

pub(crate) async fn put_retention_policy(cx: &mut Call, input: PutRetentionPolicyInput) -> Result<PutRetentionPolicyOutput, ApiError> {
    let days = input.retention_in_days;
    if !ALLOWED_DAYS.contains(&days) {
        let message = format!(
            "1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: {ALLOWED_DAYS:?}"
        );
        return Err(LogsError::Parameter(message).into());
    }
    let mut group = log_group::load(cx, &input.log_group_name).await?;
    group.retention_days = Some(days);
    log_group::save(cx, &group)?;
    Ok(PutRetentionPolicyOutput {})
}

pub(crate) async fn delete_retention_policy(
    cx: &mut Call,
    input: DeleteRetentionPolicyInput,
) -> Result<DeleteRetentionPolicyOutput, ApiError> {
    let mut group = log_group::load(cx, &input.log_group_name).await?;
    group.retention_days = None;
    log_group::save(cx, &group)?;
    Ok(DeleteRetentionPolicyOutput {})
}
