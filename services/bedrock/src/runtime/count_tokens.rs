//! `CountTokens`: by the tokenizer of whoever would answer. Without one the call is refused, as AWS does for models that cannot count.

use api_bedrock_runtime::{CountTokensInput, CountTokensInputShape, CountTokensOutput};
use plane::{ApiError, Call};

use super::converse::Conversation;
use super::invoke::prompt_of_body;
use super::state;
use crate::model;
use crate::refusal::Refusal;

pub(crate) async fn count_tokens(cx: &mut Call, input: CountTokensInput) -> Result<CountTokensOutput, ApiError> {
    let prompt = match input.input {
        CountTokensInputShape::Converse(request) => Conversation {
            messages: request.messages,
            system: request.system,
            tools: request.tool_config,
            further: request.additional_model_request_fields,
            ..Conversation::default()
        }
        .into_prompt()?,
        CountTokensInputShape::InvokeModel(request) => prompt_of_body(&input.model_id, &request.body.into_inner())?,
        CountTokensInputShape::Unknown => return Err(Refusal::invalid("The input has neither `converse` nor `invokeModel`.").into()),
    };
    let state = state(cx)?;
    let resolved = model::resolve(cx, &state, &input.model_id).await?;
    let request = prompt.into_request(false);
    let count = state.gateway.count_tokens(cx.plane.as_ref(), &resolved.route, &request).await?;
    Ok(CountTokensOutput { input_tokens: i32::try_from(count).unwrap_or(i32::MAX) })
}
