//! Every condition operator, with every prefix and suffix, against a plain reading of the documentation: generated
//! keys and values, hundreds of thousands of them. `BAILIWICK_CASES` multiplies, as in the differential test.
//!
//! The reading is written from the IAM User Guide ("Condition operators", "Single-valued vs. multivalued context
//! keys", "Variables and tags") and shares nothing with the engine: it works on characters and lists, and counts days
//! one by one.

use std::cmp::Ordering;
use std::sync::Arc;

use policy::{Attached, Check, MapContext, Policy, PolicyKind, PolicySet, PolicySource, Principal, PrincipalKind, Resource, decide};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use crate::differential::{cases_wanted, run};

const BASES: [&str; 27] = [
    "StringEquals",
    "StringNotEquals",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
    "StringLike",
    "StringNotLike",
    "NumericEquals",
    "NumericNotEquals",
    "NumericLessThan",
    "NumericLessThanEquals",
    "NumericGreaterThan",
    "NumericGreaterThanEquals",
    "DateEquals",
    "DateNotEquals",
    "DateLessThan",
    "DateLessThanEquals",
    "DateGreaterThan",
    "DateGreaterThanEquals",
    "Bool",
    "BinaryEquals",
    "IpAddress",
    "NotIpAddress",
    "ArnEquals",
    "ArnNotEquals",
    "ArnLike",
    "ArnNotLike",
    "Null",
];

const TEXTS: [&str; 20] = [
    "",
    "a",
    "A",
    "ab",
    "abc",
    "a*",
    "*",
    "?",
    "a?c",
    "é",
    "É",
    "a:b",
    "ana",
    "${aws:username}",
    "${AWS:UserName}*",
    "${bw:absent}",
    "${bw:absent, 'ab'}",
    "a${*}",
    "${?}${$}",
    "${bw:many}",
];
const NUMBERS: [&str; 14] =
    ["0", "-0", "1", "1.0", "01", "10", "9.99", "-1", "-1.5", "1e3", "abc", "", "9007199254740993", "9007199254740992"];
const DATES: [&str; 12] = [
    "2026-01-01",
    "2026-01-01T00:00:00Z",
    "2026-01-01T01:00:00+01:00",
    "2025-12-31T19:00:00-05:00",
    "1767225600",
    "1767225601",
    "2025-12-31T23:59:59.5Z",
    "2024-02-29T12:00:00Z",
    "2025-02-29T12:00:00Z",
    "2026-13-01",
    "soon",
    "",
];
const BOOLEANS: [&str; 7] = ["true", "false", "True", "FALSE", "yes", "", "${bw:flag}"];
const BINARIES: [&str; 6] = ["aGk=", "QmluYXJ5VmFsdWVJbkJhc2U2NA==", "QQ==", "!", "", "QUI="];
const ADDRESSES: [&str; 14] = [
    "10.0.0.0/8",
    "10.1.2.3",
    "11.0.0.0",
    "203.0.113.7/32",
    "203.0.113.7",
    "203.0.113.77/24",
    "2001:db8::/32",
    "2001:DB8::1",
    "2001:db9::1",
    "::/0",
    "0.0.0.0/0",
    "1.2.3.4/33",
    "x",
    "",
];
const ARNS: [&str; 16] = [
    "arn:aws:iam::111111111111:role/p/x",
    "arn:aws:iam::111111111111:role/*",
    "arn:aws:iam::*:role/p/?",
    "arn:*:*:*:*:*",
    "arn:aws:s3:::b",
    "arn:aws:s3:::b/k",
    "arn:aws:s3:::b*",
    "arn:aws:sns:eu-west-1:111111111111:t",
    "arn:aws:sns:*:111111111111:t",
    "arn:aws:logs:r:1:log-group:g:s",
    "arn:aws:logs:*:1:log-group:*",
    "*",
    "b",
    "",
    "arn:aws:iam::111111111111:user/${aws:username}",
    "arn:aws:iam::111111111111:user/ana",
];

