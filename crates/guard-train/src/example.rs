//! Examples: the permitted data sets, prose of pinned crates, and what the grammar makes.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use guard::model::{HEADS, Head, normalise, windows};

use crate::grammar::Grammar;
use crate::random::Random;

/// Bytes of a window of text, as at run time.
pub(crate) const WINDOW_BYTES: usize = 600;

pub(crate) type Labels = [Option<f32>; HEADS];

/// A window of normalised text with what is known about it.
#[derive(Clone, Debug)]
pub(crate) struct Example {
    pub(crate) text: String,
    pub(crate) labels: Labels,
    pub(crate) weight: f32,
    pub(crate) origin: &'static str,
}

/// A row of a data set, whole.
pub(crate) struct Row {
    pub(crate) text: String,
    pub(crate) is_positive: bool,
    pub(crate) category: String,
}

pub(crate) const USER: usize = 0;
pub(crate) const DATA: usize = 1;
pub(crate) const HATE: usize = 2;
pub(crate) const INSULTS: usize = 3;
pub(crate) const SEXUAL: usize = 4;
pub(crate) const VIOLENCE: usize = 5;
pub(crate) const MISCONDUCT: usize = 6;
const _: () = assert!(Head::ALL.len() == HEADS);

pub(crate) fn known(pairs: &[(usize, f32)]) -> Labels {
    let mut out = [None; HEADS];
    for (head, label) in pairs {
        if let Some(target) = out.get_mut(*head) {
            *target = Some(*label);
        }
    }
    out
}

/// Nothing harmful in it.
const CLEAN: [(usize, f32); 5] = [(HATE, 0.0), (INSULTS, 0.0), (SEXUAL, 0.0), (VIOLENCE, 0.0), (MISCONDUCT, 0.0)];

fn clean(more: &[(usize, f32)]) -> Labels {
    known(&CLEAN.iter().chain(more).copied().collect::<Vec<_>>())
}

/// The grammar of this crate.
pub(crate) fn grammar() -> Grammar {
    Grammar::parse(&[
        include_str!("../grammar/phrases.txt"),
        include_str!("../grammar/attack.txt"),
        include_str!("../grammar/benign.txt"),
        include_str!("../grammar/multilingual.txt"),
        include_str!("../grammar/data.txt"),
        include_str!("../grammar/content.txt"),
        include_str!("../grammar/benign_more.txt"),
        include_str!("../grammar/attack_more.txt"),
        include_str!("../grammar/content_more.txt"),
        include_str!("../grammar/benign_third.txt"),
        include_str!("../grammar/attack_third.txt"),
        include_str!("../grammar/data_third.txt"),
        include_str!("../grammar/content_third.txt"),
        include_str!("../grammar/data_fourth.txt"),
        include_str!("../grammar/attack_fourth.txt"),
        include_str!("../grammar/benign_fourth.txt"),
        include_str!("../grammar/content_fourth.txt"),
        include_str!("../grammar/data_fifth.txt"),
    ])
}

/// A line of a data set.
pub(crate) fn row(line: &str) -> Option<Row> {
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    Some(Row {
        text: value.get("text")?.as_str()?.to_owned(),
        is_positive: value.get("label")?.as_i64()? == 1,
        category: value.get("cat").and_then(|cat| cat.as_str()).unwrap_or_default().to_owned(),
    })
}

/// Reads a data set and notes its hash.
pub(crate) fn rows(folder: &Path, name: &str, hashes: &mut Vec<(String, String, usize)>) -> Result<Vec<Row>, String> {
    let path = folder.join(format!("{name}.jsonl"));
    let bytes = std::fs::read(&path).map_err(|error| format!("`{}` cannot be read: {error}", path.display()))?;
    let mut context = Context::new(&SHA256);
    context.update(&bytes);
    let text = String::from_utf8_lossy(&bytes);
    let rows: Vec<Row> = text.lines().filter_map(row).collect();
    hashes.push((name.to_owned(), hex::encode(context.finish()), rows.len()));
    Ok(rows)
}

