//! Results for other programs: JUnit for test runners, SARIF for code scanners.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

/// One result.
pub struct Outcome {
    /// File that it belongs to.
    pub file: String,
    /// Name of the test, or code of the finding.
    pub name: String,
    /// What is wrong; `None`: nothing.
    pub problem: Option<String>,
    /// `error`, `warning` or `note`.
    pub level: &'static str,
    /// Line in the file, from 1.
    pub line: Option<u32>,
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // XML 1.0 cannot hold other control characters at all.
            character if character.is_control() && !matches!(character, '\n' | '\t') => escaped.push('\u{fffd}'),
            character => escaped.push(character),
        }
    }
    escaped
}

/// JUnit's XML, one suite for each file.
pub fn junit(outcomes: &[Outcome]) -> String {
    let mut files: Vec<&str> = outcomes.iter().map(|outcome| outcome.file.as_str()).collect();
    files.dedup();
    let failed = |list: &[&Outcome]| list.iter().filter(|outcome| outcome.problem.is_some()).count();
    let all: Vec<&Outcome> = outcomes.iter().collect();
    let mut xml =
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"{}\" failures=\"{}\">\n", all.len(), failed(&all));
    for file in files {
        let of_file: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.file == file).collect();
        let _ = writeln!(xml, "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\">", escaped(file), of_file.len(), failed(&of_file));
        for outcome in of_file {
            let name = escaped(&outcome.name);
            let _ = match &outcome.problem {
                None => writeln!(xml, "    <testcase classname=\"{}\" name=\"{name}\"/>", escaped(file)),
                Some(problem) => writeln!(
                    xml,
                    "    <testcase classname=\"{}\" name=\"{name}\"><failure message=\"{}\"/></testcase>",
                    escaped(file),
                    escaped(problem)
                ),
            };
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

/// SARIF 2.1.0 with one result for each problem.
pub fn sarif(outcomes: &[Outcome]) -> Json {
    let mut rules: Vec<&str> = outcomes.iter().filter(|outcome| outcome.problem.is_some()).map(|outcome| outcome.name.as_str()).collect();
    rules.sort_unstable();
    rules.dedup();
    let results: Vec<Json> = outcomes
        .iter()
        .filter_map(|outcome| {
            let problem = outcome.problem.as_ref()?;
            let artifact = json!({ "uri": outcome.file });
            let place = match outcome.line {
                Some(line) => json!({ "artifactLocation": artifact, "region": { "startLine": line } }),
                None => json!({ "artifactLocation": artifact }),
            };
            Some(json!({
                "ruleId": outcome.name,
                "level": outcome.level,
                "message": { "text": problem },
                "locations": [{ "physicalLocation": place }],
            }))
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "bailiwick",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().map(|rule| json!({ "id": rule })).collect::<Vec<_>>(),
            } },
            "results": results,
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes() -> Vec<Outcome> {
        let outcome = |name: &str, problem: Option<&str>| Outcome {
            file: "a.yaml".to_owned(),
            name: name.to_owned(),
            problem: problem.map(str::to_owned),
            level: "error",
            line: Some(3),
        };
        vec![outcome("good", None), outcome("bad", Some("expected <allowed> & \"denied\"\u{1}"))]
    }

    #[test]
    fn junit_is_well_formed() {
        insta::assert_snapshot!(junit(&outcomes()), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites tests="2" failures="1">
          <testsuite name="a.yaml" tests="2" failures="1">
            <testcase classname="a.yaml" name="good"/>
            <testcase classname="a.yaml" name="bad"><failure message="expected &lt;allowed&gt; &amp; &quot;denied&quot;�"/></testcase>
          </testsuite>
        </testsuites>
        "#);
    }

    #[test]
    fn sarif_names_problems_only() {
        let sarif = sarif(&outcomes());
        assert_eq!(sarif.pointer("/runs/0/results/0/ruleId"), Some(&json!("bad")));
        assert_eq!(sarif.pointer("/runs/0/results/0/locations/0/physicalLocation/region/startLine"), Some(&json!(3)));
        assert_eq!(sarif.pointer("/runs/0/results/1"), None);
    }
}
