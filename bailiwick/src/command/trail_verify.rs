//! `bailiwick trail verify`: checks a trail's files, its keys and the signed log against each other and against what witnesses saw.
//!
//! Without further options it asks the running server for everything. Each part can come from elsewhere instead: a copy of the bucket, a mirror of
//! the log or a backup, a saved `ListPublicKeys` answer, the witness itself. Only then does it not depend on who runs the server.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use evidence::{Evidence, LogView, PublicKey, Report, StoredFile};
use facts::catalog;
use http::Request;
use http_body_util::Full;
use serde_json::json;
use store::MemoryStore;
use transparency::tile::{WIDTH, split_bundle};
use transparency::{Checkpoint, SignedNote, TilePath, VerifierKey};
use wire::{Struct, Value};

use super::running::{CredentialsSource, Running};
use super::{Failure, Settings, output};
use crate::client::{Client, Credentials};
use crate::server::log_pages;

/// Most files of a bucket that are looked at.
const FILES_LIMIT: usize = 1_000_000;
/// Entries that are fetched of a log.
const ENTRIES_LIMIT: u64 = 1 << 32;
/// Largest file of a copied bucket that is read.
const FILE_LIMIT_BYTES: u64 = 64 * 1024 * 1024;

/// Check a trail's files and the signed log; exit code 3 when something was found.
#[derive(clap::Args)]
pub struct Verify {
    /// ARN of the trail.
    #[arg(long, value_name = "ARN")]
    trail_arn: String,
    /// The trail's bucket.
    #[arg(long, value_name = "NAME")]
    bucket: String,
    /// The trail's prefix in the bucket.
    #[arg(long, value_name = "PREFIX", default_value = "")]
    prefix: String,
    /// Region whose files and log are checked; without it the trail's home region.
    #[arg(long = "of-region", value_name = "REGION")]
    of_region: Option<String>,
    /// A copy of the bucket, as `aws s3 sync` makes it, instead of the bucket.
    #[arg(long, value_name = "FOLDER")]
    files: Option<PathBuf>,
    /// Metadata of the copied objects: `{"KEY": {"signature": "..."}}`.
    #[arg(long, value_name = "FILE", requires = "files")]
    metadata: Option<PathBuf>,
    /// The log: URL of its prefix or folder with a mirror of it, instead of the running server's.
    #[arg(long, value_name = "URL|FOLDER", conflicts_with = "backup")]
    log: Option<String>,
    /// A backup, whose store the log is taken from.
    #[arg(long, value_name = "FOLDER")]
    backup: Option<PathBuf>,
    /// A key that the log must be signed with; repeatable. Without one the server's own word is taken.
    #[arg(long = "log-key", value_name = "KEY")]
    log_keys: Vec<String>,
    /// A checkpoint that a witness has cosigned: a file or a URL; repeatable.
    #[arg(long, value_name = "FILE|URL", requires = "witness_keys")]
    witnessed: Vec<String>,
    /// Key of a witness; repeatable.
    #[arg(long = "witness-key", value_name = "KEY")]
    witness_keys: Vec<String>,
    /// A saved answer of `ListPublicKeys` in JSON, instead of asking.
    #[arg(long, value_name = "FILE")]
    public_keys: Option<PathBuf>,
    /// How to print.
    #[arg(long, short, value_enum, default_value_t)]
    output: output::Format,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    credentials: CredentialsSource,
}

impl Verify {
    pub async fn run(self) -> Result<(), Failure> {
        let evidence = self.gather().await?;
        let report = evidence::check(&evidence).map_err(|error| Failure::general(error.to_string()).with_code(2))?;
        self.print(&report, evidence.log_keys.is_empty())?;
        if report.findings.is_empty() { Ok(()) } else { Err(Failure::general("").with_code(3)) }
    }

