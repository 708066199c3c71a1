//! Word lists: whole words, without regard to case, all lists in one pass.

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};

/// Lower case with the same byte offsets: a character whose lower case has another length stays.
pub(crate) fn fold(text: &str) -> String {
    text.chars()
        .map(|character| {
            let mut lower = character.to_lowercase();
            match (lower.next(), lower.next()) {
                (Some(single), None) if single.len_utf8() == character.len_utf8() => single,
                _ => character,
            }
        })
        .collect()
}

/// Compiled words; a match gives the word's place in the list.
#[derive(Clone, Debug)]
pub(crate) struct WordMatcher(AhoCorasick);

impl WordMatcher {
    pub(crate) fn new<'w>(words: impl Iterator<Item = &'w str>) -> Option<Self> {
        let folded = words.map(|word| fold(word.trim()));
        AhoCorasickBuilder::new().match_kind(MatchKind::Standard).build(folded).ok().map(Self)
    }

    /// The matches as (place in the list, byte range). Overlapping words are all found; the number of matches is at most the number of words that end
    /// at a place, times the length, with words of 100 characters at most.
    pub(crate) fn find<'t>(&'t self, folded: &'t str) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> + 't {
        self.0
            .find_overlapping_iter(folded)
            .map(|found| (found.pattern().as_usize(), found.range()))
            .filter(|(_, range)| is_whole(folded, range))
    }
}

fn is_whole(text: &str, range: &std::ops::Range<usize>) -> bool {
    let found = text.get(range.clone()).unwrap_or_default();
    let before = text.get(..range.start).and_then(|text| text.chars().next_back());
    let after = text.get(range.end..).and_then(|text| text.chars().next());
    let joins =
        |inner: Option<char>, outer: Option<char>| inner.is_some_and(char::is_alphanumeric) && outer.is_some_and(char::is_alphanumeric);
    !joins(found.chars().next(), before) && !joins(found.chars().next_back(), after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_are_whole_words_in_any_case() {
        let matcher = WordMatcher::new(["Ham", "ham sandwich", "c++", "straße"].into_iter()).unwrap();
        let text = fold("HAM Sandwich, hamster, C++; STRASSE Straße İham");
        let found: Vec<_> = matcher.find(&text).map(|(place, _)| place).collect();
        assert_eq!(found, [0, 1, 2, 3]);
    }
}
