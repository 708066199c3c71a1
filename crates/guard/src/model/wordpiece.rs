//! Word pieces: the longest known piece first, as the vocabulary's model was trained with.

use std::collections::HashMap;
use std::ops::Range;

use foldhash::fast::FixedState;

/// Longest word that is cut, bytes; a longer one is unknown.
const WORD_BYTES_MAX: usize = 100;

/// A piece and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its line in the vocabulary.
    pub id: usize,
    /// Its bytes in the text.
    pub range: Range<usize>,
}

/// The vocabulary.
#[derive(Clone, Debug)]
pub struct WordPieces {
    // The tables never grow, so nobody can slow them down with words of one hash.
    starts: HashMap<&'static str, usize, FixedState>,
    rests: HashMap<&'static str, usize, FixedState>,
    unknown: usize,
    longest: usize,
}

impl WordPieces {
    /// Reads a vocabulary, one piece a line; pieces that continue a word begin with `##`.
    pub fn parse(text: &'static str) -> Self {
        let mut out = Self { starts: HashMap::default(), rests: HashMap::default(), unknown: 0, longest: 1 };
        for (id, line) in text.lines().enumerate() {
            match line.strip_prefix("##").filter(|rest| !rest.is_empty()) {
                Some(rest) => out.rests.insert(rest, id),
                None => out.starts.insert(line, id),
            };
            out.longest = out.longest.max(line.len());
        }
        out.unknown = out.starts.get("[UNK]").copied().unwrap_or(0);
        out
    }

    /// Cuts a normalised text into at most `most` pieces.
    pub fn cut(&self, text: &str, most: usize) -> Vec<Piece> {
        let mut out = Vec::new();
        let mut start = None;
        for (at, character) in text.char_indices() {
            let stands_alone = character.is_ascii_punctuation()
                || !(character.is_alphanumeric() || character.is_whitespace())
                || matches!(u32::from(character), 0x3400..=0x9FFF | 0xF900..=0xFAFF);
            if character.is_whitespace() || stands_alone {
                if let Some(from) = start.take() {
                    self.word(text, from..at, &mut out);
                }
                if stands_alone {
                    self.word(text, at..at + character.len_utf8(), &mut out);
                }
            } else if start.is_none() {
                start = Some(at);
            }
            if out.len() >= most {
                out.truncate(most);
                return out;
            }
        }
        if let Some(from) = start {
            self.word(text, from..text.len(), &mut out);
        }
        out.truncate(most);
        out
    }

    fn word(&self, text: &str, range: Range<usize>, out: &mut Vec<Piece>) {
        let first = out.len();
        let mut from = range.start;
        while from < range.end && range.len() <= WORD_BYTES_MAX {
            let known = if from == range.start { &self.starts } else { &self.rests };
            let mut to = range.end.min(from + self.longest);
            let found = loop {
                if let Some(id) = text.get(from..to).and_then(|part| known.get(part)) {
                    break Some(*id);
                }
                if to <= from + 1 {
                    break None;
                }
                to -= 1;
            };
            let Some(id) = found else { break };
            out.push(Piece { id, range: from..to });
            from = to;
        }
        if from < range.end {
            out.truncate(first);
            out.push(Piece { id: self.unknown, range });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_longest_first() {
        let pieces = WordPieces::parse("[PAD]\n[UNK]\nun\n##aff\n##able\nable\n,");
        let ids = |text: &str| pieces.cut(text, 100).iter().map(|piece| piece.id).collect::<Vec<_>>();
        assert_eq!(ids("unaffable, able xyz"), [2, 3, 4, 6, 5, 1]);
        assert_eq!(pieces.cut("able able able", 2).len(), 2);
        assert_eq!(ids(&"x".repeat(500)), [1]);
    }
}
