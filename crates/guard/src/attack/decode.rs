//! Encoded layers: base64, hexadecimal, binary, percent signs, entities and escapes, markup between words. All with limits; nothing is run.

use std::ops::Range;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

/// Longest encoded run, bytes.
const RUN_BYTES_MAX: usize = 64 * 1024;
/// Most runs of a text that are opened.
const RUNS_MAX: usize = 8;
/// Longest text whose escapes and markup are taken out as a whole, bytes.
const WHOLE_BYTES_MAX: usize = 256 * 1024;

/// What the text hides one layer down: the place and the decoded text.
pub(super) fn layers(text: &str) -> Vec<(Range<usize>, String)> {
    let mut out = runs(text);
    if text.len() <= WHOLE_BYTES_MAX {
        let whole = 0..text.len();
        let ways: [fn(&str) -> Option<String>; 5] = [spaced_hex, spaced_binary, percent, escapes, without_markup];
        out.extend(ways.iter().filter_map(|way| way(text)).map(|decoded| (whole.clone(), decoded)));
    }
    out
}

/// Base64 and hexadecimal runs that decode to readable text.
fn runs(text: &str) -> Vec<(Range<usize>, String)> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true);
    let engines = [GeneralPurpose::new(&alphabet::STANDARD, LENIENT), GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT)];
    let is_sign = |character: char| character.is_ascii_alphanumeric() || "+/=-_".contains(character);
    let mut out = Vec::new();
    let mut at = 0;
    for run in text.split(|character: char| !is_sign(character)) {
        let range = at..at + run.len();
        at = range.end + text.get(range.end..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        if run.len() < 16 || run.len() > RUN_BYTES_MAX || out.len() >= RUNS_MAX {
            continue;
        }
        let from_hex = hex::decode(run).ok();
        let from_base64 = engines.iter().find_map(|engine| engine.decode(run).ok());
        out.extend(from_hex.into_iter().chain(from_base64).filter_map(readable).map(|decoded| (range.clone(), decoded)));
    }
    out
}

/// Text of at least eight bytes of letters, signs and blanks; most of it letters, or encoded again.
fn readable(bytes: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(bytes).ok()?;
    let is_text = |character: char| character.is_alphanumeric() || character.is_ascii_punctuation() || character.is_whitespace();
    let is_encoded_again = text.len() >= 16 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=-_%&#;\\".contains(&byte));
    (text.len() >= 8 && text.chars().all(is_text) && (text.contains(' ') || is_encoded_again)).then_some(text)
}

fn bytes_of_words(text: &str, length: usize, radix: u32) -> Option<String> {
    let words = text.split(|character: char| character.is_whitespace() || ",;:\\".contains(character));
    let values = words.filter_map(|word| {
        let word = word.strip_prefix("0x").or_else(|| word.strip_prefix('x')).unwrap_or(word);
        (word.len() == length).then(|| u8::from_str_radix(word, radix).ok()).flatten()
    });
    let bytes: Vec<u8> = values.take(RUN_BYTES_MAX).collect();
    (bytes.len() >= 12).then(|| readable(bytes)).flatten()
}

fn spaced_hex(text: &str) -> Option<String> {
    bytes_of_words(text, 2, 16)
}

fn spaced_binary(text: &str) -> Option<String> {
    bytes_of_words(text, 8, 2)
}

fn percent(text: &str) -> Option<String> {
    if text.bytes().filter(|byte| *byte == b'%').count() < 2 {
        return None;
    }
    let mut out = Vec::with_capacity(text.len());
    let mut count = 0;
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let value = (*first == b'%').then(|| tail.get(..2).and_then(|digits| hex::decode(digits).ok())).flatten();
        if let Some(value) = value {
            out.extend(value);
            count += 1;
            rest = tail.get(2..).unwrap_or_default();
        } else {
            out.push(if *first == b'+' { b' ' } else { *first });
            rest = tail;
        }
    }
    (count >= 2).then(|| String::from_utf8_lossy(&out).into_owned())
}

/// HTML entities, and `\u`, `\x` escapes.
fn escapes(text: &str) -> Option<String> {
    if !text.contains("&#") && !text.contains("\\u") && !text.contains("\\x") && !text.contains("&lt;") {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut count = 0;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let found = match first {
            '&' => entity(rest),
            '\\' => escape(rest),
            _ => None,
        };
        let (character, length) = found.unwrap_or((first, first.len_utf8()));
        count += usize::from(found.is_some());
        out.push(character);
        rest = rest.get(length..).unwrap_or_default();
    }
    (count >= 2).then_some(out)
}

fn entity(text: &str) -> Option<(char, usize)> {
    for (name, character) in [("&lt;", '<'), ("&gt;", '>'), ("&amp;", '&'), ("&quot;", '"'), ("&nbsp;", ' '), ("&apos;", '\'')] {
        if text.starts_with(name) {
            return Some((character, name.len()));
        }
    }
    let body = text.strip_prefix("&#")?;
    let (radix, digits, head) = match body.strip_prefix(['x', 'X']) {
        Some(digits) => (16, digits, 3),
        None => (10, body, 2),
    };
    let length = digits.bytes().take(7).take_while(u8::is_ascii_hexdigit).count();
    let character = char::from_u32(u32::from_str_radix(digits.get(..length)?, radix).ok()?)?;
    let has_end = digits.get(length..).is_some_and(|rest| rest.starts_with(';'));
    Some((character, head + length + usize::from(has_end)))
}

fn escape(text: &str) -> Option<(char, usize)> {
    let (digits, head, length) = match text.get(..2)? {
        "\\u" => (text.get(2..6)?, 2, 4),
        "\\x" => (text.get(2..4)?, 2, 2),
        _ => return None,
    };
    Some((char::from_u32(u32::from_str_radix(digits, 16).ok()?)?, head + length))
}

/// The text without tags and comment signs, for words that markup cuts apart.
fn without_markup(text: &str) -> Option<String> {
    if !text.contains('<') || !text.contains('>') {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut count = 0;
    while let Some(open) = rest.find('<') {
        let (before, tag) = rest.split_at(open);
        out.push_str(before);
        let is_tag = tag.get(1..2).is_some_and(|next| next.chars().all(|sign| sign.is_ascii_alphabetic() || "/!".contains(sign)));
        let close = tag.bytes().take(300).position(|byte| byte == b'>').filter(|_| is_tag);
        count += usize::from(close.is_some());
        if close.is_none() {
            out.push('<');
        }
        rest = tag.get(close.unwrap_or(0) + 1..).unwrap_or_default();
    }
    out.push_str(rest);
    (count >= 2).then_some(out)
}
