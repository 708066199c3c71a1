//! Policy variables: `${…}`.

use policy::Node;

use super::Report;

/// Checks the variables of a text in an element that may have them.
pub(super) fn check(report: &mut Report, node: &Node, text: &str, variables: bool) {
    if !text.contains("${") {
        return;
    }
    if !variables {
        return report.error(
            "VARIABLE_UNSUPPORTED_IN_VERSION",
            node,
            "To include variables in your policy, use the policy version 2012-10-17 or later.",
        );
    }
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("${") {
        let Some((inside, behind)) = after.split_once('}') else {
            return report.error(
                "MISSING_BRACE_IN_VARIABLE",
                node,
                "The policy variable is missing a closing curly brace. Add } after the variable text.",
            );
        };
        one(report, node, inside);
        rest = behind;
    }
}

fn one(report: &mut Report, node: &Node, inside: &str) {
    let (name, default) = inside.split_once(',').map_or((inside, None), |(name, default)| (name, Some(default.trim())));
    if inside.trim().is_empty() {
        return report.error(
            "EMPTY_VARIABLE",
            node,
            "Empty policy variable. Remove the variable structure or provide a variable within the structure.",
        );
    }
    if matches!(inside, "*" | "?" | "$") {
        return;
    }
    if name.contains(' ') {
        report.error("UNSUPPORTED_SPACE_IN_VARIABLE", node, "A space is not supported within the policy variable text. Remove the space.");
    }
    if let Some(default) = default
        && !(default.len() >= 2 && default.starts_with('\'') && default.ends_with('\''))
    {
        report.error(
            "MISSING_QUOTE_IN_VARIABLE",
            node,
            "The policy variable default value must begin and end with a single quote. Add the missing quote.",
        );
    }
    if let Some(symbol) = name.chars().find(|symbol| matches!(symbol, '*' | '?' | '$' | '{' | '"' | '\'')) {
        report.error(
            "UNSUPPORTED_SYMBOL_IN_VARIABLE",
            node,
            format!("The symbol {symbol} is not supported within the policy variable text. Remove the symbol."),
        );
    }
}

/// A variable in an element that may have none.
pub(super) fn unsupported(report: &mut Report, node: &Node, text: &str) {
    if text.contains("${") {
        report.error(
            "VARIABLE_UNSUPPORTED_IN_ELEMENT",
            node,
            "Policy variables are supported in the Resource and Condition elements. Remove the policy variable from this element.",
        );
    }
}