    async fn gather(&self) -> Result<Evidence, Failure> {
        let home = self.trail_arn.split(':').nth(3).unwrap_or_default().to_owned();
        let region = self.of_region.clone().unwrap_or(home);
        let online = || -> Result<Client, Failure> {
            let mut client = Running::read(&self.settings.resolve()?.data_dir)?.client()?;
            client.region.clone_from(&region);
            Ok(client)
        };
        let log = match (&self.backup, &self.log) {
            (Some(backup), _) => from_backup(backup, &region).await?,
            (None, Some(place)) if place.contains("://") => fetched(&Source::of_url(place)?).await?,
            (None, Some(place)) => fetched(&Source::Folder(PathBuf::from(place))).await?,
            (None, None) => fetched(&Source::Server(online()?, format!("{}{region}", log_pages::PREFIX))).await?,
        };
        let prefix = if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix.trim_end_matches('/')) };
        let files = match &self.files {
            Some(folder) => self.copied(folder, &prefix, &region)?,
            None => self.stored(&online()?, &self.credentials.read()?, &prefix, &region).await?,
        };
        let public_keys = match &self.public_keys {
            Some(path) => Some(evidence::parse_public_keys(&std::fs::read(path)?).map_err(|error| Failure::general(error.to_string()))?),
            None if self.files.is_some() => None,
            None => Some(listed_keys(&online()?, &self.credentials.read()?).await?),
        };
        let mut witnessed = Vec::new();
        for place in &self.witnessed {
            let text = if place.contains("://") { Source::of_url(place)?.text("").await? } else { std::fs::read_to_string(place)? };
            witnessed.push(SignedNote::parse(&text).map_err(|error| Failure::general(format!("`{place}`: {error}")))?);
        }
        Ok(Evidence {
            log,
            log_keys: keys(&self.log_keys)?,
            witnessed,
            witness_keys: keys(&self.witness_keys)?,
            trail_arn: self.trail_arn.clone(),
            region,
            bucket: self.bucket.clone(),
            prefix,
            files,
            public_keys,
        })
    }

    /// Folders of the trail's files in the bucket.
    fn folders(&self, prefix: &str, region: &str) -> [String; 3] {
        let account = self.trail_arn.split(':').nth(4).unwrap_or_default();
        ["CloudTrail", "CloudTrail-Digest", "CloudTrail-Insight"].map(|kind| format!("{prefix}AWSLogs/{account}/{kind}/{region}/"))
    }

    fn copied(&self, folder: &Path, prefix: &str, region: &str) -> Result<Vec<StoredFile>, Failure> {
        let metadata: serde_json::Value = match &self.metadata {
            Some(path) => serde_json::from_slice(&std::fs::read(path)?).map_err(|error| Failure::general(error.to_string()))?,
            None => json!({}),
        };
        let mut files = Vec::new();
        for place in self.folders(prefix, region) {
            let mut paths = Vec::new();
            walk(&folder.join(&place), &mut paths)?;
            for path in paths {
                let key = path.strip_prefix(folder).map_err(|error| Failure::general(error.to_string()))?.to_string_lossy().into_owned();
                if std::fs::metadata(&path)?.len() > FILE_LIMIT_BYTES {
                    return Err(Failure::general(format!("`{}` is larger than {FILE_LIMIT_BYTES} bytes", path.display())));
                }
                let signature = metadata.get(&key).and_then(|of_key| of_key.get("signature")).and_then(|text| text.as_str());
                files.push(StoredFile {
                    bucket: self.bucket.clone(),
                    bytes: std::fs::read(&path)?,
                    signature: signature.map(str::to_owned),
                    key,
                });
            }
        }
        Ok(files)
    }

    async fn stored(&self, client: &Client, credentials: &Credentials, prefix: &str, region: &str) -> Result<Vec<StoredFile>, Failure> {
        let mut files = Vec::new();
        for place in self.folders(prefix, region) {
            let mut token: Option<String> = None;
            loop {
                let mut input = Struct::new();
                input.set("Bucket", Value::Str(self.bucket.clone()));
                input.set("Prefix", Value::Str(place.clone()));
                if let Some(token) = token.take() {
                    input.set("ContinuationToken", Value::Str(token));
                }
                let page = client.call_named(credentials, "s3", "ListObjectsV2", &Value::Struct(input)).await?;
                if let Some(Value::List(items)) = page.member("Contents") {
                    for key in items.iter().filter_map(|item| item.member("Key").and_then(Value::as_str)) {
                        files.push(self.object(client, credentials, key).await?);
                    }
                }
                token = page.member("NextContinuationToken").and_then(Value::as_str).map(str::to_owned);
                if token.is_none() || files.len() > FILES_LIMIT {
                    break;
                }
            }
        }
        Ok(files)
    }

    async fn object(&self, client: &Client, credentials: &Credentials, key: &str) -> Result<StoredFile, Failure> {
        let unknown = || Failure::general("the operation `s3:GetObject` is not known");
        let service = catalog().service("s3").ok_or_else(unknown)?;
        let operation = service.operation("GetObject").ok_or_else(unknown)?;
        let mut input = Struct::new();
        input.set("Bucket", Value::Str(self.bucket.clone()));
        input.set("Key", Value::Str(key.to_owned()));
        let request = client.prepare(service, operation, &Value::Struct(input), Bytes::new())?;
        let answer = client.send(client.sign(request, service, credentials, jiff::Timestamp::now())?).await?;
        if answer.status >= 300 {
            crate::client::decode(service, operation, &answer)?;
        }
        let signature = answer.headers.get("x-amz-meta-signature").and_then(|text| text.to_str().ok()).map(str::to_owned);
        Ok(StoredFile { bucket: self.bucket.clone(), key: key.to_owned(), bytes: answer.body.to_vec(), signature })
    }

    fn print(&self, report: &Report, unpinned: bool) -> Result<(), Failure> {
        if matches!(self.output, output::Format::Json | output::Format::Yaml) {
            let messages: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
            let mut shown = serde_json::to_value(report).map_err(|error| Failure::general(error.to_string()))?;
            if let Some(object) = shown.as_object_mut() {
                object.insert("messages".to_owned(), json!(messages));
            }
            return output::document(self.output, &shown);
        }
        for finding in &report.findings {
            output::line(&finding.to_string())?;
        }
        output::line(&format!(
            "{} findings; {} log entries, {} log files with {} records, {} digest files",
            report.findings.len(),
            report.log_entries,
            report.log_files,
            report.records,
            report.digest_files
        ))?;
        match report.witnessed_size {
            Some(size) => output::line(&format!("a witness vouches for the first {size} log entries"))?,
            None => output::line("no witness vouches for the log: a log that was set back would not be noticed (`--witnessed`)")?,
        }
        if unpinned && self.backup.is_none() {
            output::line("the log's keys were not given (`--log-key`), so its signatures were not looked at")?;
        }
        Ok(())
    }
}

