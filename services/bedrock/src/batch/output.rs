//! What a job writes: for each input file a file of answers, and a manifest of counts.
//!
//! Source: Bedrock User Guide, "View the results of a batch inference job": `PREFIX/JOB-ID/NAME.jsonl.out` and `PREFIX/JOB-ID/manifest.json.out`.

use bytes::Bytes;
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use store::Table;

use super::input::Line;
use super::job::{BatchJob, Counts};
use crate::s3_data::{Folder, Role, Target};

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) record_id: String,
    pub(super) output: Option<Json>,
    /// Status and message, when there is no output.
    pub(super) error: Option<(u16, String)>,
    pub(super) tokens: (u64, u64),
}

/// What became of some records of a file that follow each other, until the file is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Segment {
    pub(super) outcomes: Vec<Outcome>,
}

impl Record for Segment {
    const TABLE: Table = Table("bedrock-batch-segment");
    const SCOPE: Scope = Scope::Region;
}

impl Segment {
    fn of_file(job: &BatchJob, file: usize) -> Key {
        Key::new(&job.account, &job.region).then(&job.id).then(&format!("{file:05}"))
    }

    pub(super) fn key(job: &BatchJob, file: usize, line: usize) -> Key {
        Self::of_file(job, file).last(format!("{line:08}"))
    }
}

/// Outcomes of a file, in the order of its records.
pub(super) async fn outcomes(tx: &mut Transaction, job: &BatchJob, file: usize) -> Result<Vec<Outcome>, ApiError> {
    let rows = tx.scan::<Segment>(&Segment::of_file(job, file), None, SCAN_LIMIT).await?;
    Ok(rows.into_iter().flat_map(|(_, segment)| segment.outcomes).collect())
}

/// Keys of the outcomes of a file, which go when it is written.
pub(super) async fn keys(tx: &mut Transaction, job: &BatchJob, file: usize) -> Result<Vec<Key>, ApiError> {
    let rows = tx.scan::<Segment>(&Segment::of_file(job, file), None, SCAN_LIMIT).await?;
    Ok(rows.into_iter().map(|(line, _)| Segment::of_file(job, file).last(line)).collect())
}

#[derive(Serialize)]
struct Written<'a> {
    #[serde(rename = "recordId")]
    record_id: &'a str,
    #[serde(rename = "modelInput")]
    model_input: &'a Map<String, Json>,
    #[serde(rename = "modelOutput", skip_serializing_if = "Option::is_none")]
    model_output: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Json>,
}

/// The file of answers to the records that were processed.
pub(super) fn lines(lines: &[Line], outcomes: &[Outcome]) -> Result<Bytes, ApiError> {
    let mut written = Vec::new();
    for (line, outcome) in lines.iter().zip(outcomes) {
        let error = outcome.error.as_ref().map(|(status, message)| json!({ "errorCode": status, "errorMessage": message }));
        let record =
            Written { record_id: &outcome.record_id, model_input: &line.model_input, model_output: outcome.output.as_ref(), error };
        serde_json::to_writer(&mut written, &record)?;
        written.push(b'\n');
    }
    Ok(Bytes::from(written))
}

/// Puts a file beside the others of the job.
pub(super) async fn write(job: &BatchJob, role: &Role, name: &str, content: Bytes) -> Result<(), ApiError> {
    let folder = Folder::parse(&job.output.uri)?;
    let target = Target { folder: &folder, bucket_owner: job.output.owner.as_deref(), kms_key: job.kms_key.as_deref() };
    role.write(target, &format!("{}/{name}.out", job.id), "application/json", content).await
}

pub(super) async fn write_manifest(job: &BatchJob, role: &Role, counts: Counts) -> Result<(), ApiError> {
    let manifest = json!({
        "totalRecordCount": counts.total,
        "processedRecordCount": counts.processed,
        "successRecordCount": counts.success,
        "errorRecordCount": counts.error,
        "inputTokenCount": counts.input_tokens,
        "outputTokenCount": counts.output_tokens,
    });
    write(job, role, "manifest.json", Bytes::from(manifest.to_string())).await
}

/// Tokens in and out that an answer tells of, in whichever form it is.
pub(super) fn tokens(answer: &Json) -> (u64, u64) {
    let count = |place: &str| answer.pointer(place).and_then(Json::as_u64);
    let first = |places: &[&str]| places.iter().find_map(|place| count(place)).unwrap_or_default();
    let input =
        first(&["/usage/inputTokens", "/usage/input_tokens", "/usage/prompt_tokens", "/prompt_token_count", "/inputTextTokenCount"]);
    let output = first(&[
        "/usage/outputTokens",
        "/usage/output_tokens",
        "/usage/completion_tokens",
        "/generation_token_count",
        "/results/0/tokenCount",
    ]);
    (input, output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_an_output_or_an_error() {
        let line = Line { record_id: None, model_input: serde_json::from_str(r#"{"b":1,"a":2}"#).unwrap() };
        let outcome = |output: Option<Json>, error| Outcome { record_id: "A".to_owned(), output, error, tokens: (0, 0) };
        let outcomes = [outcome(Some(json!({ "x": 1 })), None), outcome(None, Some((400, "bad".to_owned())))];
        let written = lines(&[line.clone(), line.clone(), line], &outcomes).unwrap();
        assert_eq!(
            String::from_utf8(written.to_vec()).unwrap(),
            "{\"recordId\":\"A\",\"modelInput\":{\"b\":1,\"a\":2},\"modelOutput\":{\"x\":1}}\n\
             {\"recordId\":\"A\",\"modelInput\":{\"b\":1,\"a\":2},\"error\":{\"errorCode\":400,\"errorMessage\":\"bad\"}}\n"
        );
    }

    #[test]
    fn tokens_are_found_in_every_form() {
        assert_eq!(tokens(&json!({ "usage": { "prompt_tokens": 3, "completion_tokens": 4 } })), (3, 4));
        assert_eq!(tokens(&json!({ "inputTextTokenCount": 1, "results": [{ "tokenCount": 2 }] })), (1, 2));
        assert_eq!(tokens(&json!({})), (0, 0));
    }
}
