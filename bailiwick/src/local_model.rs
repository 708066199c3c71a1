//! Models in this process: GGUF files of the models folder, each under the name of its file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bedrock::{LocalEnding, LocalFailure, LocalModel, LocalRequest};
use embedded_model::{GenerateError, Message, Model, Request};

/// What the identifiers of these models begin with.
const PREFIX: &str = "local.";
const NAME_LENGTH_MAX: usize = 63;
/// Largest file that is loaded.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// A model of the folder.
struct Installed {
    id: String,
    provider: String,
    model: Model,
}

/// Files of models in a folder, in the order of their names. A folder that is not there holds none.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "gguf"));
    files.sort();
    files
}

/// The identifier of a file's model: its name in the characters that Bedrock's model identifiers have (lower-case letters, digits, hyphens, and
/// 63 of them behind the dot at most; source: the pattern of `modelId` in the reference of `Converse`).
pub fn id_of(path: &Path) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let name = stem.chars().map(|character| if character.is_ascii_alphanumeric() { character } else { '-' });
    format!("{PREFIX}{}", name.take(NAME_LENGTH_MAX).collect::<String>())
}

/// Reads a file's model.
pub fn read(path: &Path) -> Result<Model, String> {
    let told = |error: &dyn std::fmt::Display| format!("`{}` cannot be used: {error}", path.display());
    let length = std::fs::metadata(path).map_err(|error| told(&error))?.len();
    if length > FILE_BYTES_MAX {
        return Err(told(&"the file is too large"));
    }
    let bytes = std::fs::read(path).map_err(|error| told(&error))?;
    Model::read(&bytes).map_err(|error| told(&error))
}

/// The models of a folder, ready to answer. One that cannot be read is left out and told in the log.
pub fn load(folder: &Path) -> Vec<Arc<dyn LocalModel>> {
    let mut models: Vec<Arc<dyn LocalModel>> = Vec::new();
    for path in files(folder) {
        match read(&path) {
            Ok(model) => {
                let provider = format!("Bailiwick (embedded on this machine's CPU: {})", model.name());
                models.push(Arc::new(Installed { id: id_of(&path), provider, model }));
            }
            Err(error) => tracing::error!(%error, "an installed model is left out"),
        }
    }
    models
}

/// The model's own numbers have half the digits.
#[expect(clippy::cast_possible_truncation, reason = "the parameters are between 0 and 2 and need no more digits")]
fn single(number: f64) -> f32 {
    number as f32
}

fn request(request: &LocalRequest) -> Request<'_> {
    Request {
        messages: request.messages.iter().map(|message| Message { role: &message.role, text: &message.text }).collect(),
        raw: request.raw,
        max_tokens: request.max_tokens,
        temperature: request.temperature.map(single),
        top_p: request.top_p.map(single),
        seed: request.seed,
        stop: request.stop.iter().map(String::as_str).collect(),
    }
}

fn failure(error: GenerateError) -> LocalFailure {
    match error {
        GenerateError::Busy => LocalFailure::Busy,
        other => LocalFailure::Request(format!("The model cannot answer: {other}.")),
    }
}

impl LocalModel for Installed {
    fn id(&self) -> String {
        self.id.clone()
    }

    fn provider(&self) -> String {
        self.provider.clone()
    }

    fn count_tokens(&self, asked: &LocalRequest) -> Result<usize, LocalFailure> {
        self.model.count_tokens(&request(asked)).map_err(failure)
    }

    fn generate(&self, asked: &LocalRequest, piece: &mut dyn FnMut(&str) -> bool) -> Result<LocalEnding, LocalFailure> {
        let ending = self.model.generate(&request(asked), piece).map_err(failure)?;
        Ok(LocalEnding { input_tokens: ending.input_tokens, output_tokens: ending.output_tokens, is_cut: ending.is_cut, stop: ending.stop })
    }
}
