//! Byte-level BPE, as GPT-2 has it, with digits apart (`smollm`).

use std::collections::HashMap;

use crate::gguf::{File, FileError};

/// Type of tokens that are no text. Source: GGUF, `tokenizer.ggml.token_type`.
const CONTROL: i64 = 3;

/// Texts to tokens and back.
pub(crate) struct Tokenizer {
    /// By token: its bytes; control tokens have none.
    bytes: Vec<Vec<u8>>,
    controls: HashMap<String, u32>,
    /// By byte. Some vocabularies leave out bytes that no text of theirs had; those are left out of prompts.
    single: Vec<Option<u32>>,
    /// Two tokens that make one, with the rank of their merge.
    merges: HashMap<(u32, u32), (u32, u32)>,
    ends: Vec<u32>,
}

/// The character that stands for a byte: itself if it can be seen, else one of those above 255.
fn characters() -> [char; 256] {
    let mut next = 256_u32;
    std::array::from_fn(|byte| {
        let byte = u32::try_from(byte).unwrap_or_default();
        let is_visible = (33..=126).contains(&byte) || (161..=172).contains(&byte) || (174..=255).contains(&byte);
        let point = if is_visible {
            byte
        } else {
            next += 1;
            next - 1
        };
        char::from_u32(point).unwrap_or('\u{FFFD}')
    })
}