fn pool(base: &str) -> Vec<&'static str> {
    match base {
        "Null" | "Bool" => BOOLEANS.to_vec(),
        "BinaryEquals" => BINARIES.to_vec(),
        _ if base.starts_with("String") => TEXTS.to_vec(),
        _ if base.starts_with("Numeric") => NUMBERS.to_vec(),
        _ if base.starts_with("Date") => DATES.to_vec(),
        _ if base.starts_with("Arn") => ARNS.to_vec(),
        _ => ADDRESSES.to_vec(),
    }
}

/// What a request says of the key.
#[derive(Debug, Clone)]
enum Actual {
    Absent,
    One(&'static str),
    Many(Vec<&'static str>),
}

#[derive(Debug, Clone)]
struct Question {
    set: &'static str,
    base: &'static str,
    if_exists: bool,
    wanted: Vec<&'static str>,
    actual: Actual,
    variables: bool,
}

fn question() -> impl Strategy<Value = Question> {
    (select(BASES.to_vec()), select(vec!["", "ForAllValues:", "ForAnyValue:"]), any::<bool>(), prop::bool::weighted(0.8)).prop_flat_map(
        |(base, set, if_exists, variables)| {
            let wanted = proptest::collection::vec(select(pool(base)), 1..4);
            let actual = prop_oneof![
                1 => Just(Actual::Absent),
                4 => select(pool(base)).prop_map(Actual::One),
                2 => proptest::collection::vec(select(pool(base)), 0..4).prop_map(Actual::Many),
            ];
            (wanted, actual).prop_map(move |(wanted, actual)| {
                let if_exists = if_exists && base != "Null";
                Question { set, base, if_exists, wanted, actual, variables }
            })
        },
    )
}

// ---- the plain reading

#[derive(Clone, PartialEq)]
enum Symbol {
    Many,
    One,
    Is(char),
}

/// The pattern with its variables put in; `None` if one has no value.
fn resolved(text: &str, variables: bool) -> Option<Vec<Symbol>> {
    let mut symbols = Vec::new();
    let characters: Vec<char> = text.chars().collect();
    let mut at = 0;
    while at < characters.len() {
        let end = characters[at..].iter().position(|character| *character == '}');
        if variables
            && characters[at..].starts_with(&['$', '{'])
            && let Some(end) = end
        {
            let inside: String = characters[at + 2..at + end].iter().collect();
            let value = match inside.as_str() {
                "*" | "?" | "$" => inside.clone(),
                "aws:username" | "AWS:UserName" => "ana".to_owned(),
                "bw:flag" => "true".to_owned(),
                "bw:absent, 'ab'" => "ab".to_owned(),
                _ => return None,
            };
            symbols.extend(value.chars().map(Symbol::Is));
            at += end + 1;
            continue;
        }
        symbols.push(match characters[at] {
            '*' => Symbol::Many,
            '?' => Symbol::One,
            other => Symbol::Is(other),
        });
        at += 1;
    }
    Some(symbols)
}

fn like(pattern: &[Symbol], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((Symbol::Many, rest)) => (0..=text.len()).any(|taken| like(rest, &text[taken..])),
        Some((Symbol::One, rest)) => !text.is_empty() && like(rest, &text[1..]),
        Some((Symbol::Is(wanted), rest)) => text.first() == Some(wanted) && like(rest, &text[1..]),
    }
}

fn like_text(pattern: &[Symbol], text: &str) -> bool {
    like(pattern, &text.chars().collect::<Vec<_>>())
}

/// The symbols read as the characters that they are written with.
fn literal(symbols: &[Symbol]) -> String {
    let character = |symbol: &Symbol| match symbol {
        Symbol::Many => '*',
        Symbol::One => '?',
        Symbol::Is(character) => *character,
    };
    symbols.iter().map(character).collect()
}

fn arn_like(pattern: &[Symbol], text: &str) -> bool {
    if pattern == [Symbol::Many] {
        return true;
    }
    let patterns: Vec<&[Symbol]> = pattern.splitn(6, |symbol| *symbol == Symbol::Is(':')).collect();
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    patterns.len() == 6 && parts.len() == 6 && patterns.iter().zip(parts).all(|(pattern, part)| like_text(pattern, part))
}

/// Sign, and the digits with twelve places behind the point.
fn number(text: &str) -> Option<i128> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction:0<12}");
    let good = !digits.is_empty() && all.chars().all(|character| character.is_ascii_digit());
    good.then(|| sign * all.parse::<i128>().unwrap())
}

