//! Sentences from templates: sections `[name]` of lines, each an alternative; `(a|b|)` chooses inside a line, `$name` takes a section.

use std::collections::HashMap;

use crate::random::Random;

/// Deepest nesting; a grammar that goes deeper is cut there.
const DEPTH_MAX: usize = 24;

/// Parsed sections.
pub(crate) struct Grammar {
    sections: HashMap<String, Vec<Vec<Part>>>,
}

enum Part {
    Text(String),
    Choice(Vec<Vec<Part>>),
    Section(String),
}

impl Grammar {
    /// Reads grammar files. `\n` in a line is a line break; lines that begin with `# ` are remarks.
    pub(crate) fn parse(files: &[&str]) -> Self {
        let mut sections: HashMap<String, Vec<Vec<Part>>> = HashMap::new();
        let mut current = String::new();
        for line in files.iter().flat_map(|file| file.lines()) {
            if let Some(name) = line
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
                .filter(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit()))
            {
                name.clone_into(&mut current);
            } else if !line.trim().is_empty() && !line.starts_with("# ") {
                let text = line.replace("\\n", "\n");
                let mut characters = text.chars().peekable();
                sections.entry(current.clone()).or_default().push(sequence(&mut characters, false));
            }
        }
        Self { sections }
    }

    /// The sections that are named and do not exist.
    pub(crate) fn missing(&self) -> Vec<String> {
        let mut out = Vec::new();
        let mut stack: Vec<&Part> = self.sections.values().flatten().flatten().collect();
        while let Some(part) = stack.pop() {
            match part {
                Part::Section(name) if !self.sections.contains_key(name) => out.push(name.clone()),
                Part::Choice(options) => stack.extend(options.iter().flatten()),
                _ => {}
            }
        }
        out.sort();
        out.dedup();
        out
    }

    /// One sentence of a section.
    pub(crate) fn sentence(&self, section: &str, random: &mut Random) -> String {
        let mut out = String::new();
        self.expand(section, random, 0, &mut out);
        out
    }

    fn expand(&self, section: &str, random: &mut Random, depth: usize, out: &mut String) {
        let Some(lines) = self.sections.get(section).filter(|_| depth < DEPTH_MAX) else { return };
        if let Some(line) = random.pick(lines) {
            self.parts(line, random, depth, out);
        }
    }

    fn parts(&self, parts: &[Part], random: &mut Random, depth: usize, out: &mut String) {
        for part in parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Section(name) => self.expand(name, random, depth + 1, out),
                Part::Choice(options) => {
                    if let Some(option) = random.pick(options) {
                        self.parts(option, random, depth, out);
                    }
                }
            }
        }
    }
}

type Characters<'t> = std::iter::Peekable<std::str::Chars<'t>>;

fn sequence(characters: &mut Characters<'_>, is_inside: bool) -> Vec<Part> {
    let mut out = Vec::new();
    let mut text = String::new();
    while let Some(character) = characters.peek().copied() {
        if is_inside && matches!(character, '|' | ')') {
            break;
        }
        characters.next();
        match character {
            '\\' => text.extend(characters.next()),
            '(' => {
                if !text.is_empty() {
                    out.push(Part::Text(std::mem::take(&mut text)));
                }
                let mut options = vec![sequence(characters, true)];
                while characters.next() == Some('|') {
                    options.push(sequence(characters, true));
                }
                out.push(Part::Choice(options));
            }
            '$' => {
                let mut name = String::new();
                while let Some(next) =
                    characters.next_if(|next| next.is_ascii_lowercase() || (!name.is_empty() && (*next == '_' || next.is_ascii_digit())))
                {
                    name.push(next);
                }
                if name.is_empty() {
                    text.push('$');
                    continue;
                }
                if !text.is_empty() {
                    out.push(Part::Text(std::mem::take(&mut text)));
                }
                out.push(Part::Section(name));
            }
            other => text.push(other),
        }
    }
    if !text.is_empty() {
        out.push(Part::Text(text));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_follow_the_grammar() {
        let grammar = Grammar::parse(&["[start]\n(please |)$verb it\\n\\(now\\) $5\n# remark\n[verb]\ndo\nstop"]);
        let mut random = Random::new(1);
        for _ in 0..50 {
            let said = grammar.sentence("start", &mut random);
            assert!(
                ["do it\n(now) $5", "stop it\n(now) $5", "please do it\n(now) $5", "please stop it\n(now) $5"].contains(&said.as_str()),
                "{said}"
            );
        }
        assert!(grammar.missing().is_empty());
        assert_eq!(Grammar::parse(&["[a]\n($b|)"]).missing(), ["b"]);
    }
}
