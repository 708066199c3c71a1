//! Encoded layers: base64, base32, base85, hexadecimal, binary, Morse code, lists of character codes, percent signs, entities and escapes, markup between
//! words. All with limits; nothing is run.

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
        let ways: [fn(&str) -> Option<String>; 7] = [spaced_hex, spaced_binary, character_codes, morse, percent, escapes, without_markup];
        out.extend(ways.iter().filter_map(|way| way(text)).map(|decoded| (whole.clone(), decoded)));
        out.extend(base85(text));
    }
    out
}

/// Base64, base32, hexadecimal and binary runs that decode to readable text.
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
        let decoded = [from_hex, from_base64, base32(run), binary(run)];
        out.extend(decoded.into_iter().flatten().filter_map(readable).map(|decoded| (range.clone(), decoded)));
    }
    out
}

/// RFC 4648, section 6, with or without padding, in either case.
fn base32(run: &str) -> Option<Vec<u8>> {
    let digits = run.trim_end_matches('=');
    // Words of sixteen letters exist.
    let is_long = digits.len() >= 24 || digits.bytes().any(|sign| sign.is_ascii_digit());
    let is_one_case = !digits.bytes().any(|sign| sign.is_ascii_lowercase()) || !digits.bytes().any(|sign| sign.is_ascii_uppercase());
    (is_long && is_one_case).then(|| data_encoding::BASE32_NOPAD_NOCASE.decode(digits.as_bytes()).ok()).flatten()
}

/// Bits without blanks between the bytes.
fn binary(run: &str) -> Option<Vec<u8>> {
    let (bytes, rest) = run.as_bytes().as_chunks::<8>();
    let byte =
        |bits: &[u8; 8]| bits.iter().all(|bit| matches!(bit, b'0' | b'1')).then(|| bits.iter().fold(0, |byte, bit| byte << 1 | (bit & 1)));
    if bytes.len() < 8 || !rest.is_empty() {
        return None;
    }
    bytes.iter().map(byte).collect()
}

/// What base 85 counts with: Adobe's form (from `!` on), ZeroMQ's Z85 and RFC 1924's, which Python's `b85encode` writes.
const ALPHABETS_85: [&[u8; 85]; 3] = [
    b"!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstu",
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#",
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~",
];

/// Words in base 85 that decode to readable text, and what stands between `<~` and `~>`.
fn base85(text: &str) -> Vec<(Range<usize>, String)> {
    let place = |part: &str| {
        let start = part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
        start..start + part.len()
    };
    // Ordinary words have no signs inside, and addresses few kinds of them.
    let may_be = |word: &str| {
        if !(20..=RUN_BYTES_MAX).contains(&word.len()) || !word.is_ascii() {
            return false;
        }
        let mut kinds: Vec<u8> = word.bytes().filter(u8::is_ascii_punctuation).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds.len() >= 4
    };
    // The alphabet has no `~`: what is marked stands between one and the next.
    let tildes = text.match_indices('~').map(|(at, _)| at);
    let between =
        tildes.clone().zip(tildes.skip(1)).filter_map(|(open, close)| Some((text.get(..open)?, text.get(open + 1..close)?, close)));
    let marked = between
        .filter(|(before, _, close)| before.ends_with('<') && text.get(close + 1..).is_some_and(|after| after.starts_with('>')))
        .map(|(_, inner, _)| inner);
    let words = text.split_whitespace().filter(|word| may_be(word));
    let decoded = |part: &str| {
        let digits: Vec<u8> = part.bytes().filter(|sign| !sign.is_ascii_whitespace()).collect();
        ALPHABETS_85.iter().find_map(|alphabet| readable(from_base85(&digits, alphabet)?))
    };
    let parts = marked.take(RUNS_MAX).filter(|part| part.len() <= RUN_BYTES_MAX).chain(words.take(RUNS_MAX));
    parts.filter_map(|part| Some((place(part), decoded(part)?))).collect()
}

/// Five digits are four bytes; a last group of fewer digits is one byte shorter than they are.
fn from_base85(digits: &[u8], alphabet: &[u8; 85]) -> Option<Vec<u8>> {
    let mut values = [None; 256];
    for (value, sign) in (0_u64..).zip(alphabet) {
        *values.get_mut(usize::from(*sign))? = Some(value);
    }
    let mut out = Vec::with_capacity(digits.len());
    for group in digits.chunks(5) {
        let digit = |place: usize| group.get(place).map_or(Some(84), |sign| values.get(usize::from(*sign)).copied().flatten());
        let value = (0..5).try_fold(0, |sum: u64, place| Some(sum * 85 + digit(place)?))?;
        let bytes = u32::try_from(value).ok()?.to_be_bytes();
        out.extend_from_slice(bytes.get(..group.len().checked_sub(1)?)?);
    }
    Some(out)
}

/// Text of at least eight bytes of letters, signs and blanks; most of it letters, or encoded again.
fn readable(bytes: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(bytes).ok()?;
    let is_text = |character: char| character.is_alphanumeric() || character.is_ascii_punctuation() || character.is_whitespace();
    (text.len() >= 8 && text.chars().all(is_text) && (text.contains(' ') || is_encoded(&text))).then_some(text)
}