/// Collects examples.
pub(crate) struct Builder {
    pub(crate) examples: Vec<Example>,
    pub(crate) random: Random,
    pub(crate) grammar: Grammar,
}

impl Builder {
    pub(crate) fn new(seed: u64) -> Self {
        Self { examples: Vec::new(), random: Random::new(seed), grammar: grammar() }
    }

    fn push(&mut self, text: &str, labels: Labels, weight: f32, origin: &'static str) {
        let text = normalise(text);
        if text.len() >= 2 {
            self.examples.push(Example { text, labels, weight, origin });
        }
    }

    /// The windows of a text, at most `most` of them, chosen by chance.
    fn push_windows(&mut self, text: &str, labels: Labels, weight: f32, origin: &'static str, most: usize) {
        let text = normalise(text);
        let mut parts = windows(&text, WINDOW_BYTES);
        self.random.shuffle(&mut parts);
        for range in parts.into_iter().take(most) {
            if let Some(part) = text.get(range).filter(|part| part.len() >= 2) {
                self.examples.push(Example { text: part.trim().to_owned(), labels, weight, origin });
            }
        }
    }

    fn say(&mut self, section: &str) -> String {
        let said = self.grammar.sentence(section, &mut self.random);
        self.noise(&said)
    }

    /// Case and spelling as people write.
    fn noise(&mut self, text: &str) -> String {
        if text.len() < 12 || !self.random.chance(0.08) {
            return text.to_owned();
        }
        let characters: Vec<char> = text.chars().collect();
        let at = self.random.below(characters.len().saturating_sub(2));
        let mut out = characters;
        if self.random.chance(0.5) {
            out.swap(at, at + 1);
        } else {
            out.remove(at);
        }
        out.into_iter().collect()
    }

    /// Attacks and benign prompts that the grammar makes.
    pub(crate) fn synthetic_user(&mut self, scale: usize) {
        let attack = known(&[(USER, 1.0), (DATA, 1.0)]);
        // The last number: how many of them teach what an instruction in data is, too.
        for (section, count, origin, data) in [
            ("attack_override", 20, "own override", 1.0),
            ("attack_leak", 24, "own leak", 1.0),
            ("jailbreak", 22, "own jailbreak", 1.0),
            ("attack_mix", 20, "own mix", 1.0),
            ("foreign_attack", 12, "own foreign", 1.0),
            ("fourth_attack", 110, "own fourth attack", 0.4),
        ] {
            for _ in 0..count * scale {
                let said = self.say(section);
                let said = if self.random.chance(0.2) { self.embedded(&said) } else { said };
                let labels = if self.random.chance(data) { attack } else { known(&[(USER, 1.0)]) };
                self.push_windows(&said, labels, 1.0, origin, 3);
            }
        }
        for (section, count, origin) in [
            ("benign_user", 40, "own benign"),
            ("trigger_more", 30, "own benign"),
            ("fresh_benign", 90, "own third"),
            ("benign_dense", 30, "own third"),
            ("foreign_benign", 16, "own foreign"),
            ("fourth_benign", 110, "own fourth"),
        ] {
            for _ in 0..count * scale {
                let said = self.say(section);
                // In a document, a request that a user may make is an instruction to the machine.
                let labels = if section == "benign_user" { clean(&[(USER, 0.0), (DATA, 1.0)]) } else { clean(&[(USER, 0.0)]) };
                self.push(&said, labels, 1.0, origin);
            }
        }
    }

    /// An attack between ordinary sentences.
    fn embedded(&mut self, attack: &str) -> String {
        let (before, after) = (self.say("question"), self.say("question"));
        match self.random.below(4) {
            0 => format!("{before} {attack}"),
            1 => format!("{attack} {after}"),
            2 => format!("{before}\n\n{attack}"),
            _ => format!("{before} {attack} {after}"),
        }
    }