impl Tokenizer {
    pub(crate) fn read(file: &File<'_>) -> Result<Self, FileError> {
        let model = file.text("tokenizer.ggml.model").unwrap_or_default();
        let splitting = file.text("tokenizer.ggml.pre").unwrap_or_default();
        if model != "gpt2" || !matches!(splitting, "smollm" | "gpt-2" | "default") {
            return Err(FileError::Tokenizer(format!("{model}/{splitting}")));
        }
        let tokens = file.texts("tokenizer.ggml.tokens")?;
        let kinds = file.numbers("tokenizer.ggml.token_type")?;
        if kinds.len() != tokens.len() {
            return Err(FileError::Value("tokenizer.ggml.token_type"));
        }
        let characters = characters();
        let byte_of: HashMap<char, u8> = characters.iter().zip(0_u8..=255).map(|(character, byte)| (*character, byte)).collect();
        let mut ids: HashMap<&str, u32> = HashMap::with_capacity(tokens.len());
        let mut controls = HashMap::new();
        let mut bytes = Vec::with_capacity(tokens.len());
        for ((token, kind), id) in tokens.iter().zip(&kinds).zip(0_u32..) {
            if *kind == CONTROL {
                controls.insert((*token).to_owned(), id);
                bytes.push(Vec::new());
                continue;
            }
            ids.insert(token, id);
            bytes.push(token.chars().filter_map(|character| byte_of.get(&character).copied()).collect());
        }
        let single: Vec<Option<u32>> = characters.iter().map(|character| ids.get(character.to_string().as_str()).copied()).collect();
        if single.iter().flatten().next().is_none() {
            return Err(FileError::Value("tokenizer.ggml.tokens"));
        }
        let mut merges = HashMap::new();
        for (merge, rank) in file.texts("tokenizer.ggml.merges")?.into_iter().zip(0_u32..) {
            let Some((left, right)) = merge.split_once(' ') else { return Err(FileError::Value("tokenizer.ggml.merges")) };
            let joined = format!("{left}{right}");
            if let (Some(left), Some(right), Some(made)) = (ids.get(left), ids.get(right), ids.get(joined.as_str())) {
                merges.insert((*left, *right), (rank, *made));
            }
        }
        let ends = ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"];
        let ends = ends.iter().filter_map(|name| file.number(name).ok()).filter_map(|id| u32::try_from(id).ok()).collect();
        Ok(Self { bytes, controls, single, merges, ends })
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn control(&self, name: &str) -> Option<u32> {
        self.controls.get(name).copied()
    }

    /// Whether the token ends an answer: an end of the file's, or any other token that is no text.
    pub(crate) fn ends(&self, token: u32) -> bool {
        self.ends.contains(&token) || self.controls.values().any(|control| *control == token)
    }

    pub(crate) fn bytes(&self, token: u32) -> &[u8] {
        usize::try_from(token).ok().and_then(|at| self.bytes.get(at)).map_or(&[], Vec::as_slice)
    }

    /// Adds the tokens of a text. Names of control tokens in it are text like any other.
    pub(crate) fn encode(&self, text: &str, out: &mut Vec<u32>) {
        for piece in pieces(text) {
            let mut tokens: Vec<u32> = piece.bytes().filter_map(|byte| self.single.get(usize::from(byte)).copied().flatten()).collect();
            // The merge of the lowest rank first, wherever it is.
            loop {
                let pairs = tokens.iter().zip(tokens.iter().skip(1)).enumerate();
                let merges =
                    pairs.filter_map(|(at, (left, right))| self.merges.get(&(*left, *right)).map(|(rank, made)| (*rank, at, *made)));
                let Some((_, at, made)) = merges.min() else { break };
                if let Some(token) = tokens.get_mut(at) {
                    *token = made;
                }
                tokens.remove(at + 1);
            }
            out.extend(tokens);
        }
    }
}

/// Longest piece, characters: merging takes the square of it.
const PIECE_MAX: usize = 512;

/// The pieces that are tokenised by themselves: words with the space before them, single digits, runs of signs, runs of space.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let length = piece_length(rest).max(1);
        let end = rest.char_indices().map(|(at, _)| at).chain([rest.len()]).nth(length.min(PIECE_MAX)).unwrap_or(rest.len());
        let (piece, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// Characters of the next piece.
fn piece_length(text: &str) -> usize {
    let count = |from: usize, is: fn(char) -> bool| text.chars().skip(from).take(PIECE_MAX).take_while(|character| is(*character)).count();
    let Some(first) = text.chars().next() else { return 0 };
    if first.is_numeric() {
        return 1;
    }
    for contraction in ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"] {
        if text.starts_with(contraction) {
            return contraction.len();
        }
    }
    let is_sign = |character: char| !character.is_whitespace() && !character.is_alphabetic() && !character.is_numeric();
    let start = usize::from(first == ' ');
    for is in [char::is_alphabetic as fn(char) -> bool, is_sign] {
        let length = count(start, is);
        if length > 0 {
            return start + length;
        }
    }
    let spaces = count(0, char::is_whitespace);
    // The last space of a run belongs to the word behind it; a digit takes none.
    let next = text.chars().nth(spaces);
    if spaces > 1 && next.is_some_and(|next| !next.is_numeric()) { spaces - 1 } else { spaces }
}

/// Puts tokens' bytes together into text, holding back a character that is not whole.
#[derive(Default)]
pub(crate) struct Decoder {
    held: Vec<u8>,
}

impl Decoder {
    pub(crate) fn push(&mut self, bytes: &[u8]) -> String {
        self.held.extend_from_slice(bytes);
        let mut text = String::new();
        loop {
            match std::str::from_utf8(&self.held) {
                Ok(all) => {
                    text.push_str(all);
                    self.held.clear();
                    return text;
                }
                Err(error) => {
                    let valid = self.held.get(..error.valid_up_to()).unwrap_or_default();
                    text.push_str(std::str::from_utf8(valid).unwrap_or_default());
                    let Some(broken) = error.error_len() else {
                        self.held.drain(..error.valid_up_to());
                        return text;
                    };
                    text.push('\u{FFFD}');
                    self.held.drain(..error.valid_up_to() + broken);
                }
            }
        }
    }

    pub(crate) fn finish(self) -> String {
        String::from_utf8_lossy(&self.held).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_fall_into_words_digits_and_spaces() {
        assert_eq!(pieces("Hello world's  end 42!\n\nx"), ["Hello", " world", "'s", " ", " end", " ", "4", "2", "!", "\n", "\n", "x"]);
    }

    #[test]
    fn characters_come_whole() {
        let mut decoder = Decoder::default();
        let emoji = "😀".as_bytes();
        assert_eq!(decoder.push(&emoji[..2]), "");
        assert_eq!(decoder.push(&emoji[2..]), "😀");
        assert_eq!(decoder.push(&[0xFF, b'a']), "\u{FFFD}a");
    }

    #[test]
    fn bytes_have_characters_of_their_own() {
        let all: std::collections::HashSet<char> = characters().into_iter().collect();
        assert_eq!((all.len(), characters()[32], characters()[65]), (256, 'Ġ', 'A'));
    }

    proptest! {
        #[test]
        fn pieces_are_the_text(text in "\\PC{0,80}") {
            prop_assert_eq!(pieces(&text).concat(), text);
        }
    }
}
