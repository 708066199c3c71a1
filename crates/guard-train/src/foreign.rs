//! Sets that others made: attacks, harm, and what they call benign beside them. What a detector is worth shows on those of them that it was not trained on.

use std::collections::HashSet;
use std::path::Path;

use guard::model::normalise;

use crate::evaluate::direct;
use crate::example::Example;

/// The origins of examples that others made and that are measured, too.
pub(crate) const ORIGINS: [&str; 12] = [
    "slabs",
    "neuralchemy",
    "yanismiraoui",
    "inthewild",
    "bastion",
    "bipia",
    "agentinjection",
    "giskard",
    "davidson",
    "surge",
    "advbench",
    "malicious instruct",
];

/// Words that two texts must share in a row to have something in common.
const SHINGLE: usize = 6;

/// The examples without those of an origin, and without those of other foreign origins of which a quarter stands in its measured attacks: sets copy from each
/// other, and what was copied is not of another origin.
pub(crate) fn without(examples: Vec<Example>, origin: &str, folder: &Path) -> Result<Vec<Example>, String> {
    if !ORIGINS.contains(&origin) {
        return Err(format!("there is no origin `{origin}`: {}", ORIGINS.join(", ")));
    }
    let measured: Vec<String> = direct(folder)?
        .attacks
        .into_iter()
        .filter(|(name, _)| *name == origin)
        .flat_map(|(_, texts)| texts)
        .map(|text| normalise(&text))
        .collect();
    let known: HashSet<String> = measured.iter().flat_map(|text| shingles(text)).collect();
    let is_copied = |example: &Example| {
        let own = shingles(&example.text);
        own.iter().filter(|shingle| known.contains(*shingle)).count() * 4 >= own.len()
    };
    Ok(examples
        .into_iter()
        .filter(|example| example.origin != origin && !(ORIGINS.contains(&example.origin) && is_copied(example)))
        .collect())
}

/// Words in lower case without signs, `SHINGLE` in a row; a shorter text is one by itself.
fn shingles(text: &str) -> Vec<String> {
    let words: Vec<String> = text
        .split_whitespace()
        .map(|word| word.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>())
        .filter(|word| !word.is_empty())
        .collect();
    if words.len() < SHINGLE {
        return vec![words.join(" ")];
    }
    words.windows(SHINGLE).map(|some| some.join(" ")).collect()
}

#[cfg(test)]
mod tests {
    use super::shingles;

    #[test]
    fn texts_share_words_in_a_row_whatever_their_signs() {
        assert_eq!(shingles("One, two -- THREE!"), ["one two three"]);
        assert_eq!(shingles("a b c d e f"), shingles("A; b; c: d, e? F."));
        assert_eq!(shingles("a b c d e f g").len(), 2);
    }
}
