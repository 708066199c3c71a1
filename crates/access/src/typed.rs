//! Keys whose values are numbers, dates, booleans, bytes or addresses: finitely many values stand for all.
//!
//! Each comparison of such a key changes its answer at the values that policies name and nowhere else, so the named
//! values, their neighbours and a few values of no type tell all cases apart. Whether a value meets a condition is asked
//! of the engine itself.

use std::net::IpAddr;

use policy::{Condition, OperatorFamily};

use crate::language::SetId;
use crate::space::{Space, Test};

/// Values of one key at most.
const VALUES_MAX: usize = 4_096;

/// The test of a typed condition; its key gets the values that tell it apart from others.
pub(crate) fn test(space: &mut Space, condition: &Condition, key: usize, variables: bool) -> Test {
    let same = |known: &Condition| known.operator().family == condition.operator().family && known.values().eq(condition.values());
    let id = space.conditions.iter().position(same).unwrap_or_else(|| {
        space.conditions.push(condition.clone());
        space.conditions.len() - 1
    });
    let mut values: Vec<String> = vec![String::new(), "no-value".to_owned()];
    let mut undecided = condition.operator().family == OperatorFamily::Bool && variables && condition.values().any(|v| v.contains("${"));
    for value in condition.values() {
        match neighbours(condition.operator().family, value) {
            Some(list) => values.extend(list),
            None => undecided = true,
        }
    }
    if let Some(known) = space.keys.get_mut(key) {
        for value in values {
            if !known.values.contains(&value) {
                known.values.push(value);
            }
        }
        known.typed = true;
        known.only_booleans &= condition.operator().family == OperatorFamily::Bool && !undecided;
        known.undecided |= undecided || known.values.len() > VALUES_MAX;
        known.values.truncate(VALUES_MAX);
    }
    // A key that is compared as a text elsewhere has texts that no list of values can stand for.
    if space.texts_of_keys.contains(&key)
        && let Some(known) = space.keys.get_mut(key)
    {
        known.undecided = true;
    }
    Test::Typed(id)
}

/// Remembers that a key is compared as a text. Fixed texts join its values, in case it is typed as well.
pub(crate) fn note_texts(space: &mut Space, key: usize, set: SetId) {
    let mut fixed = Vec::new();
    for part in space.sets.parts(set).to_vec() {
        let texts: Vec<Option<String>> = part.patterns.iter().map(|pattern| spelled(space, *pattern)).collect();
        if let [Some(text)] = texts.as_slice() {
            fixed.push(text.clone());
        }
    }
    space.texts_of_keys.insert(key);
    if let Some(known) = space.keys.get_mut(key) {
        known.undecided |= known.typed;
        for text in fixed.into_iter().take(VALUES_MAX) {
            if !known.values.contains(&text) {
                known.values.push(text);
            }
        }
    }
}

/// The booleans, in lower case.
pub(crate) const BOOLEANS: [&str; 2] = ["true", "false"];

/// Every spelling of a boolean: the texts that a `Bool` condition tells from all others.
pub(crate) fn spellings() -> Vec<String> {
    let mut all = Vec::new();
    for word in BOOLEANS {
        let mut made = vec![String::new()];
        for letter in word.chars() {
            let longer = |start: &String| [letter, letter.to_ascii_uppercase()].map(|letter| format!("{start}{letter}"));
            made = made.iter().flat_map(longer).collect();
        }
        all.append(&mut made);
    }
    all
}

/// Whether the set is a list of fixed texts.
pub(crate) fn is_finite(space: &Space, set: SetId) -> bool {
    let fixed = |part: &crate::language::Part| {
        part.flag.is_none() && part.patterns.len() == 1 && part.patterns.iter().all(|pattern| spelled(space, *pattern).is_some())
    };
    space.sets.parts(set).iter().all(fixed)
}

/// The text of a pattern without wildcards.
pub(crate) fn spelled(space: &Space, pattern: usize) -> Option<String> {
    let text = |token: &crate::pattern::Token| match token {
        crate::pattern::Token::Char(character) => Some(*character),
        _ => None,
    };
    space.sets.tokens(pattern).iter().map(text).collect()
}

/// Values at which a condition with this value may change its answer, one in each stretch between them included.
/// `None`: they cannot be given.
fn neighbours(family: OperatorFamily, value: &str) -> Option<Vec<String>> {
    match family {
        OperatorFamily::Bool => Some(vec!["true".to_owned(), "false".to_owned()]),
        OperatorFamily::Numeric(_) => Some(numbers(value).unwrap_or_default()),
        OperatorFamily::Date(_) => dates(value),
        OperatorFamily::Binary => Some(vec![value.to_owned(), "eA==".to_owned(), "eHg=".to_owned(), "!".to_owned()]),
        OperatorFamily::IpAddress => Some(addresses(value)),
        _ => None,
    }
}