fn keys(texts: &[String]) -> Result<Vec<VerifierKey>, Failure> {
    texts.iter().map(|text| VerifierKey::parse(text).map_err(|error| Failure::general(error.to_string()).with_code(2))).collect()
}

/// All files below a folder; none when there is no folder.
fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), found)?;
        } else if found.len() < FILES_LIMIT {
            found.push(entry.path());
        }
    }
    Ok(())
}

async fn listed_keys(client: &Client, credentials: &Credentials) -> Result<Vec<PublicKey>, Failure> {
    let mut found = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let mut input = Struct::new();
        input.set("StartTime", Value::Time(wire::Timestamp(0)));
        input.set("EndTime", Value::Time(wire::Timestamp(jiff::Timestamp::now().as_millisecond())));
        if let Some(token) = token.take() {
            input.set("NextToken", Value::Str(token));
        }
        let page = client.call_named(credentials, "cloudtrail", "ListPublicKeys", &Value::Struct(input)).await?;
        if let Some(Value::List(items)) = page.member("PublicKeyList") {
            for item in items {
                let (Some(fingerprint), Some(Value::Bytes(der))) =
                    (item.member("Fingerprint").and_then(Value::as_str), item.member("Value"))
                else {
                    continue;
                };
                found.push(PublicKey { fingerprint: fingerprint.to_owned(), der: der.to_vec() });
            }
        }
        token = page.member("NextToken").and_then(Value::as_str).map(str::to_owned);
        if token.is_none() {
            return Ok(found);
        }
    }
}

/// The log of a backup's store: its leaves can be made without any key.
async fn from_backup(backup: &Path, region: &str) -> Result<LogView, Failure> {
    let path = backup.join("regions").join(region).join("state.redb");
    let store = MemoryStore::restore(&path).map_err(|error| Failure::general(error.to_string()))?;
    let leaves = trail::all_leaves(&store).await.map_err(|error| Failure::general(error.to_string()))?;
    Ok(LogView { leaves, ..LogView::default() })
}

/// Where a log's files come from.
enum Source {
    Server(Client, String),
    Folder(PathBuf),
}

impl Source {
    /// A URL of plain HTTP, or of HTTPS under the authority of the running server.
    fn of_url(url: &str) -> Result<Self, Failure> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let bundle = std::env::var_os("AWS_CA_BUNDLE").and_then(|path| std::fs::read_to_string(path).ok());
        let client = Client::new(&format!("{scheme}://{authority}"), "", bundle.as_deref())?;
        Ok(Self::Server(client, format!("/{}", path.trim_end_matches('/'))))
    }

    async fn bytes(&self, name: &str) -> Result<Bytes, Failure> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                std::fs::read(&path).map(Bytes::from).map_err(|error| Failure::general(format!("`{}`: {error}", path.display())))
            }
            Self::Server(client, prefix) => {
                let target = if name.is_empty() { prefix.clone() } else { format!("{prefix}/{name}") };
                let request = Request::get(&target).header("host", &client.authority).body(Full::new(Bytes::new()));
                let answer = client.send(request.map_err(|error| Failure::general(error.to_string()))?).await?;
                if answer.status != 200 {
                    return Err(Failure::general(format!("`{target}` was answered with {}", answer.status)));
                }
                Ok(answer.body)
            }
        }
    }

    async fn text(&self, name: &str) -> Result<String, Failure> {
        String::from_utf8(self.bytes(name).await?.to_vec()).map_err(|_| Failure::general(format!("`{name}` is not text")))
    }
}

/// Checkpoint and all entries.
async fn fetched(source: &Source) -> Result<LogView, Failure> {
    let unreadable = |error: &dyn std::fmt::Display| Failure::general(format!("the log cannot be read: {error}"));
    let note = SignedNote::parse(&source.text("checkpoint").await?).map_err(|error| unreadable(&error))?;
    let size = Checkpoint::parse(&note.text).map_err(|error| unreadable(&error))?.size;
    if size > ENTRIES_LIMIT {
        return Err(unreadable(&format!("it has {size} entries, more than {ENTRIES_LIMIT}")));
    }
    let mut view = LogView { checkpoint: Some(note), leaves: Vec::new() };
    for number in 0..size.div_ceil(WIDTH) {
        let width = u16::try_from((size - number * WIDTH).min(WIDTH)).map_err(|error| unreadable(&error))?;
        let bundle = source.bytes(&TilePath { level: None, number, width }.to_path()).await?;
        for entry in split_bundle(&bundle).map_err(|error| unreadable(&error))? {
            view.push_entry(entry).map_err(|error| unreadable(&error))?;
        }
    }
    Ok(view)
}
