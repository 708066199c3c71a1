//! What the detectors are worth on development data: precision and recall of a type, false findings in ordinary requests, time.
//!
//! `cargo run --release -p sensitive --example measure -- PII GUARDRAILS [TYPE]`: the folders of the labelled texts and of the benign requests; with a
//! type, its mistakes are printed. A labelled place counts as found when more than half of its letters and digits lie in findings of its type; a
//! finding counts as right when more than half of its letters and digits lie in labelled places of its type.
#![allow(
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    reason = "a measuring program that stops at the first thing that is not as expected"
)]

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sensitive::{Kind, KindSet, find};
use serde_json::Value;

/// A text with what is known to be in it.
struct Labelled {
    text: String,
    gold: Vec<(Kind, Range<usize>)>,
    /// Places where a finding is neither right nor wrong.
    ignored: Vec<(Kind, Range<usize>)>,
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Place of a character as a place of a byte.
fn byte(text: &str, characters: u64) -> usize {
    text.char_indices().nth(usize::try_from(characters).unwrap()).map_or(text.len(), |(at, _)| at)
}

fn sentences(folder: &Path) -> Vec<Labelled> {
    let kind = |label: &str| match label {
        "PERSON" => Some(Kind::Name),
        "STREET_ADDRESS" | "ADDRESS" => Some(Kind::Address),
        "PHONE_NUMBER" => Some(Kind::Phone),
        "EMAIL_ADDRESS" => Some(Kind::Email),
        "CREDIT_CARD" => Some(Kind::CardNumber),
        "US_SSN" => Some(Kind::UsSocialSecurityNumber),
        "IBAN_CODE" => Some(Kind::Iban),
        "IP_ADDRESS" => Some(Kind::IpAddress),
        "AGE" => Some(Kind::Age),
        "US_DRIVER_LICENSE" => Some(Kind::DriverId),
        "DOMAIN_NAME" => Some(Kind::Url),
        _ => None,
    };
    let read = |row: &Value| {
        let text = row["text"].as_str().unwrap().to_owned();
        let (mut gold, mut ignored) = (Vec::new(), Vec::new());
        for span in row["spans"].as_array().unwrap() {
            let range = byte(&text, span["start"].as_u64().unwrap())..byte(&text, span["end"].as_u64().unwrap());
            let label = span["label"].as_str().unwrap();
            // Some templates label a title alone as a person.
            if label == "PERSON" && text[range.clone()].ends_with('.') && range.len() <= 4 {
                ignored.push((Kind::Name, range));
                continue;
            }
            let Some(kind) = kind(label) else {
                // A city or a post code within an address is labelled as a place of its own.
                if matches!(label, "GPE" | "LOCATION" | "ZIP_CODE") {
                    ignored.push((Kind::Address, range));
                }
                continue;
            };
            // A house number alone, which the templates put next to a street of another span, is no address.
            if kind == Kind::Address && !text[range.clone()].chars().any(char::is_alphabetic) {
                ignored.push((kind, range));
            } else {
                gold.push((kind, range));
            }
        }
        Labelled { text, gold, ignored }
    };
    lines(&folder.join("third-party-dev/presidio-research.jsonl")).iter().map(read).collect()
}

fn planted(folder: &Path, sets: &[&str]) -> Vec<Labelled> {
    let kind = |name: &str| match name {
        "NAME" => Some(Kind::Name),
        "ADDRESS" => Some(Kind::Address),
        "AWS_CREDENTIALS" => Some(Kind::AwsSecretKey),
        "GCP_API_KEY"
        | "HTTP_BASIC_AUTH_HEADER"
        | "JSON_WEB_TOKEN"
        | "OPENSSH_PRIVATE_KEY"
        | "PGP_PRIVATE_KEY"
        | "PKCS"
        | "PUTTY_PRIVATE_KEY"
        | "STRIPE_CREDENTIALS" => Some(Kind::Password),
        "CREDIT_CARD_NUMBER" => Some(Kind::CardNumber),
        _ if name.ends_with("PHONE_NUMBER") => Some(Kind::Phone),
        _ => None,
    };
    let objects = folder.join("synthetic-dev/objects");
    let mut out = Vec::new();
    for row in lines(&folder.join("synthetic-dev/gold.jsonl")) {
        let is_wanted = sets.contains(&row["set"].as_str().unwrap()) && matches!(row["format"].as_str().unwrap(), "txt" | "log" | "csv");
        if !is_wanted {
            continue;
        }
        let text = std::fs::read_to_string(objects.join(row["key"].as_str().unwrap())).unwrap().replace("\r\n", "\n");
        let (mut gold, mut ignored) = (Vec::new(), Vec::new());
        for entry in row["gold"].as_array().unwrap() {
            let value = entry["value"].as_str().unwrap();
            for (at, _) in text.match_indices(value) {
                // Of a header only the credentials are secret.
                let start = value.find(": Basic ").map_or(at, |colon| at + colon + 8);
                match kind(entry["type"].as_str().unwrap()) {
                    Some(kind) => gold.push((kind, start..at + value.len())),
                    None if entry["type"] == "HTTP_COOKIE" => ignored.push((Kind::Password, at..at + value.len())),
                    None => {}
                }
                for also in entry["also"].as_array().into_iter().flatten().filter_map(|also| kind(also.as_str().unwrap())) {
                    ignored.push((also, at..at + value.len()));
                }
            }
        }
        // Keys that are published as examples are keys by their form.
        for decoy in row["decoys"].as_array().into_iter().flatten() {
            let value = decoy["value"].as_str().unwrap();
            let places = text.match_indices(value).map(|(at, _)| at..at + value.len());
            ignored.extend(places.flat_map(|place| [(Kind::Password, place.clone()), (Kind::AwsSecretKey, place)]));
        }
        out.push(Labelled { text, gold, ignored });
    }
    out
}

/// The share of a place's letters and digits that lie in other places.
fn covered(text: &str, place: &Range<usize>, others: &[&Range<usize>]) -> f64 {
    let (mut all, mut inside) = (0.0, 0.0);
    for (at, character) in text[place.clone()].char_indices() {
        if character.is_alphanumeric() {
            all += 1.0;
            if others.iter().any(|other| other.contains(&(place.start + at))) {
                inside += 1.0;
            }
        }
    }
    if all > 0.0 { inside / all } else { 0.0 }
}

#[derive(Default)]
struct Counts {
    gold: usize,
    hit: usize,
    right: usize,
    wrong: usize,
}

fn around(text: &str, place: &Range<usize>) -> String {
    let from = (0..=place.start.saturating_sub(40)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let to = ((place.end + 30).min(text.len())..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    format!("{}[{}]{}", &text[from..place.start], &text[place.clone()], &text[place.end..to]).replace('\n', "⏎")
}

fn score(name: &str, texts: &[Labelled], shown: Option<Kind>) {
    let mut counts = BTreeMap::<Kind, Counts>::new();
    for labelled in texts {
        let findings = find(&labelled.text, KindSet::ALL).unwrap();
        for kind in Kind::ALL {
            let found: Vec<Range<usize>> = findings.iter().filter(|found| found.kind == kind).map(|found| found.start..found.end).collect();
            let of = |places: &[(Kind, Range<usize>)]| -> Vec<Range<usize>> {
                places.iter().filter(|(other, _)| *other == kind).map(|(_, place)| place.clone()).collect()
            };
            let (gold, ignored) = (of(&labelled.gold), of(&labelled.ignored));
            let count = counts.entry(kind).or_default();
            for place in &gold {
                count.gold += 1;
                if covered(&labelled.text, place, &found.iter().collect::<Vec<_>>()) > 0.5 {
                    count.hit += 1;
                } else if shown == Some(kind) {
                    println!("    missed  {}", around(&labelled.text, place));
                }
            }
            let allowed: Vec<&Range<usize>> = gold.iter().chain(&ignored).collect();
            for place in &found {
                if covered(&labelled.text, place, &allowed) > 0.5 {
                    count.right += 1;
                } else {
                    count.wrong += 1;
                    if shown == Some(kind) {
                        println!("    wrong   {}", around(&labelled.text, place));
                    }
                }
            }
        }
    }
    for (kind, count) in counts.iter().filter(|(_, count)| count.gold > 0) {
        println!(
            "| {name} | {} | {} | {:.3} | {:.3} |",
            kind.name(),
            count.gold,
            count.right as f64 / (count.right + count.wrong).max(1) as f64,
            count.hit as f64 / count.gold as f64
        );
    }
}

/// Files that hold a credential, or only look as if they did.
fn secrets(folder: &Path, shown: Option<Kind>) {
    let folder = folder.join("third-party-dev/secrets");
    let wanted: KindSet = [Kind::Password, Kind::AwsSecretKey].into_iter().collect();
    let (mut bad, mut hit, mut good, mut alarmed) = (0, 0, 0, 0);
    for row in lines(&folder.join("gold.jsonl")) {
        let key = row["key"].as_str().unwrap();
        let text = String::from_utf8_lossy(&std::fs::read(folder.join("objects").join(key)).unwrap()).into_owned();
        let is_found = !find(&text, wanted).unwrap().is_empty();
        let gold = row["gold"].as_array().unwrap();
        let is_secret = !gold.is_empty();
        if gold.iter().any(|entry| entry["optional"].as_bool() == Some(true)) {
            continue;
        }
        bad += usize::from(is_secret);
        hit += usize::from(is_secret && is_found);
        good += usize::from(!is_secret);
        alarmed += usize::from(!is_secret && is_found);
        if is_secret != is_found && shown == Some(Kind::Password) {
            println!("    {} {key}", if is_secret { "missed " } else { "alarmed" });
        }
    }
    // The labels name eight kinds; many of the files without a label hold others.
    println!("| files with a labelled credential | PASSWORD | {bad} | found in {hit} | and in {alarmed} of {good} without a label |");
}

fn false_findings(folder: &Path, shown: Option<Kind>) {
    for set in ["benign_banking77", "benign_clinc150", "benign_p3_t0", "benign_awesome_prompts"] {
        let rows = lines(&folder.join(format!("{set}.jsonl")));
        let mut counts = BTreeMap::<Kind, usize>::new();
        for row in &rows {
            let text = row["text"].as_str().unwrap();
            let findings = find(text, KindSet::ALL).unwrap();
            for kind in Kind::ALL {
                let mut found = findings.iter().filter(|found| found.kind == kind);
                if let Some(first) = found.next() {
                    *counts.entry(kind).or_default() += 1;
                    if shown == Some(kind) {
                        println!("    {set}  {}", around(text, &(first.start..first.end)));
                    }
                }
            }
        }
        let share = |count: usize| count as f64 * 1000.0 / rows.len() as f64;
        let told: Vec<String> = counts.iter().map(|(kind, count)| format!("{} {:.1}", kind.name(), share(*count))).collect();
        println!("| {set}, texts of 1,000 with a finding | {} |", told.join(", "));
    }
}

/// The median time for 1,000 characters of a text that holds some of everything.
fn time(of: &str, texts: &[Labelled], shown: Option<Kind>) {
    let joined = texts.iter().map(|labelled| labelled.text.as_str()).collect::<Vec<_>>().join(" ");
    let characters: Vec<char> = joined.chars().collect();
    let parts: Vec<String> = characters.chunks(1_000).filter(|part| part.len() == 1_000).map(|part| part.iter().collect()).collect();
    let measure = |name: &str, wanted: KindSet| {
        let mut times = Vec::new();
        for part in &parts {
            // The best of several runs: the machine has other work.
            let run = |_| {
                let start = Instant::now();
                std::hint::black_box(find(part, wanted)).unwrap();
                start.elapsed().as_secs_f64() * 1_000.0
            };
            times.push((0..7).map(run).fold(f64::INFINITY, f64::min));
        }
        times.sort_by(f64::total_cmp);
        println!(
            "| 1,000 characters of {of}, {name}, ms | median {:.3} | 99th percentile {:.3} |",
            times[times.len() / 2],
            times[times.len() * 99 / 100]
        );
    };
    measure("all types", KindSet::ALL);
    for kind in Kind::ALL.into_iter().filter(|_| shown.is_some()) {
        measure(kind.name(), [kind].into_iter().collect());
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (pii, guardrails) = (PathBuf::from(&arguments[0]), PathBuf::from(&arguments[1]));
    let shown = arguments.get(2).and_then(|name| Kind::parse(name));
    let sentences = sentences(&pii);
    println!("| set | type | labelled | precision | recall |");
    score("sentences", &sentences, shown);
    score("planted", &planted(&pii, &["text", "prose", "table", "negative"]), shown);
    secrets(&pii, shown);
    false_findings(&guardrails, shown);
    let requests: Vec<Labelled> = lines(&guardrails.join("benign_awesome_prompts.jsonl"))
        .iter()
        .map(|row| Labelled { text: row["text"].as_str().unwrap().to_owned(), gold: Vec::new(), ignored: Vec::new() })
        .collect();
    time("ordinary requests", &requests, None);
    time("the sentences", &sentences, shown);
}
