//! Measurements on the permitted sets and on sentences that were written by hand and never trained on (`dev/`).

use std::path::Path;

use guard::Provenance;
use guard::model::{Model, attack_logit, content_logits};

use crate::example::{Builder, Row, row, rows};
use crate::measure::{above, auroc, average_precision, threshold};
use crate::say;

const TRIGGER: &str = include_str!("../dev/trigger_benign.txt");
const CONSTRAINTS: &str = include_str!("../dev/constraints_benign.txt");
pub(crate) const SAFE: &str = include_str!("../dev/safe_benign.txt");
const HARD: &str = include_str!("../dev/attack_hard.txt");
const HARM: &str = include_str!("../dev/harm.txt");
const INJECTED: &str = include_str!("../dev/injected.txt");

/// Written before any of the transformer stage, in kinds that the grammar does not have; their mistakes are not read.
const FRESH_TRIGGER: &str = include_str!("../dev/fresh_trigger_benign.txt");
const FRESH_DENSE: &str = include_str!("../dev/fresh_dense_benign.txt");
const FRESH_ATTACK: &str = include_str!("../dev/fresh_attack.txt");
const FRESH_INJECTED: &str = include_str!("../dev/fresh_injected.txt");
/// Ten mails with an instruction in each and the same without; written after the fifth grammar.
const FRESH_MAILS: &str = include_str!("../dev/fresh_mails.jsonl");
const FRESH_DATA: &str = include_str!("../dev/fresh_data_benign.txt");

const GROUNDING: &str = include_str!("../dev/grounding.txt");

/// Categories as `dev/harm.txt` writes them, in the order of the heads.
const CATEGORIES: [&str; 5] = ["HATE", "INSULTS", "SEXUAL", "VIOLENCE", "MISCONDUCT"];

