//! Virtual environments that hold exactly the pinned packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process;

const PIP: [&str; 2] = ["-m", "pip"];
const INSTALL: [&str; 4] = ["install", "--quiet", "--disable-pip-version-check", "--requirement"];

/// The Python of the environment in `folder`, made or renewed when `requirements` changed. It does not move once it is made.
pub(crate) fn environment(folder: &Path, requirements: &Path) -> Result<PathBuf, String> {
    let python = folder.join("bin/python");
    let wanted = fs::read(requirements).map_err(|error| format!("`{}` cannot be read: {error}", requirements.display()))?;
    let stamp = folder.join("installed.txt");
    if python.exists() && fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    make(folder)?;
    install(&python, requirements)?;
    fs::write(&stamp, wanted).map_err(|error| format!("`{}` cannot be written: {error}", stamp.display()))?;
    Ok(python)
}

/// A package's wheel, for tests that install it themselves. Fetched once.
pub(crate) fn wheel(python: &Path, folder: &Path, package: &str, file: &str) -> Result<PathBuf, String> {
    let path = folder.join(file);
    if !path.exists() {
        let fetch = ["download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:", "--dest"];
        let pip = if succeeds(Command::new(python).args(["-c", "import pip"])) { python } else { Path::new("python3") };
        process::output(Command::new(pip).args(PIP).args(fetch).arg(folder).arg(package))?;
    }
    if path.exists() { Ok(path) } else { Err(format!("`{package}` has no wheel `{file}`")) }
}

/// Debian leaves `ensurepip` out of `python3`: then an environment without pip does, if some pip can install into it.
fn make(folder: &Path) -> Result<(), String> {
    let venv = |extra: &[&str]| process::output(Command::new("python3").args(["-m", "venv", "--clear"]).args(extra).arg(folder)).map(drop);
    if has_module("ensurepip") {
        return venv(&[]);
    }
    if has_module("pip") {
        return venv(&["--without-pip"]);
    }
    if has_module("virtualenv") {
        return process::output(Command::new("python3").args(["-m", "virtualenv", "--clear", "--quiet"]).arg(folder)).map(drop);
    }
    Err("python3 can make no virtual environment: install the package `python3-venv` (Debian, Ubuntu) or `virtualenv`".to_owned())
}

fn install(python: &Path, requirements: &Path) -> Result<(), String> {
    if succeeds(Command::new(python).args(["-c", "import pip"])) {
        return process::output(Command::new(python).args(PIP).args(INSTALL).arg(requirements)).map(drop);
    }
    process::output(Command::new("python3").args(PIP).arg("--python").arg(python).args(INSTALL).arg(requirements)).map(drop)
}

fn has_module(name: &str) -> bool {
    succeeds(Command::new("python3").args(["-c", &format!("import {name}")]))
}

fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