/// Whether a text may be of a further layer: of what encodings are made of, or marked as base 85.
fn is_encoded(text: &str) -> bool {
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=-_%&#;\\".contains(&byte);
    text.len() >= 16 && (text.bytes().all(is_sign) || text.starts_with("<~"))
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

/// Decimal codes of ASCII characters in a row: `73 103 110`, `[73, 103, 110]`, `chr(73)+chr(103)`.
fn character_codes(text: &str) -> Option<String> {
    let mut run: Vec<u8> = Vec::new();
    for word in text.split(|character: char| character.is_whitespace() || ",;+.()[]".contains(character)) {
        match word.parse::<u8>() {
            Ok(code @ (9 | 10 | 13 | 32..=126)) if word.len() <= 3 && run.len() < RUN_BYTES_MAX => run.push(code),
            _ if word.is_empty() || matches!(word, "chr" | "char" | "String" | "fromCharCode") => {}
            _ if run.len() >= 16 => break,
            _ => run.clear(),
        }
    }
    let plain = run.iter().filter(|code| code.is_ascii_alphanumeric() || **code == b' ').count();
    // Lists of other numbers have signs as well.
    let text = (run.len() >= 16).then(|| readable(run)).flatten()?;
    (plain * 10 >= text.len() * 9 || is_encoded(&text)).then_some(text)
}

/// What a sign of Morse code (ITU-R M.1677-1) is; `1` is a dash.
const MORSE: [(&str, char); 40] = [
    ("01", 'a'),
    ("1000", 'b'),
    ("1010", 'c'),
    ("100", 'd'),
    ("0", 'e'),
    ("0010", 'f'),
    ("110", 'g'),
    ("0000", 'h'),
    ("00", 'i'),
    ("0111", 'j'),
    ("101", 'k'),
    ("0100", 'l'),
    ("11", 'm'),
    ("10", 'n'),
    ("111", 'o'),
    ("0110", 'p'),
    ("1101", 'q'),
    ("010", 'r'),
    ("000", 's'),
    ("1", 't'),
    ("001", 'u'),
    ("0001", 'v'),
    ("011", 'w'),
    ("1001", 'x'),
    ("1011", 'y'),
    ("1100", 'z'),
    ("11111", '0'),
    ("01111", '1'),
    ("00111", '2'),
    ("00011", '3'),
    ("00001", '4'),
    ("00000", '5'),
    ("10000", '6'),
    ("11000", '7'),
    ("11100", '8'),
    ("11110", '9'),
    ("010101", '.'),
    ("110011", ','),
    ("001100", '?'),
    ("011010", '@'),
];

/// Morse code: signs with blanks between them, words with a stroke or more blanks.
fn morse(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut count = 0_usize;
    for word in text.split(['/', '|', '\n']).flat_map(|part| part.split("   ")) {
        for sign in word.split_whitespace() {
            let bits: Option<String> = sign
                .chars()
                .map(|mark| match mark {
                    '.' | '·' | '•' => Some('0'),
                    '-' | '−' | '–' | '—' | '_' => Some('1'),
                    _ => None,
                })
                .collect();
            let letter = bits.and_then(|bits| MORSE.iter().find(|(form, _)| *form == bits));
            out.extend(letter.map(|(_, letter)| letter));
            count += usize::from(letter.is_some());
        }
        if out.len() > RUN_BYTES_MAX {
            break;
        }
        if !out.ends_with(' ') {
            out.push(' ');
        }
    }
    // Rulers and bullets are signs of Morse code, too: one and the same again and again.
    let kinds = out.chars().collect::<std::collections::BTreeSet<_>>().len();
    (count >= 12 && kinds >= 6).then_some(out)
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

/// HTML entities, `\u`, `\x` escapes, and names of code points (`U+0049`).
fn escapes(text: &str) -> Option<String> {
    if !["&#", "\\u", "\\U", "\\x", "&lt;", "U+"].iter().any(|sign| text.contains(sign)) {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut count = 0;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let found = match first {
            '&' => entity(rest),
            '\\' => escape(rest),
            'U' => code_point(rest),
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
    if let Some(inner) = text.strip_prefix("\\u{") {
        let (digits, _) = inner.get(..inner.len().min(7)).and_then(|inner| inner.split_once('}'))?;
        return Some((character(digits)?, digits.len() + 4));
    }
    let (digits, length) = match text.get(..2)? {
        "\\u" => (text.get(2..6)?, 6),
        "\\U" => (text.get(2..10)?, 10),
        "\\x" => (text.get(2..4)?, 4),
        _ => return None,
    };
    Some((character(digits)?, length))
}

/// A code point by its name, and the blank after it: they stand between the names only.
fn code_point(text: &str) -> Option<(char, usize)> {
    let body = text.strip_prefix("U+")?;
    let length = body.bytes().take(6).take_while(u8::is_ascii_hexdigit).count();
    let digits = body.get(..length).filter(|digits| digits.len() >= 4)?;
    let has_blank = body.get(length..).is_some_and(|rest| rest.starts_with(' '));
    Some((character(digits)?, 2 + length + usize::from(has_blank)))
}

fn character(hexadecimal: &str) -> Option<char> {
    char::from_u32(u32::from_str_radix(hexadecimal, 16).ok()?)
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