pub(crate) fn lines(text: &str) -> Vec<String> {
    text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

fn scores(model: &Model, texts: &[String], provenance: Provenance) -> Vec<f32> {
    texts.iter().map(|text| attack_logit(model, text, provenance)).collect()
}

pub(crate) fn load(folder: &Path, name: &str) -> Result<Vec<Row>, String> {
    rows(folder, name, &mut Vec::new())
}

fn split(rows: Vec<Row>, most: usize) -> (Vec<String>, Vec<String>) {
    let step = (rows.len() / most.max(1)).max(1);
    let (mut positives, mut negatives) = (Vec::new(), Vec::new());
    for row in rows.into_iter().step_by(step) {
        if row.is_positive { positives.push(row.text) } else { negatives.push(row.text) }
    }
    (positives, negatives)
}

fn show_mistakes(model: &Model, texts: &[String], provenance: Provenance, is_attack: bool) {
    let mut scored: Vec<(f32, &String)> = texts.iter().map(|text| (attack_logit(model, text, provenance), text)).collect();
    scored.sort_by(|left, right| left.0.total_cmp(&right.0));
    if !is_attack {
        scored.reverse();
    }
    for (score, text) in scored.iter().take(14) {
        say(&format!("        {score:6.2}  {}", text.chars().take(150).collect::<String>().replace('\n', "⏎")));
    }
}

/// The sets by name: attacks, then benign ones.
pub(crate) struct Direct {
    pub(crate) attacks: Vec<(&'static str, Vec<String>)>,
    pub(crate) benign: Vec<(&'static str, Vec<String>)>,
}

pub(crate) fn direct(folder: &Path) -> Result<Direct, String> {
    let (slabs, slabs_benign) = split(load(folder, "pi_slabs_validation")?, 2_000);
    let (neural, neural_benign) = split(load(folder, "pi_neuralchemy_validation")?, 2_000);
    let (yanis, _) = split(load(folder, "pi_yanismiraoui")?, 500);
    let (wild, _) = split(load(folder, "pi_inthewild_dev")?, 500);
    let bastion: Vec<String> = load(folder, "pi_bastioncorpus")?
        .into_iter()
        .filter(|row| row.is_positive && !row.category.contains("indirect"))
        .map(|row| row.text)
        .collect();
    let clinc: Vec<String> = load(folder, "benign_clinc150")?.into_iter().step_by(30).map(|row| row.text).collect();
    let banking: Vec<String> = load(folder, "benign_banking77")?.into_iter().step_by(40).map(|row| row.text).collect();
    let p3: Vec<String> = load(folder, "benign_p3_t0")?.into_iter().step_by(16).map(|row| row.text).collect();
    let awesome: Vec<String> = load(folder, "benign_awesome_prompts")?.into_iter().step_by(4).map(|row| row.text).collect();
    let instruct: Vec<String> = load(folder, "benign_selfinstruct_seed")?.into_iter().map(|row| row.text).collect();
    Ok(Direct {
        attacks: vec![
            ("slabs", slabs),
            ("neuralchemy", neural),
            ("yanismiraoui", yanis),
            ("inthewild", wild),
            ("bastion", bastion),
            ("hand hard", lines(HARD)),
            ("fresh hard", lines(FRESH_ATTACK)),
        ],
        benign: vec![
            ("slabs", slabs_benign),
            ("neuralchemy", neural_benign),
            ("clinc", clinc),
            ("banking", banking),
            ("p3", p3),
            ("awesome", awesome),
            ("selfinstruct", instruct),
            ("hand trigger", lines(TRIGGER)),
            ("hand constraints", lines(CONSTRAINTS)),
            ("hand safe", lines(SAFE)),
            ("fresh trigger", lines(FRESH_TRIGGER)),
            ("fresh dense", lines(FRESH_DENSE)),
        ],
    })
}

/// A name, documents with an instruction in them, and documents without.
pub(crate) type Documents = (String, Vec<String>, Vec<String>);

/// Documents with and without an instruction in them: permitted ones by kind, and lines by hand alone and in carriers.
pub(crate) fn documents(folder: &Path) -> Result<Vec<Documents>, String> {
    let mut out = Vec::new();
    for kind in ["email", "table", "code"] {
        let (mut hidden, mut plain) = (Vec::new(), Vec::new());
        for row in load(folder, "pi_bipia_train")?.into_iter().filter(|row| row.category.contains(kind)) {
            if row.is_positive { hidden.push(row.text) } else { plain.push(row.text) }
        }
        out.push((format!("bipia {kind}"), hidden, plain));
    }
    let mut builder = Builder::new(99);
    let carriers: Vec<String> = (0..400).map(|_| builder.grammar.sentence("carrier", &mut builder.random)).collect();
    for (name, injected) in [("hand injections in own carriers", INJECTED), ("fresh injections in own carriers", FRESH_INJECTED)] {
        let mut mixed = Vec::new();
        for line in lines(injected) {
            for _ in 0..10 {
                let carrier = builder.grammar.sentence("carrier", &mut builder.random);
                mixed.push(builder.inserted(&carrier, &line));
            }
        }
        out.push((name.to_owned(), mixed, carriers.clone()));
    }
    out.push(("fresh lines".to_owned(), lines(FRESH_INJECTED), lines(FRESH_DATA)));
    let (hidden, plain) = split(FRESH_MAILS.lines().filter_map(row).collect(), usize::MAX);
    out.push(("fresh mails".to_owned(), hidden, plain));
    Ok(out)
}

/// Harmful texts by category, written by hand.
pub(crate) fn harm() -> Vec<(String, String)> {
    let pair = |line: &String| line.split_once('\t').map(|(category, text)| (category.to_owned(), text.to_owned()));
    lines(HARM).iter().filter_map(pair).collect()
}

/// What share of the texts of a file each strength acts on.
pub(crate) fn texts(model: &Model, file: &Path) -> Result<(), String> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let texts: Vec<String> = load(folder, &name)?.into_iter().map(|row| row.text).collect();
    for provenance in [Provenance::User, Provenance::Data] {
        let own = scores(model, &texts, provenance);
        let acted = guard::model::attack_bands(provenance).map(|cut| format!("{:.3}", above(&own, cut)));
        say(&format!("| {name}, {provenance:?} | {} | acted on at HIGH, MEDIUM, LOW: {} |", own.len(), acted.join(" | ")));
    }
    Ok(())
}

/// Everything.
pub(crate) fn all(model: &Model, folder: &Path, mistakes: bool) -> Result<(), String> {
    let direct = direct(folder)?;
    let benign: Vec<(&str, Vec<f32>)> = direct.benign.iter().map(|(name, texts)| (*name, scores(model, texts, Provenance::User))).collect();
    let pooled: Vec<f32> = benign.iter().flat_map(|(_, scores)| scores.iter().copied()).collect();
    let cuts = [0.05, 0.01, 0.002].map(|share| threshold(&pooled, share));
    say(&format!("## Direct attacks; cuts at 5 %, 1 %, 0.2 % of {} benign texts: {cuts:.2?}", pooled.len()));
    say("| set | n | AUROC | recall at 5 % | at 1 % | at 0.2 % |");
    let caught: Vec<(&str, Vec<f32>)> =
        direct.attacks.iter().map(|(name, texts)| (*name, scores(model, texts, Provenance::User))).collect();
    let mut attacks = Vec::new();
    for (name, own) in &caught {
        let recall = cuts.map(|cut| format!("{:.3}", above(own, cut)));
        say(&format!("| {name} | {} | {:.3} | {} |", own.len(), auroc(own, &pooled), recall.join(" | ")));
        attacks.extend_from_slice(own);
    }
    say(&format!(
        "| all | {} | {:.3} | {:.3} | {:.3} | {:.3} |",
        attacks.len(),
        auroc(&attacks, &pooled),
        above(&attacks, cuts[0]),
        above(&attacks, cuts[1]),
        above(&attacks, cuts[2])
    ));
    for (name, own) in &benign {
        let passed = cuts.map(|cut| format!("{:.3}", 1.0 - above(own, cut)));
        say(&format!("| passed: {name} | {} | | {} |", own.len(), passed.join(" | ")));
    }
    // As it ships: strength HIGH acts from the first band on, MEDIUM from the second, LOW from the third.
    say("| at the shipped bands | recall or passed at HIGH | MEDIUM | LOW |");
    let bands = guard::model::attack_bands(Provenance::User);
    for (name, own) in &caught {
        say(&format!("| attacks: {name} | {} |", bands.map(|cut| format!("{:.3}", above(own, cut))).join(" | ")));
    }
    for (name, own) in &benign {
        say(&format!("| passed: {name} | {} |", bands.map(|cut| format!("{:.3}", 1.0 - above(own, cut))).join(" | ")));
    }
    if mistakes {
        for (name, texts) in direct.attacks.iter().filter(|(name, _)| !name.starts_with("fresh")) {
            say(&format!("    missed in {name}"));
            show_mistakes(model, texts, Provenance::User, true);
        }
        for (name, texts) in direct.benign.iter().filter(|(name, _)| !name.starts_with("fresh")) {
            say(&format!("    blocked in {name}"));
            show_mistakes(model, texts, Provenance::User, false);
        }
    }
    indirect(model, folder, mistakes)?;
    content(model, folder, mistakes)
}

fn indirect(model: &Model, folder: &Path, mistakes: bool) -> Result<(), String> {
    say("## Instructions in data");
    for (name, injected, clean) in documents(folder)? {
        let (hidden, plain) = (scores(model, &injected, Provenance::Data), scores(model, &clean, Provenance::Data));
        let cut = threshold(&plain, 0.01);
        say(&format!(
            "| {name} | {} of {} | AUROC {:.3} | cut at 1 %: {cut:.2} | recall {:.3} |",
            hidden.len(),
            plain.len(),
            auroc(&hidden, &plain),
            above(&hidden, cut)
        ));
        let bands = guard::model::attack_bands(Provenance::Data);
        say(&format!(
            "| at the bands | found {} | passed {} |",
            bands.map(|cut| format!("{:.3}", above(&hidden, cut))).join(" "),
            bands.map(|cut| format!("{:.3}", 1.0 - above(&plain, cut))).join(" ")
        ));
        if mistakes && !name.starts_with("fresh") {
            show_mistakes(model, &injected, Provenance::Data, true);
            show_mistakes(model, &clean, Provenance::Data, false);
        }
    }
    Ok(())
}

fn content(model: &Model, folder: &Path, mistakes: bool) -> Result<(), String> {
    say("## Content");
    let mut benign: Vec<String> = lines(SAFE).into_iter().chain(lines(TRIGGER)).chain(lines(CONSTRAINTS)).collect();
    benign.extend(load(folder, "benign_selfinstruct_seed")?.into_iter().map(|row| row.text));
    benign.extend(load(folder, "benign_clinc150")?.into_iter().step_by(60).map(|row| row.text));
    benign.extend(load(folder, "benign_p3_t0")?.into_iter().step_by(30).map(|row| row.text));
    let plain: Vec<[f32; 5]> = benign.iter().map(|text| content_logits(model, text)).collect();
    let most = |scores: &[f32; 5]| scores.iter().copied().fold(f32::MIN, f32::max);
    let plain_most: Vec<f32> = plain.iter().map(most).collect();
    let harm = harm();
    for (place, category) in CATEGORIES.iter().enumerate() {
        let at = |scores: &[f32; 5]| scores.get(place).copied().unwrap_or_default();
        let own: Vec<f32> = harm.iter().filter(|(of, _)| of == category).map(|(_, text)| at(&content_logits(model, text))).collect();
        let other: Vec<f32> = plain.iter().map(at).collect();
        let cut = threshold(&other, 0.01);
        say(&format!(
            "| {category} by hand | {} | AUROC {:.3} | cut at 1 %: {cut:.2} | recall {:.3} |",
            own.len(),
            auroc(&own, &other),
            above(&own, cut)
        ));
    }
    let harmful: Vec<f32> = harm.iter().map(|(_, text)| most(&content_logits(model, text))).collect();
    let safe: Vec<f32> = lines(SAFE).iter().map(|text| most(&content_logits(model, text))).collect();
    say(&format!(
        "| all by hand against {} benign | AUROC {:.3} | AP {:.3} | recall at 1 % {:.3} |",
        plain.len(),
        auroc(&harmful, &plain_most),
        average_precision(&harmful, &plain_most),
        above(&harmful, threshold(&plain_most, 0.01))
    ));
    say(&format!(
        "| all by hand against {} safe with harsh words | AUROC {:.3} | AP {:.3} |",
        safe.len(),
        auroc(&harmful, &safe),
        average_precision(&harmful, &safe)
    ));
    for (name, step) in [("cm_surge_toxicity", 1), ("cm_davidson", 40), ("cm_advbench", 4), ("cm_malicious_instruct", 1)] {
        let (bad, good) = split(load(folder, name)?.into_iter().step_by(step).collect(), 2_000);
        let bad: Vec<f32> = bad.iter().map(|text| most(&content_logits(model, text))).collect();
        let good: Vec<f32> =
            if good.is_empty() { plain_most.clone() } else { good.iter().map(|text| most(&content_logits(model, text))).collect() };
        say(&format!(
            "| {name} | {} of {} | AUROC {:.3} | AP {:.3} |",
            bad.len(),
            good.len(),
            auroc(&bad, &good),
            average_precision(&bad, &good)
        ));
    }
    if mistakes {
        let mut scored: Vec<(f32, String)> =
            harm.iter().map(|(category, text)| (most(&content_logits(model, text)), format!("{category} {text}"))).collect();
        scored.sort_by(|left, right| left.0.total_cmp(&right.0));
        let mut blocked: Vec<(f32, String)> = benign.iter().map(|text| (most(&content_logits(model, text)), text.clone())).collect();
        blocked.sort_by(|left, right| right.0.total_cmp(&left.0));
        for (score, text) in scored.iter().take(14).chain(blocked.iter().take(16)) {
            say(&format!("        {score:6.2}  {}", text.chars().take(130).collect::<String>().replace('\n', "⏎")));
        }
    }
    Ok(())
}

/// Measures on one origin's own sets, which the model has not seen: its attacks against all benign texts.
pub(crate) fn one(model: &Model, folder: &Path, origin: &str) -> Result<(), String> {
    let direct = direct(folder)?;
    let Some((name, attacks)) = direct.attacks.iter().find(|(name, _)| *name == origin) else {
        return of_other_kinds(model, folder, origin);
    };
    let pooled: Vec<f32> = direct.benign.iter().flat_map(|(_, texts)| scores(model, texts, Provenance::User)).collect();
    let own = scores(model, attacks, Provenance::User);
    let bands = guard::model::attack_bands(Provenance::User).map(|cut| format!("{:.3}", above(&own, cut)));
    say(&format!(
        "| left out: {name} | {} of {} | AUROC {:.3} | recall at 1 % {:.3}, at 0.2 % {:.3} | at HIGH, MEDIUM, LOW: {} |",
        own.len(),
        pooled.len(),
        auroc(&own, &pooled),
        above(&own, threshold(&pooled, 0.01)),
        above(&own, threshold(&pooled, 0.002)),
        bands.join(" ")
    ));
    Ok(())
}

/// The same for instructions in data and for harm.
fn of_other_kinds(model: &Model, folder: &Path, origin: &str) -> Result<(), String> {
    if origin == "bipia" {
        say("left out: bipia");
        indirect(model, folder, false)?;
    }
    if ["davidson", "surge", "advbench", "malicious instruct"].contains(&origin) {
        say(&format!("left out: {origin}"));
        content(model, folder, false)?;
    }
    Ok(())
}

/// Intents of CLINC150 as topics that were never trained: five examples each, against the requests of all other intents.
pub(crate) fn topics(folder: &Path) -> Result<(), String> {
    use std::collections::BTreeMap;
    let mut intents: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in load(folder, "benign_clinc150")? {
        intents.entry(row.category).or_default().push(row.text);
    }
    let others: Vec<(String, String)> = intents
        .iter()
        .flat_map(|(intent, texts)| texts.iter().skip(5).step_by(40).map(move |text| (intent.clone(), text.clone())))
        .collect();
    let (mut areas, mut inside, mut outside) = (Vec::new(), Vec::new(), Vec::new());
    for (intent, texts) in intents.iter().step_by(4) {
        let words = intent.replace('_', " ");
        let examples: Vec<&str> = texts.iter().step_by(20).take(5).map(String::as_str).collect();
        let topic = guard::Topic::compile(&words, &format!("Questions or requests about {words}"), &examples);
        let own: Vec<f32> =
            texts.iter().filter(|text| !examples.contains(&text.as_str())).step_by(4).map(|text| topic.score(text).score).collect();
        let other: Vec<f32> = others.iter().filter(|(of, _)| of != intent).map(|(_, text)| topic.score(text).score).collect();
        areas.push(auroc(&own, &other));
        inside.extend(own);
        outside.extend(other);
    }
    #[expect(clippy::cast_precision_loss, reason = "a few dozen")]
    let mean = areas.iter().sum::<f32>() / areas.len() as f32;
    say(&format!("## Denied topics: {} intents of CLINC150, five examples each", areas.len()));
    say(&format!("| mean AUROC {mean:.3} | pooled AUROC {:.3} |", auroc(&inside, &outside)));
    for cut in [0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8] {
        say(&format!("| at {cut:.2} | recall {:.3} | false {:.4} |", above(&inside, cut), above(&outside, cut)));
    }
    Ok(())
}

/// Measures grounding on pairs of a source and an answer, written by hand: borne out or not.
pub(crate) fn grounding(mistakes: bool) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for line in lines(GROUNDING) {
        let mut fields = line.split('\t');
        let (Some(label), Some(source), Some(answer)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let score = guard::score_grounding(&[source], None, answer).grounding;
        if mistakes {
            say(&format!("{label} {score:.2}  {answer}"));
        }
        if label == "y" { good.push(score) } else { bad.push(score) }
    }
    say(&format!("| grounding | {} borne out, {} not | AUROC {:.3} |", good.len(), bad.len(), auroc(&good, &bad)));
    for threshold in [0.5, 0.6, 0.7, 0.8] {
        let passed = above(&good, threshold - 1e-6);
        let blocked = 1.0 - above(&bad, threshold - 1e-6);
        say(&format!("| threshold {threshold} | borne out and passed {passed:.3} | not and blocked {blocked:.3} |"));
    }
}
