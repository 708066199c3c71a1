//! Data subjects of the invocation log: their erasure, and reading what is sealed under their keys.

use plane::{ApiError, Call, Reply};
use wire::Value;

use crate::{LoggedBody, host, reply, text};

pub(crate) async fn erase_data_subject(cx: &mut Call, input: Value) -> Result<Reply, ApiError> {
    let (host, account) = (host(cx)?, cx.account.clone());
    let (id, erased) = host.erase_data_subject(&mut cx.tx, &account, &text(&input, "DataSubject")).await?;
    Ok(reply([("DataSubjectId", Value::Str(id)), ("Erased", Value::Bool(erased))]))
}

pub(crate) async fn open_logged_body(cx: &mut Call, input: Value) -> Result<Reply, ApiError> {
    let (host, account) = (host(cx)?, cx.account.clone());
    let body = LoggedBody {
        data_subject_id: text(&input, "DataSubjectId"),
        request_id: text(&input, "RequestId"),
        part: text(&input, "Part"),
        sealed: text(&input, "Sealed"),
    };
    let gone = || ApiError::new("ResourceNotFoundException", "the key of the data subject is gone: what it sealed cannot be read any more");
    let opened = host.open_logged_body(&mut cx.tx, &account, body).await?.ok_or_else(gone)?;
    Ok(reply([("Body", Value::Document(serde_json::from_str(&opened)?))]))
}