    /// Documents with and without instructions in them, and their sentences alone.
    pub(crate) fn synthetic_data(&mut self, scale: usize) {
        let (hidden, innocent) = (known(&[(DATA, 1.0)]), known(&[(DATA, 0.0)]));
        for (section, count, origin) in [
            ("inject_marked", 26, "own marked"),
            ("inject_plain", 12, "own plain"),
            ("inject_task", 44, "own task"),
            ("code_injection", 10, "own code"),
            ("inject_addressed", 24, "own addressed"),
        ] {
            for place in 0..count * scale {
                let injection = self.say(section);
                if place % 2 == 0 {
                    self.push(&injection, hidden, 1.0, origin);
                } else {
                    let carrier = self.say("carrier");
                    let whole = self.inserted(&carrier, &injection);
                    self.push(&whole, hidden, 1.0, origin);
                }
            }
        }
        for _ in 0..48 * scale {
            let carrier = self.say("carrier");
            let clean_labels = clean(&[(DATA, 0.0), (USER, 0.0)]);
            self.push_windows(&carrier, clean_labels, 1.0, "own carrier", 2);
            for line in carrier.lines().filter(|line| line.len() > 8) {
                if self.random.chance(0.3) {
                    self.push(line, innocent, 0.7, "own carrier");
                }
            }
        }
        for _ in 0..22 * scale {
            let said = self.say("code_fourth");
            self.push_windows(&said, clean(&[(DATA, 0.0)]), 1.0, "own code answer", 2);
        }
        for (section, count) in [("letter_line", 10), ("line_third", 40), ("line_fourth", 8), ("fifth_line", 20)] {
            for _ in 0..count * scale {
                let line = self.say(section);
                self.push(&line, clean(&[(DATA, 0.0)]), 1.0, "own line");
            }
        }
    }

    /// A carrier with an instruction at the start, the end, after a line, or in a cell or string; cut to one window.
    pub(crate) fn inserted(&mut self, carrier: &str, injection: &str) -> String {
        let breaks: Vec<usize> = carrier.match_indices(['\n', '"', '|', '.']).map(|(at, sign)| at + sign.len()).collect();
        let place = match self.random.below(4) {
            0 => 0,
            1 => carrier.len(),
            _ => self.random.pick(&breaks).copied().unwrap_or(carrier.len()),
        };
        let (before, after) = carrier.split_at_checked(place).unwrap_or((carrier, ""));
        let room = WINDOW_BYTES.saturating_sub(injection.len()) / 2;
        let tail = |text: &str| text.chars().rev().take(room).collect::<Vec<_>>().into_iter().rev().collect::<String>();
        let joint = if self.random.chance(0.5) { " " } else { "\n" };
        format!("{}{joint}{injection}{joint}{}", tail(before), after.chars().take(room).collect::<String>())
    }

    /// Harmful and harmless statements that the grammar makes.
    pub(crate) fn synthetic_content(&mut self, scale: usize) {
        for (section, head, count) in [
            ("hate", HATE, 26),
            ("insult", INSULTS, 26),
            ("sexual", SEXUAL, 22),
            ("violence", VIOLENCE, 26),
            ("misconduct", MISCONDUCT, 24),
        ] {
            for _ in 0..count * scale {
                let mut said = self.say(section);
                if self.random.chance(0.3) {
                    let more_of = if self.random.chance(0.5) { section } else { "plain_statement" };
                    let more = self.say(more_of);
                    said = format!("{said} {more}");
                }
                let others = match head {
                    HATE => known(&[(HATE, 1.0), (SEXUAL, 0.0), (MISCONDUCT, 0.0)]),
                    INSULTS => known(&[(INSULTS, 1.0), (MISCONDUCT, 0.0)]),
                    SEXUAL => known(&[(SEXUAL, 1.0), (HATE, 0.0), (VIOLENCE, 0.0)]),
                    VIOLENCE => known(&[(VIOLENCE, 1.0), (SEXUAL, 0.0)]),
                    _ => known(&[(MISCONDUCT, 1.0), (HATE, 0.0), (SEXUAL, 0.0), (INSULTS, 0.0)]),
                };
                self.push(&said, others, 1.0, "own content");
            }
        }
        for _ in 0..40 * scale {
            let said = self.say("long_benign");
            self.push(&said, clean(&[(USER, 0.0)]), 1.0, "own benign");
        }
        for (section, count) in [("violent_benign", 16), ("safe_harsh", 50)] {
            for _ in 0..count * scale {
                let said = self.say(section);
                self.push(&said, clean(&[(USER, 0.0)]), 1.0, "own harsh");
            }
        }
    }