/// Half seconds since 1970, counted day by day.
fn date(text: &str) -> Option<i64> {
    if !text.is_empty() && text.chars().all(|character| character.is_ascii_digit()) {
        return text.parse::<i64>().ok().map(|seconds| seconds * 2);
    }
    let (day, time) = text.split_once('T').unwrap_or((text, "00:00:00Z"));
    let parts: Vec<i64> = day.split('-').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let [year, month, day] = parts[..] else { return None };
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = |year: i64, month: i64| match month {
        2 => 28 + i64::from(leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1..=12).contains(&month) || day < 1 || day > length(year, month) {
        return None;
    }
    let mut days = day - 1;
    for earlier in 1970..year {
        days += 365 + i64::from(leap(earlier));
    }
    for earlier in 1..month {
        days += length(year, earlier);
    }
    let (clock, zone) = match (time.strip_suffix('Z'), time.split_once('+'), time.rsplit_once('-')) {
        (Some(clock), ..) => (clock, 0),
        (_, Some((clock, zone)), _) => (clock, zone[..2].parse::<i64>().unwrap()),
        (_, _, Some((clock, zone))) => (clock, -zone[..2].parse::<i64>().unwrap()),
        _ => return None,
    };
    let half = i64::from(clock.ends_with(".5"));
    let units: Vec<i64> = clock.trim_end_matches(".5").split(':').map(|part| part.parse().unwrap()).collect();
    let seconds = days * 86_400 + (units[0] - zone) * 3_600 + units[1] * 60 + units[2];
    Some(seconds * 2 + half)
}

/// The bits of an address, most significant first.
fn bits(text: &str) -> Option<Vec<bool>> {
    let spread = |value: u32, width: u32| (0..width).rev().map(move |bit| value >> bit & 1 == 1);
    if text.contains(':') {
        let (head, tail) = text.split_once("::")?;
        let groups = |side: &str| -> Option<Vec<u32>> {
            side.split(':').filter(|group| !group.is_empty()).map(|group| u32::from_str_radix(group, 16).ok()).collect()
        };
        let (head, tail) = (groups(head)?, groups(tail)?);
        let zeros = vec![0; 8 - head.len() - tail.len()];
        return Some([head, zeros, tail].concat().into_iter().flat_map(|group| spread(group, 16)).collect());
    }
    let parts: Vec<u32> = text.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    (parts.len() == 4).then(|| parts.into_iter().flat_map(|part| spread(part, 8)).collect())
}

fn within(block: &str, address: &str) -> bool {
    let (network, width) = block.split_once('/').unwrap_or((block, ""));
    let (Some(network), Some(address)) = (bits(network), bits(address)) else { return false };
    let width = if width.is_empty() { network.len() } else { width.parse().unwrap() };
    network.len() == address.len() && width <= network.len() && network[..width] == address[..width]
}

fn bytes(text: &str) -> Option<String> {
    // The pool has only padded base64 of ASCII; equal texts are equal bytes.
    let good = |character: char| character.is_ascii_alphanumeric() || matches!(character, '+' | '/' | '=');
    (text.len().is_multiple_of(4) && text.chars().all(good)).then(|| text.to_owned())
}

fn compared(base: &str, order: Option<Ordering>) -> bool {
    let Some(order) = order else { return false };
    match base.trim_start_matches("Numeric").trim_start_matches("Date") {
        "Equals" => order == Ordering::Equal,
        "LessThan" => order == Ordering::Less,
        "LessThanEquals" => order != Ordering::Greater,
        "GreaterThan" => order == Ordering::Greater,
        "GreaterThanEquals" => order != Ordering::Less,
        other => panic!("{other}"),
    }
}

/// Whether one value of the request meets one of the policy, the negation aside.
fn meets(base: &str, wanted: &str, actual: &str, variables: bool) -> bool {
    let truth = |text: &str| match text.to_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    };
    match base {
        "StringEquals" => resolved(wanted, variables).is_some_and(|wanted| literal(&wanted) == actual),
        "StringEqualsIgnoreCase" => {
            resolved(wanted, variables).is_some_and(|wanted| literal(&wanted).to_lowercase() == actual.to_lowercase())
        }
        "StringLike" => resolved(wanted, variables).is_some_and(|wanted| like_text(&wanted, actual)),
        "ArnEquals" | "ArnLike" => resolved(wanted, variables).is_some_and(|wanted| arn_like(&wanted, actual)),
        "Bool" => {
            let wanted = resolved(wanted, variables).and_then(|wanted| truth(&literal(&wanted)));
            wanted.is_some() && wanted == truth(actual)
        }
        "BinaryEquals" => bytes(wanted).is_some() && bytes(wanted) == bytes(actual),
        "IpAddress" => within(wanted, actual),
        _ if base.starts_with("Numeric") => compared(base, number(actual).zip(number(wanted)).map(|(actual, wanted)| actual.cmp(&wanted))),
        _ => compared(base, date(actual).zip(date(wanted)).map(|(actual, wanted)| actual.cmp(&wanted))),
    }
}

