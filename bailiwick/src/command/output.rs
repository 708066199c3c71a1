//! What commands print: tables for people, JSON, YAML and CSV for programs.

use std::io::{IsTerminal as _, Write as _};

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value as Json;

use super::Failure;

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    #[default]
    Table,
    Json,
    Yaml,
    Csv,
}

/// One line on standard output.
pub fn line(text: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{text}").map_err(Failure::from)
}

/// Whether colours may be used on standard output.
pub fn colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Rows under headers.
pub fn rows(format: Format, headers: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
    match format {
        Format::Table => {
            let mut table = Table::new();
            table
                .load_style(presets::UTF8_HORIZONTAL_ONLY)
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_header(headers.to_vec());
            for row in rows {
                table.add_row(row.clone());
            }
            line(&table.to_string())
        }
        Format::Csv => {
            let mut text = String::new();
            for row in std::iter::once(headers.iter().map(|header| (*header).to_owned()).collect::<Vec<_>>()).chain(rows.iter().cloned()) {
                text.push_str(&row.iter().map(|cell| csv(cell)).collect::<Vec<_>>().join(","));
                text.push('\n');
            }
            std::io::stdout().write_all(text.as_bytes()).map_err(Failure::from)
        }
        Format::Json | Format::Yaml => {
            let objects: Vec<Json> = rows
                .iter()
                .map(|row| {
                    Json::Object(headers.iter().zip(row).map(|(header, cell)| ((*header).to_owned(), Json::String(cell.clone()))).collect())
                })
                .collect();
            document(format, &Json::Array(objects))
        }
    }
}

/// A JSON document, as JSON or YAML.
pub fn document(format: Format, json: &Json) -> Result<(), Failure> {
    match format {
        Format::Yaml => {
            let mut text = String::new();
            yaml(json, 0, &mut text);
            line(text.trim_end())
        }
        _ => line(&serde_json::to_string_pretty(json).map_err(|error| Failure::general(error.to_string()))?),
    }
}

/// A CSV cell. One that a spreadsheet would run as a formula gets a quote in front.
pub fn csv(cell: &str) -> String {
    let cell = if cell.starts_with(['=', '+', '-', '@', '\t']) { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

/// Block YAML; every string is in double quotes, so no text can be taken for another type.
fn yaml(json: &Json, indent: usize, out: &mut String) {
    let pad = "  ".repeat(indent);
    match json {
        Json::Object(members) if !members.is_empty() => {
            for (key, value) in members {
                out.push_str(&format!("{pad}{}:", Json::String(key.clone())));
                nested(value, indent, out);
            }
        }
        Json::Array(items) if !items.is_empty() => {
            for item in items {
                out.push_str(&format!("{pad}-"));
                nested(item, indent, out);
            }
        }
        scalar => out.push_str(&format!("{pad}{scalar}\n")),
    }
}

fn nested(value: &Json, indent: usize, out: &mut String) {
    let is_block = value.as_object().is_some_and(|members| !members.is_empty()) || value.as_array().is_some_and(|items| !items.is_empty());
    if is_block {
        out.push('\n');
        yaml(value, indent + 1, out);
    } else {
        out.push_str(&format!(" {value}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_cannot_become_formulas() {
        assert_eq!(csv("=1+1"), "'=1+1");
        assert_eq!(csv("a,\"b\""), "\"a,\"\"b\"\"\"");
    }

    #[test]
    fn yaml_nests() {
        let mut text = String::new();
        yaml(&serde_json::json!({ "a": [1, { "b": "no" }], "c": [] }), 0, &mut text);
        insta::assert_snapshot!(text, @r#"
        "a":
          - 1
          -
            "b": "no"
        "c": []
        "#);
    }
}