    /// The permitted data sets.
    pub(crate) fn data_sets(&mut self, folder: &Path, hashes: &mut Vec<(String, String, usize)>) -> Result<(), String> {
        for (name, origin, weight) in [
            ("pi_slabs_train", "slabs", 1.0),
            ("pi_neuralchemy_train", "neuralchemy", 0.6),
            ("pi_yanismiraoui", "yanismiraoui", 1.0),
            ("pi_giskard", "giskard", 1.0),
            ("pi_inthewild_dev", "inthewild", 0.7),
            ("pi_gptfuzzer", "inthewild", 1.0),
        ] {
            for row in rows(folder, name, hashes)? {
                let labels = if row.is_positive { known(&[(USER, 1.0)]) } else { clean(&[(USER, 0.0)]) };
                self.push_windows(&row.text, labels, weight, origin, if row.is_positive { 2 } else { 4 });
            }
        }
        for row in rows(folder, "pi_bastioncorpus", hashes)? {
            let head = if row.category.contains("indirect") { DATA } else { USER };
            let label = if row.is_positive { 1.0 } else { 0.0 };
            self.push_windows(&row.text, known(&[(head, label)]), 1.0, "bastion", 2);
        }
        for row in rows(folder, "pi_agentinjectionbench", hashes)? {
            self.push_windows(&row.text, known(&[(DATA, 1.0)]), 1.0, "agentinjection", 1);
        }
        for (name, keep, weight, most, data) in [
            ("benign_clinc150", 0.3, 1.0, 1, Some(1.0)),
            ("benign_banking77", 0.25, 1.0, 1, None),
            ("benign_selfinstruct_seed", 1.0, 1.0, 2, Some(1.0)),
            ("benign_p3_t0", 0.7, 0.8, 2, None),
            ("benign_awesome_prompts", 1.0, 1.0, 4, Some(1.0)),
        ] {
            for row in rows(folder, name, hashes)? {
                if self.random.chance(keep) {
                    let more: Vec<(usize, f32)> = [(USER, 0.0)].into_iter().chain(data.map(|label| (DATA, label))).collect();
                    self.push_windows(&row.text, clean(&more), weight, "benign sets", most);
                    if name == "benign_p3_t0" {
                        self.push_prose_of_prompt(&row.text);
                    }
                }
            }
        }
        for name in ["pi_bipia_text_attack_train", "pi_bipia_code_attack_train"] {
            for row in rows(folder, name, hashes)? {
                for _ in 0..4 {
                    self.push_windows(&row.text, known(&[(DATA, 1.0)]), 1.0, "bipia", 1);
                    let carrier = self.say("carrier");
                    let whole = self.inserted(&carrier, &row.text);
                    self.push(&whole, known(&[(DATA, 1.0)]), 1.0, "bipia");
                }
            }
        }
        for row in rows(folder, "pi_bipia_train", hashes)?.into_iter().filter(|row| !row.is_positive) {
            self.push_windows(&row.text, clean(&[(DATA, 0.0), (USER, 0.0)]), 1.0, "bipia", 3);
            for line in row.text.split_inclusive(['\n', '.']).filter(|line| line.trim().len() > 12) {
                if self.random.chance(0.2) {
                    self.push(line, known(&[(DATA, 0.0)]), 1.0, "bipia");
                }
            }
        }
        self.content_sets(folder, hashes)
    }