fn holds(question: &Question) -> bool {
    let Question { set, base, if_exists, wanted, actual, variables } = question;
    let values: Vec<&str> = match actual {
        Actual::Absent => vec![],
        Actual::One(value) => vec![*value],
        Actual::Many(values) => values.clone(),
    };
    if *base == "Null" {
        let null = values.iter().all(|value| value.is_empty());
        return wanted.iter().any(|wanted| wanted.to_lowercase() == null.to_string());
    }
    let negated = base.contains("Not");
    if values.is_empty() {
        return *if_exists || *set == "ForAllValues:" || (set.is_empty() && negated);
    }
    let positive = base.replacen("Not", "", 1);
    let passes = |value: &&str| wanted.iter().any(|wanted| meets(&positive, wanted, value, *variables)) != negated;
    match *set {
        "ForAllValues:" => values.iter().all(|value| value.is_empty()) || values.iter().all(passes),
        "ForAnyValue:" => values.iter().any(passes),
        // Without a set operator: one value that matches is a match, and for a negated operator one too many.
        _ if negated => values.iter().all(passes),
        _ => values.iter().any(passes),
    }
}

// ---- the engine

fn decided(question: &Question) -> bool {
    let operator = format!("{}{}{}", question.set, question.base, if question.if_exists { "IfExists" } else { "" });
    let mut document = json!({"Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", "Condition": {}}]});
    document["Statement"][0]["Condition"][operator] = json!({ "bw:key": question.wanted });
    if question.variables {
        document["Version"] = json!("2012-10-17");
    }
    let policy = Policy::parse_stored(&document.to_string(), PolicyKind::Identity);
    assert_eq!(policy.problem(), None);
    let mut context = MapContext::new();
    context.set("bw:flag", "true").set_many("bw:many", ["ab"]);
    match &question.actual {
        Actual::Absent => {}
        Actual::One(value) => drop(context.set("BW:Key", *value)),
        Actual::Many(values) => drop(context.set_many("bw:KEY", values.iter().copied())),
    }
    let ana = Principal::new(PrincipalKind::User, "111111111111", "arn:aws:iam::111111111111:user/ana");
    let check = Check::new("s3:GetObject", Resource { arn: "arn:aws:s3:::b/k".to_owned(), ..Resource::default() });
    let identity = vec![Attached::new("p", PolicySource::User, Arc::new(policy))];
    decide(&ana, &check, &PolicySet { identity, ..PolicySet::default() }, &context, None).allowed
}

fn compare(cases: u32) {
    let seen = [std::cell::Cell::new(0_u32), std::cell::Cell::new(0_u32)];
    run(cases, &question(), |question| {
        let expected = holds(question);
        let counter = &seen[usize::from(expected)];
        counter.set(counter.get() + 1);
        let found = decided(question);
        if found == expected { Ok(()) } else { Err(format!("expected {expected}, found {found}")) }
    });
    assert!(seen.iter().all(|count| count.get() > cases / 10), "{seen:?}");
}

#[test]
fn operators_agree_with_the_plain_reading() {
    compare(cases_wanted(100_000));
}

#[test]
fn operators_agree_with_the_plain_reading_again() {
    compare(cases_wanted(100_000));
}
