//! `cargo xtask tidy`: what no compiler checks.

mod condition_keys;
mod dependencies;
mod files;
mod licence;
mod service_table;

use crate::process;

#[derive(clap::Args, Default)]
pub(crate) struct Tidy {
    /// Write the generated parts of the README.
    #[arg(long)]
    write: bool,
}

impl Tidy {
    pub(crate) fn run(&self) -> Result<String, String> {
        let root = process::root();
        if self.write {
            return service_table::write(&root);
        }
        let mut findings = Vec::new();
        let count = files::check(&root, &mut findings)?;
        let packages = dependencies::check(&root, &mut findings)?;
        service_table::check(&root, &mut findings)?;
        condition_keys::check(&root, &mut findings)?;
        if findings.is_empty() {
            return Ok(format!("{count} files and {packages} packages are tidy"));
        }
        Err(format!("{} findings:\n  {}", findings.len(), findings.join("\n  ")))
    }
}