    /// Sentences of passages that prompts quote: prose, not instructions.
    fn push_prose_of_prompt(&mut self, text: &str) {
        const ASKING: [&str; 14] = [
            "?",
            "you",
            "question",
            "sentence",
            "passage",
            "answer",
            "summar",
            "paragraph",
            "article",
            "review",
            "choose",
            "write",
            "options",
            "following",
        ];
        let sentences: Vec<&str> = text.split_inclusive(['\n', '.', '?', '!']).collect();
        let inner = sentences.get(1..sentences.len().saturating_sub(1)).unwrap_or_default();
        for sentence in inner.iter().take(12) {
            let lower = sentence.to_lowercase();
            if sentence.len() > 50
                && sentence.trim_end().ends_with('.')
                && !ASKING.iter().any(|word| lower.contains(word))
                && self.random.chance(0.35)
            {
                self.push(sentence, known(&[(DATA, 0.0)]), 1.0, "benign sets");
            }
        }
    }

    fn content_sets(&mut self, folder: &Path, hashes: &mut Vec<(String, String, usize)>) -> Result<(), String> {
        for row in rows(folder, "cm_davidson", hashes)? {
            let labels = match row.category.as_str() {
                "HATE" => known(&[(HATE, 1.0), (MISCONDUCT, 0.0)]),
                "INSULTS" => known(&[(INSULTS, 1.0), (MISCONDUCT, 0.0)]),
                _ => clean(&[(USER, 0.0)]),
            };
            // Tweets that are loosely called offensive are the most and say the least.
            let keep = if row.category == "INSULTS" { 0.15 } else { 1.0 };
            if self.random.chance(keep) {
                self.push(&row.text, labels, if row.category == "INSULTS" { 0.4 } else { 0.8 }, "davidson");
            }
        }
        for row in rows(folder, "cm_surge_toxicity", hashes)? {
            let labels = if row.is_positive { known(&[(INSULTS, 1.0)]) } else { clean(&[(USER, 0.0)]) };
            self.push(&row.text, labels, 1.0, "surge");
        }
        for (name, origin) in [("cm_advbench", "advbench"), ("cm_malicious_instruct", "malicious instruct")] {
            for row in rows(folder, name, hashes)? {
                self.push(&row.text, known(&[(MISCONDUCT, 1.0), (SEXUAL, 0.0), (INSULTS, 0.0)]), 1.0, origin);
            }
        }
        Ok(())
    }

    /// Prose and code of crates, as they are pinned in the lock file: neither attack nor harm.
    pub(crate) fn prose(&mut self, folder: &Path, hashes: &mut Vec<(String, String, usize)>) {
        let mut files: Vec<PathBuf> = Vec::new();
        let mut folders = vec![(folder.to_path_buf(), 0)];
        while let Some((next, depth)) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(&next) else { continue };
            for entry in entries.flatten() {
                let path = entry.path();
                let name = entry.file_name().to_string_lossy().into_owned();
                if path.is_dir() && depth < 2 && !name.starts_with('.') {
                    folders.push((path, depth + 1));
                } else if matches!(
                    name.as_str(),
                    "README.md" | "CHANGELOG.md" | "CONTRIBUTING.md" | "lib.rs" | "error.rs" | "main.rs" | "Cargo.toml"
                ) {
                    files.push(path);
                }
            }
        }
        files.sort();
        let mut context = Context::new(&SHA256);
        let mut count = 0;
        for path in files {
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            context.update(text.as_bytes());
            count += 1;
            let text: String = text.chars().take(12_000).collect();
            self.push_windows(&text, clean(&[(USER, 0.0), (DATA, 0.0)]), 0.6, "prose", 5);
            let lines: Vec<&str> = text.lines().filter(|line| line.trim().len() > 15).collect();
            for _ in 0..5 {
                let line = self.random.pick(&lines).copied().unwrap_or_default().to_owned();
                self.push(&line, known(&[(DATA, 0.0), (USER, 0.0)]), 0.6, "prose");
            }
        }
        hashes.push(("prose of crates".to_owned(), hex::encode(context.finish()), count));
    }
}
