//! `cargo xtask train`: trains the models that `guard` ships, or measures them. The trainer is a program of its own, `crates/guard-train`.

use std::path::PathBuf;

use crate::process;

#[derive(clap::Args)]
pub(crate) struct Train {
    /// The folder of the data sets; `crates/guard/weights/MODEL_CARD.md` names them, `data.sha256` beside it has their hashes.
    #[arg(long)]
    data: PathBuf,
    /// Measure the shipped weights and train nothing.
    #[arg(long)]
    evaluate: bool,
    /// What the trainer gets besides, for example `-- --own-only` or `-- --leave-one-out`; with it no weights are written.
    #[arg(last = true, value_name = "ARGUMENT")]
    more: Vec<String>,
}

impl Train {
    pub(crate) fn run(self) -> Result<String, String> {
        let mut command = process::cargo();
        command.args(["run", "--release", "-p", "guard-train", "--", "--data"]).arg(&self.data);
        if self.evaluate {
            command.arg("--shipped");
        } else if self.more.is_empty() {
            command.arg("--out").arg(process::root().join("crates/guard/weights"));
        }
        if let Some(prose) = sources() {
            command.arg("--prose").arg(prose);
        }
        let ended = process::show(command.args(&self.more))?;
        if ended.success { Ok("done".to_owned()) } else { Err("the trainer failed".to_owned()) }
    }
}

/// Where cargo unpacked the crates of the lock file: their prose and code is benign text.
fn sources() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))?;
    std::fs::read_dir(home.join("registry/src")).ok()?.flatten().map(|entry| entry.path()).find(|path| path.is_dir())
}
