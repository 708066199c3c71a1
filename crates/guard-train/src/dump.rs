//! Examples and measured sets as JSON lines, for the trainer of the transformer stage, which is written in Python.

use std::io::{BufWriter, Write};
use std::path::Path;

use guard::model::{HEADS, WordPieces, normalise};

use crate::evaluate::{SAFE, direct, documents, harm, lines, load};
use crate::example::{DATA, Example, Labels, USER, known};

const HARM_SETS: [(&str, usize); 4] = [("cm_surge_toxicity", 1), ("cm_davidson", 40), ("cm_advbench", 4), ("cm_malicious_instruct", 1)];

/// Most pieces of a row; longer ones are measured by their windows.
const PIECES_MAX: usize = 4_000;

struct Writer<'p, W: Write> {
    out: W,
    pieces: &'p WordPieces,
}

impl<W: Write> Writer<'_, W> {
    fn line(&mut self, text: &str, labels: Labels, weight: f32, origin: &str) -> Result<(), String> {
        let labels: Vec<serde_json::Value> = labels.iter().map(|label| label.map_or(serde_json::Value::Null, Into::into)).collect();
        let ids: Vec<usize> = self.pieces.cut(text, PIECES_MAX).iter().map(|piece| piece.id).collect();
        let row = serde_json::json!({ "text": text, "labels": labels, "weight": weight, "origin": origin, "pieces": ids });
        writeln!(self.out, "{row}").map_err(|error| format!("the examples cannot be written: {error}"))
    }

    fn set(&mut self, name: &str, head: usize, is_positive: bool, texts: &[String]) -> Result<(), String> {
        for text in texts {
            let label = if is_positive { 1.0 } else { 0.0 };
            self.line(&normalise(text), known(&[(head, label)]), 0.0, &format!("eval:{name}"))?;
        }
        Ok(())
    }
}

/// Writes the examples, then what is measured: rows of origin `eval:...` that have the weight 0. A harmful row of no known category has the label of
/// the head behind the last.
pub(crate) fn write(examples: &[Example], pieces: &WordPieces, folder: &Path, file: &Path) -> Result<(), String> {
    let out = std::fs::File::create(file).map_err(|error| format!("`{}` cannot be written: {error}", file.display()))?;
    let mut writer = Writer { out: BufWriter::new(out), pieces };
    for example in examples {
        writer.line(&example.text, example.labels, example.weight, example.origin)?;
    }
    let sets = direct(folder)?;
    for (name, texts) in &sets.attacks {
        writer.set(name, USER, true, texts)?;
    }
    for (name, texts) in &sets.benign {
        writer.set(name, USER, false, texts)?;
    }
    for (name, hidden, plain) in documents(folder)? {
        writer.set(&name, DATA, true, &hidden)?;
        writer.set(&name, DATA, false, &plain)?;
    }
    for (category, text) in harm() {
        writer.line(&normalise(&text), [None; HEADS], 1.0, &format!("harm:{category}"))?;
    }
    for text in lines(SAFE) {
        writer.line(&normalise(&text), [None; HEADS], 0.0, "harm:safe")?;
    }
    for (name, step) in HARM_SETS {
        for row in load(folder, name)?.into_iter().step_by(step) {
            let label = if row.is_positive { 1.0 } else { 0.0 };
            writer.line(&normalise(&row.text), [None; HEADS], label, &format!("harm:{name}"))?;
        }
    }
    writer.out.flush().map_err(|error| format!("the examples cannot be written: {error}"))
}
