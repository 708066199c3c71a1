//! What each stage says about the measured sets, a line a text: to choose how the stages are added up and where the bands lie.

use std::io::{BufWriter, Write};
use std::path::Path;

use guard::Provenance;
use guard::model::{HEADS, Model, attack_logit, content_logits, normalise, windows};

use crate::evaluate::{SAFE, direct, documents, harm, lines, load};
use crate::example::WINDOW_BYTES;

/// Sets of which every text counts; of others a part, so that it takes minutes.
const WHOLE: [&str; 4] = ["hand", "fresh", "bastion", "bipia email"];

struct Writer<'m, W: Write> {
    out: W,
    is_whole: bool,
    shallow: &'m Model,
    deep: &'m Model,
}

impl<W: Write> Writer<'_, W> {
    fn line(&mut self, name: &str, label: u8, provenance: Provenance, text: &str) -> Result<(), String> {
        let plain = normalise(text);
        let mut deep = [f32::MIN; HEADS];
        for window in windows(&plain, WINDOW_BYTES) {
            let read = plain.get(window).and_then(|part| self.deep.read_deeply(part)).unwrap_or([f32::MIN; HEADS]);
            for (target, logit) in deep.iter_mut().zip(read) {
                *target = target.max(logit);
            }
        }
        let shallow = attack_logit(self.shallow, text, provenance);
        let content = content_logits(self.shallow, text);
        let numbers: Vec<String> = std::iter::once(&shallow).chain(&deep).chain(&content).map(|logit| format!("{logit:.3}")).collect();
        writeln!(self.out, "{name}\t{label}\t{}", numbers.join("\t")).map_err(|error| format!("the scores cannot be written: {error}"))
    }

    fn set(&mut self, name: &str, label: u8, provenance: Provenance, texts: &[String], most: usize) -> Result<(), String> {
        let step = if self.is_whole || WHOLE.iter().any(|whole| name.starts_with(whole)) { 1 } else { (texts.len() / most).max(1) };
        texts.iter().step_by(step).try_for_each(|text| self.line(name, label, provenance, text))
    }
}

/// Writes the lines. A name begins with `user`, `data` or `harm`.
pub(crate) fn write(shallow: &Model, deep: &Model, folder: &Path, file: &Path, is_whole: bool) -> Result<(), String> {
    let out = std::fs::File::create(file).map_err(|error| format!("`{}` cannot be written: {error}", file.display()))?;
    let mut writer = Writer { out: BufWriter::new(out), is_whole, shallow, deep };
    for (category, text) in harm() {
        writer.line(&format!("harm {category}"), 1, Provenance::User, &text)?;
    }
    writer.set("harm safe", 0, Provenance::User, &lines(SAFE), 1_000)?;
    for name in ["cm_surge_toxicity", "cm_davidson", "cm_advbench", "cm_malicious_instruct"] {
        let rows = load(folder, name)?;
        let step = if is_whole && rows.len() < 2_000 { 1 } else { (rows.len() / if is_whole { 600 } else { 200 }).max(1) };
        for row in rows.iter().step_by(step) {
            writer.line(&format!("harm {name}"), u8::from(row.is_positive), Provenance::User, &row.text)?;
        }
    }
    for (name, hidden, plain) in documents(folder)?.into_iter().rev() {
        let name = format!("data {name}");
        writer.set(&name, 1, Provenance::Data, &hidden, 60)?;
        writer.set(&name, 0, Provenance::Data, &plain, 60)?;
    }
    let sets = direct(folder)?;
    for (name, texts) in &sets.attacks {
        writer.set(name, 1, Provenance::User, texts, 150)?;
    }
    for (name, texts) in &sets.benign {
        writer.set(name, 0, Provenance::User, texts, 150)?;
    }
    writer.out.flush().map_err(|error| format!("the scores cannot be written: {error}"))
}
