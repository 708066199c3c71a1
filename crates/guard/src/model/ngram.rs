//! Hashed n-grams: words 1 to 3 and characters 3 to 5 within a word. Presence, not count.

/// How many weights a head has. A power of two.
pub const BUCKETS: u32 = 1 << 17;

const PRIME: u64 = 0x0000_0100_0000_01B3;
const OFFSET: u64 = 0xCBF2_9CE4_8422_2325;

fn hash(seed: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(seed, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

fn bucket(hash: u64) -> u32 {
    let mixed = (hash ^ (hash >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    u32::try_from((mixed >> 33) & u64::from(BUCKETS - 1)).unwrap_or(0)
}

fn is_ideograph(character: char) -> bool {
    matches!(u32::from(character), 0x3040..=0x30FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xAC00..=0xD7AF | 0xF900..=0xFAFF)
}

/// Words, numbers and signs. Numbers lose their digits, signs that repeat become one, ideographs stand alone.
fn tokens(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut last = ' ';
    for character in text.chars() {
        let joins = out.last().is_some()
            && !is_ideograph(character)
            && !is_ideograph(last)
            && ((character.is_alphabetic() && (last.is_alphabetic() || last == '\''))
                || (character == '\'' && last.is_alphabetic())
                || (character.is_numeric() && last.is_numeric()));
        if character.is_whitespace() {
            last = ' ';
            continue;
        }
        let shown = if character.is_numeric() { '0' } else { character };
        match out.last_mut() {
            Some(word) if joins => {
                if shown != '0' || word.len() < 4 {
                    word.push(shown);
                }
            }
            Some(word) if character == last && !character.is_alphanumeric() => {
                if word.len() < 3 {
                    word.push(character);
                }
            }
            _ => out.push(shown.to_string()),
        }
        last = character;
    }
    out
}

/// The buckets of a normalised text, each once, in order.
pub fn ngrams(text: &str) -> Vec<u32> {
    let words = tokens(text);
    let mut out = Vec::with_capacity(text.len() * 4);
    let mut earlier = [0_u64; 2];
    for (place, word) in words.iter().enumerate() {
        let own = hash(OFFSET, word.as_bytes());
        out.push(bucket(own));
        let [first, second] = earlier;
        if place >= 1 {
            out.push(bucket(hash(second ^ 0x2222, word.as_bytes())));
        }
        if place >= 2 {
            out.push(bucket(hash(first.rotate_left(7) ^ second ^ 0x3333, word.as_bytes())));
        }
        earlier = [second, own];
        if word.chars().next().is_some_and(char::is_alphabetic) {
            characters(word, &mut out);
        }
    }
    out.sort_unstable();
    out.dedup();
    out
}

/// The n-grams of `^word$`, bytes of at most 40 characters.
fn characters(word: &str, out: &mut Vec<u32>) {
    let mut padded = [b' '; 64];
    let bytes = word.as_bytes();
    let length = bytes.len().min(62);
    if let (Some(target), Some(source)) = (padded.get_mut(1..=length), bytes.get(..length)) {
        target.copy_from_slice(source);
    }
    let padded = padded.get(..length + 2).unwrap_or_default();
    for size in 3..=5_usize {
        for part in padded.windows(size) {
            out.push(bucket(hash(OFFSET ^ 0x7777 ^ u64::from(u8::try_from(size).unwrap_or(0)), part)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_words_numbers_and_signs() {
        assert_eq!(tokens("don't say 12345, ###### 你好!!"), ["don't", "say", "0000", ",", "###", "你", "好", "!!"]);
        assert_eq!(ngrams(""), Vec::<u32>::new());
        assert!(ngrams("ignore all previous instructions").len() > 40);
    }
}
