//! `cargo xtask codegen`: facts and types from the pinned models.
//!
//! The Python scripts in `xtask/codegen` do the extraction, because the models come as Python packages; this file gives them a
//! virtual environment with the pinned versions, formats what they wrote and compares or installs it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use crate::python;

#[derive(clap::Args)]
pub(crate) struct Codegen {
    /// Change nothing; fail when a committed file differs from a fresh extraction.
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum CodegenError {
    #[error("{0}")]
    Python(String),
    #[error("cannot use `{path}`: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("cannot start `{program}`: {source}")]
    Start { program: String, source: io::Error },
    #[error("`{program}` failed: {output}")]
    Failed { program: String, output: String },
    #[error("these files are not what `cargo xtask codegen` makes of the overlays and models:\n  {}", .0.join("\n  "))]
    Stale(Vec<String>),
}

impl Codegen {
    pub(crate) fn run(&self) -> Result<String, CodegenError> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let scripts = root.join("xtask/codegen");
        let python =
            python::environment(&root.join("target/codegen-venv"), &scripts.join("requirements.txt")).map_err(CodegenError::Python)?;
        let out = root.join("target/codegen-out");
        if out.exists() {
            fs::remove_dir_all(&out).map_err(|source| CodegenError::File { path: out.clone(), source })?;
        }
        let folders = [root.join("facts"), out.join("facts"), out.join("crates")];
        execute(Command::new(python).arg("-B").arg(scripts.join("extract.py")).args(&folders))?;

        let mut fresh = BTreeSet::new();
        files_below(&out, &out, &mut fresh)?;
        // A module is formatted with the root that declares it.
        let roots = fresh.iter().filter(|path| path.ends_with("src/lib.rs")).map(|path| out.join(path));
        execute(Command::new("rustfmt").args(["--edition", "2024"]).args(roots))?;

        let changed = changed_files(&root, &out, &fresh)?;
        if self.check {
            return if changed.is_empty() {
                Ok(format!("{} generated files are fresh", fresh.len()))
            } else {
                Err(CodegenError::Stale(changed))
            };
        }
        for path in &fresh {
            install(&out.join(path), &root.join(path))?;
        }
        // A file that is no longer made is named, not removed: it may be somebody's work.
        let left: Vec<String> = changed.iter().filter(|path| !fresh.contains(Path::new(path))).cloned().collect();
        if !left.is_empty() {
            return Err(CodegenError::Stale(left));
        }
        Ok(format!("{} generated files, {} changed", fresh.len(), changed.len()))
    }
}

/// Fresh files that differ from the committed ones, and committed generated files that are no longer made.
fn changed_files(root: &Path, out: &Path, fresh: &BTreeSet<PathBuf>) -> Result<Vec<String>, CodegenError> {
    let mut changed = Vec::new();
    for path in fresh {
        if fs::read(root.join(path)).ok() != Some(read(&out.join(path))?) {
            changed.push(path.display().to_string());
        }
    }
    let mut committed = BTreeSet::new();
    files_below(&root.join("facts"), root, &mut committed)?;
    for folder in entries(&root.join("crates"))? {
        if folder.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with("api-")) {
            files_below(&folder, root, &mut committed)?;
        }
    }
    // The overlays and explanations are kept by hand.
    let by_hand = |path: &Path| path.starts_with("facts") && matches!(path.extension().and_then(OsStr::to_str), Some("toml" | "md"));
    changed.extend(committed.difference(fresh).filter(|path| !by_hand(path)).map(|path| path.display().to_string()));
    Ok(changed)
}

/// Paths of all files below `folder`, relative to `base`.
fn files_below(folder: &Path, base: &Path, found: &mut BTreeSet<PathBuf>) -> Result<(), CodegenError> {
    for path in entries(folder)? {
        if path.is_dir() {
            files_below(&path, base, found)?;
        } else if let Ok(relative) = path.strip_prefix(base) {
            found.insert(relative.to_owned());
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, CodegenError> {
    let listed = fs::read_dir(folder).and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect());
    listed.map_err(|source| CodegenError::File { path: folder.to_owned(), source })
}

fn install(from: &Path, to: &Path) -> Result<(), CodegenError> {
    let content = read(from)?;
    if fs::read(to).ok().as_ref() == Some(&content) {
        return Ok(());
    }
    let written = to.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(to, content));
    written.map_err(|source| CodegenError::File { path: to.to_owned(), source })
}

fn read(path: &Path) -> Result<Vec<u8>, CodegenError> {
    fs::read(path).map_err(|source| CodegenError::File { path: path.to_owned(), source })
}

fn execute(command: &mut Command) -> Result<(), CodegenError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|source| CodegenError::Start { program: program.clone(), source })?;
    if output.status.success() {
        return Ok(());
    }
    Err(CodegenError::Failed { program, output: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
}
