//! Sentences and the words that carry meaning.

use std::ops::Range;

/// Longest sentence, bytes; a longer one is cut, so that one without marks cannot become the whole text.
const SENTENCE_BYTES_MAX: usize = 600;

/// The byte ranges of the sentences of a text, blanks around them left out.
pub(crate) fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let mut start = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let end = at + character.len_utf8();
        let next = characters.peek().map(|(_, next)| *next);
        let is_end = matches!(character, '\n' | '。' | '！' | '？' | '؟' | '।')
            || (matches!(character, '.' | '!' | '?' | ';') && next.is_none_or(char::is_whitespace))
            || (end - start >= SENTENCE_BYTES_MAX && character.is_whitespace())
            || end - start >= SENTENCE_BYTES_MAX * 2;
        if is_end {
            push_trimmed(text, start..end, &mut out);
            start = end;
        }
    }
    push_trimmed(text, start..text.len(), &mut out);
    out
}

fn push_trimmed(text: &str, range: Range<usize>, out: &mut Vec<Range<usize>>) {
    let part = text.get(range.clone()).unwrap_or_default();
    let trimmed = part.trim_start();
    let start = range.start + (part.len() - trimmed.len());
    let end = start + trimmed.trim_end().len();
    if text.get(start..end).is_some_and(|part| part.chars().any(char::is_alphanumeric)) {
        out.push(start..end);
    }
}

/// Words that say little. English, as the weights are: other languages keep all their words.
const STOP_WORDS: &str = " a an the this that these those of in on at to for from by with as into about over under and or but if then than so not no \
is are was were be been being am do does did has have had can could will would shall should may might must it its i you he she we they me him her us \
them my your his our their what which who whom when where why how there here any some all each every other such own same very just also more most much \
many please tell give s t don re ll ve d m ";

/// The stems of the words that carry meaning, in lower case.
pub(crate) fn content_words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).filter_map(|word| {
        let is_stop = word.len() < 12 && STOP_WORDS.contains(&format!(" {word} "));
        (!is_stop).then(|| stem(&word))
    })
}

/// Takes off English endings, so that `invests`, `investing` and `investment` meet.
pub(crate) fn stem(word: &str) -> String {
    const ENDINGS: [&str; 14] = ["ments", "ment", "ations", "ation", "ings", "ing", "ies", "ers", "ed", "es", "er", "ly", "s", "e"];
    let rest = ENDINGS.iter().find_map(|ending| word.strip_suffix(ending).filter(|rest| rest.len() >= 4));
    rest.unwrap_or(word).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_found_whole() {
        let text = "First one. Second, 1.5 of it!  \n\n Third。Fourth";
        let parts: Vec<_> = sentences(text).into_iter().map(|range| &text[range]).collect();
        assert_eq!(parts, ["First one.", "Second, 1.5 of it!", "Third。", "Fourth"]);
        assert!(sentences(&"é ".repeat(5_000)).iter().all(|range| range.len() <= 1_210));
        assert!(sentences("... !").is_empty());
    }

    #[test]
    fn words_meet_by_their_stem() {
        let words: Vec<_> = content_words("How should I be investing? The investments, invested.").collect();
        assert_eq!(words, ["invest", "invest", "invest"]);
    }
}