/// A number with its next ones below and above, closer than any other that a policy is likely to name: twenty digits
/// further right than it is written.
fn numbers(text: &str) -> Option<Vec<String>> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) || whole.len() + fraction.len() == 0 {
        return None;
    }
    let sign = |negative: bool| if negative { "-" } else { "" };
    let whole_text = if whole.is_empty() { "0" } else { whole };
    let exact = format!("{}{whole_text}.{fraction}0", sign(negative));
    let further = format!("{}{whole_text}.{fraction}00000000000000000001", sign(negative));
    let zero = whole_text.bytes().chain(fraction.bytes()).all(|byte| byte == b'0');
    let nearer = if zero {
        format!("{}0.00000000000000000001", sign(!negative))
    } else {
        format!("{}{}", sign(negative), decremented(whole_text, fraction))
    };
    Some(vec![exact, further, nearer])
}

/// The magnitude one unit in the last place smaller, with twenty nines behind it.
fn decremented(whole: &str, fraction: &str) -> String {
    let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    for digit in digits.iter_mut().rev() {
        if *digit > b'0' {
            *digit -= 1;
            break;
        }
        *digit = b'9';
    }
    let text: String = digits.into_iter().map(char::from).collect();
    let (whole, fraction) = text.split_at_checked(whole.len()).unwrap_or((&text, ""));
    format!("{whole}.{fraction}99999999999999999999")
}

/// A date with the nanoseconds before and after it.
fn dates(text: &str) -> Option<Vec<String>> {
    const SECOND: i128 = 1_000_000_000;
    let Some(at) = policy::parse_date(text) else { return Some(Vec::new()) };
    let first = policy::parse_date("0000-01-01T00:00:00Z")?;
    let last = policy::parse_date("9999-12-31T23:59:59.999999999Z")?;
    let mut texts = vec![text.to_owned()];
    for near in [at - 1, at + 1] {
        if near >= first && near <= last {
            texts.push(iso8601(near)?);
        } else if near > last {
            // Only whole seconds can be written there.
            texts.push((at / SECOND + i128::from(near > at) - i128::from(near < at)).to_string());
        }
    }
    Some(texts)
}

fn iso8601(nanoseconds: i128) -> Option<String> {
    const SECOND: i128 = 1_000_000_000;
    let (seconds, fraction) = (nanoseconds.div_euclid(SECOND), nanoseconds.rem_euclid(SECOND));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Years counted from March, in eras of 400 years.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + i128::from(month <= 2);
    let text = format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{fraction:09}Z", second / 3_600, second / 60 % 60, second % 60);
    (policy::parse_date(&text) == Some(nanoseconds)).then_some(text)
}

/// The first address of a block, the one before and the one behind it.
fn addresses(text: &str) -> Vec<String> {
    let text = text.trim();
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let other = ["0.0.0.0".to_owned(), "::".to_owned()];
    let mut list = other.to_vec();
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => {
            let bits = bits.map_or(Some(32), |bits| bits.parse::<u32>().ok()).filter(|bits| *bits <= 32);
            let Some(bits) = bits else { return list };
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            let first = address.to_bits() & mask;
            let last = first | !mask;
            let near = [first.checked_sub(1), Some(first), Some(last), last.checked_add(1)];
            list.extend(near.into_iter().flatten().map(|bits| std::net::Ipv4Addr::from_bits(bits).to_string()));
        }
        Ok(IpAddr::V6(address)) => {
            let bits = bits.map_or(Some(128), |bits| bits.parse::<u32>().ok()).filter(|bits| *bits <= 128);
            let Some(bits) = bits else { return list };
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            let first = address.to_bits() & mask;
            let last = first | !mask;
            let near = [first.checked_sub(1), Some(first), Some(last), last.checked_add(1)];
            list.extend(near.into_iter().flatten().map(|bits| std::net::Ipv6Addr::from_bits(bits).to_string()));
        }
        Err(_) => {}
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_values() {
        assert_eq!(numbers("10").unwrap(), ["10.0", "10.00000000000000000001", "09.99999999999999999999"]);
        assert_eq!(numbers("-1.0").unwrap(), ["-1.00", "-1.000000000000000000001", "-0.999999999999999999999"]);
        assert_eq!(numbers("0").unwrap().last().unwrap(), "-0.00000000000000000001");
        assert_eq!(numbers("1e3"), None);
        assert_eq!(dates("2026-03-01T00:00:00Z").unwrap().get(1).unwrap(), "2026-02-28T23:59:59.999999999Z");
        assert_eq!(addresses("10.1.2.3/8"), ["0.0.0.0", "::", "9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"]);
    }
}
