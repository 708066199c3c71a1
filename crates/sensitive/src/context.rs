//! Words near a candidate that say what it is.

/// How far before a candidate words are looked for, bytes.
const BEFORE_BYTES: usize = 60;
/// How far behind a candidate words are looked for, bytes.
const AFTER_BYTES: usize = 24;

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn contains_word(window: &str, word: &str) -> bool {
    let is_word_byte = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    window.match_indices(word).any(|(at, _)| {
        let before = at.checked_sub(1).and_then(|place| window.as_bytes().get(place));
        let after = window.as_bytes().get(at + word.len());
        !is_word_byte(before) && !is_word_byte(after)
    })
}

/// Whether one of the words (lower case) stands near `start..end` of a text in ASCII lower case.
pub(crate) fn is_near(lower: &str, start: usize, end: usize, words: &[&str]) -> bool {
    let from = floor(lower, start.saturating_sub(BEFORE_BYTES));
    let to = floor(lower, (end + AFTER_BYTES).min(lower.len()));
    let before = lower.get(from..start).unwrap_or_default();
    let after = lower.get(end..to).unwrap_or_default();
    words.iter().any(|word| contains_word(before, word) || contains_word(after, word))
}

#[cfg(test)]
mod tests {
    use super::is_near;

    #[test]
    fn words_are_whole_and_near() {
        assert!(is_near("my pin is 1234", 10, 14, &["pin"]));
        assert!(!is_near("my opinion is 1234", 14, 18, &["pin"]));
        assert!(is_near("1234 is the pin.", 0, 4, &["pin"]));
        assert!(!is_near(&format!("pin {}1234", "x ".repeat(60)), 124, 128, &["pin"]));
        assert!(is_near("ééééé pin ééé 1", 23, 24, &["pin"]));
    }
}
