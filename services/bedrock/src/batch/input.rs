//! What a job reads: files of lines, each a JSON object with a `recordId` and a `modelInput`.
//!
//! Source: Bedrock User Guide, "Format and upload your batch inference data". Whether a `modelInput` is what the model takes is found out when it
//! is asked; everything else is looked at before the first record is.

use std::str;

use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::job::{BatchJob, InputFile};
use crate::refusal::Refusal;
use crate::s3_data::{File, Folder, Role};
use plane::ApiError;

const SUFFIX: &str = ".jsonl";
/// Largest file. A file is in memory while its records are asked.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
const FILES_MAX: usize = 100;
/// Records of a job. Source: AWS General Reference, "Amazon Bedrock endpoints and quotas" (records per job, most models).
const RECORDS_MAX: usize = 50_000;
/// Longest id of a record.
const ID_LENGTH_MAX: usize = 256;

/// A record.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Line {
    #[serde(rename = "recordId")]
    pub(super) record_id: Option<String>,
    #[serde(rename = "modelInput")]
    pub(super) model_input: Map<String, Json>,
}

/// Finds the files of a job and looks through them; with the number of their records.
pub(super) async fn validate(job: &BatchJob, role: &Role) -> Result<(Vec<InputFile>, usize), ApiError> {
    let folder = Folder::parse(&job.input.uri)?;
    let mut files = Vec::new();
    if folder.prefix.ends_with(SUFFIX) {
        let name = folder.prefix.rsplit('/').next().unwrap_or_default().to_owned();
        files.push(InputFile { key: folder.prefix.clone(), name, etag: None });
    } else {
        let prefix = folder.key("");
        for key in role.list(&folder.bucket, &prefix, job.input.owner.as_deref(), FILES_MAX).await? {
            if let Some(name) = key.strip_prefix(&prefix).filter(|name| name.ends_with(SUFFIX)) {
                files.push(InputFile { name: name.to_owned(), key, etag: None });
            }
        }
    }
    if files.is_empty() {
        return Err(Refusal::invalid(format!("There is no {SUFFIX} file at `{}`.", job.input.uri)).into());
    }
    if files.len() > FILES_MAX {
        return Err(Refusal::quota("files of a job", FILES_MAX).into());
    }
    let mut total = 0_usize;
    for file in &mut files {
        let read = object(job, role, &folder, file).await?;
        let lines = parse(&file.name, &read.content)?;
        total = total.saturating_add(lines.len());
        if total > RECORDS_MAX {
            return Err(Refusal::quota("records of a job", RECORDS_MAX).into());
        }
        file.etag = read.etag;
    }
    if total == 0 {
        return Err(Refusal::invalid(format!("The files at `{}` hold no records.", job.input.uri)).into());
    }
    Ok((files, total))
}

async fn object(job: &BatchJob, role: &Role, folder: &Folder, file: &InputFile) -> Result<File, ApiError> {
    role.object(&folder.bucket, &file.key, job.input.owner.as_deref(), FILE_BYTES_MAX).await
}

/// Reads a validated file again.
pub(super) async fn read(job: &BatchJob, role: &Role, file: &InputFile) -> Result<Vec<Line>, ApiError> {
    let folder = Folder::parse(&job.input.uri)?;
    let read = object(job, role, &folder, file).await?;
    if read.etag != file.etag {
        return Err(Refusal::invalid(format!("The input file `{}` was changed while the job was under way.", file.key)).into());
    }
    Ok(parse(&file.name, &read.content)?)
}

/// The records of a file. Empty lines are none.
fn parse(name: &str, content: &[u8]) -> Result<Vec<Line>, Refusal> {
    let text = str::from_utf8(content).map_err(|_| Refusal::invalid(format!("The input file `{name}` is not UTF-8.")))?;
    let mut lines = Vec::new();
    for (place, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |why: &str| Refusal::invalid(format!("Line {} of the input file `{name}` {why}.", place.saturating_add(1)));
        let json: Json = serde_json::from_str(line).map_err(|_| wrong("is not JSON"))?;
        let line: Line = serde_json::from_value(json)
            .map_err(|_| wrong("is not a record: an object with an object `modelInput`, and a text `recordId` if any"))?;
        if line.record_id.as_ref().is_some_and(|id| id.is_empty() || id.len() > ID_LENGTH_MAX) {
            return Err(wrong("has a `recordId` that is empty or too long"));
        }
        lines.push(line);
        if lines.len() > RECORDS_MAX {
            return Err(Refusal::quota("records of a job", RECORDS_MAX));
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_records_or_the_file_is_refused() {
        let read = |text: &str| parse("a.jsonl", text.as_bytes());
        let lines = read("{\"recordId\":\"1\",\"modelInput\":{\"a\":1}}\n\n{\"modelInput\":{}}\r\n").unwrap();
        assert_eq!(lines.iter().map(|line| line.record_id.as_deref()).collect::<Vec<_>>(), [Some("1"), None]);
        for (bad, words) in [
            ("{\"modelInput\":{}}\n{", "Line 2 of the input file `a.jsonl` is not JSON"),
            ("[]", "Line 1 of the input file `a.jsonl` is not a record"),
            ("{\"recordId\":\"1\"}", "not a record"),
            ("{\"recordId\":1,\"modelInput\":{}}", "not a record"),
            ("{\"recordId\":\"1\",\"modelInput\":\"x\"}", "not a record"),
            ("{\"recordId\":\"\",\"modelInput\":{}}", "empty or too long"),
        ] {
            let refusal = read(bad).unwrap_err().to_string();
            assert!(refusal.contains(words), "{bad}: {refusal}");
        }
        assert!(parse("a.jsonl", b"\xff").is_err());
    }
}
