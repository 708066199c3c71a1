//! Filter patterns: terms in any text, and conditions on the members of a JSON text.
//!
//! Patterns of space-delimited fields (`[a, b]`) and regular expressions (`%...%`) are refused. A comparison holds for a member that is there and has one
//! value; `!=` does not hold for one that is missing.
//!
//! Source: CloudWatch Logs User Guide, "Filter pattern syntax for metric filters, subscription filters, filter log events, and Live Tail".

mod condition;
mod term;

use serde_json::Value as Json;

use crate::error::LogsError;
use condition::Expression;
use term::Terms;

/// A parsed pattern.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FilterPattern {
    Terms(Terms),
    Json(Expression),
}

fn invalid(problem: &str) -> LogsError {
    LogsError::Parameter(format!("Invalid filter pattern: {problem}"))
}

impl FilterPattern {
    pub(crate) fn parse(text: &str) -> Result<Self, LogsError> {
        let trimmed = text.trim();
        if trimmed.starts_with('{') {
            return condition::parse(trimmed).map(Self::Json);
        }
        if trimmed.starts_with('[') {
            return Err(invalid("patterns of space-delimited fields are not supported"));
        }
        term::parse(trimmed).map(Self::Terms)
    }

    pub(crate) fn matches(&self, message: &str) -> bool {
        match self {
            Self::Terms(terms) => terms.match_text(message),
            Self::Json(expression) => serde_json::from_str::<Json>(message).is_ok_and(|json| expression.holds(&json)),
        }
    }

    /// The values that the selectors of the pattern find, by selector.
    pub(crate) fn extract(&self, message: &str) -> Vec<(String, String)> {
        let (Self::Json(expression), Ok(json)) = (self, serde_json::from_str::<Json>(message)) else { return Vec::new() };
        let found = |selector: &condition::Selector| Some((selector.text.clone(), condition::plain(selector.find(&json)?)?));
        expression.selectors().into_iter().filter_map(found).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, message: &str) -> bool {
        FilterPattern::parse(pattern).unwrap().matches(message)
    }

    #[test]
    fn terms() {
        let (both, error, warn) = ("ERROR WARN message", "ERROR message", "WARN message");
        for (pattern, expected) in [
            ("", [true, true, true]),
            ("ERROR", [true, true, false]),
            ("ERROR WARN", [true, false, false]),
            ("?ERROR ?WARN", [true, true, true]),
            ("ERROR -WARN", [false, true, false]),
            ("\"ERROR message\"", [false, true, false]),
            ("-\"ERROR message\"", [true, false, true]),
            ("error", [false, false, false]),
        ] {
            assert_eq!([both, error, warn].map(|message| matches(pattern, message)), expected, "{pattern}");
        }
        assert!(matches(r#""say \"hi\"""#, r#"they say "hi" now"#));
    }

    #[test]
    fn conditions_of_the_user_guide() {
        let first = r#"{"eventType":"UpdateTrail","sourceIPAddress":"111.111.111.111","arrayKey":["value","another value"],
            "objectList":[{"name":"a","id":1},{"name":"b","id":2}],"SomeObject":null,"ThisFlag":true}"#;
        for (pattern, expected) in [
            (r#"{ $.eventType = "UpdateTrail" }"#, true),
            ("{ $.sourceIPAddress != 123.123.* }", true),
            ("{ $.sourceIPAddress = 111.111.* }", true),
            (r#"{ $.arrayKey[0] = "value" }"#, true),
            (r#"{ $.eventType[0] = "value" }"#, false),
            ("{ $.objectList[1].id = 2 }", true),
            ("{ $.SomeObject IS NULL }", true),
            ("{ $.ThisFlag IS NULL }", false),
            ("{ $.SomeOtherObject NOT EXISTS }", true),
            ("{ $.SomeObject NOT EXISTS }", false),
            ("{ $.ThisFlag IS TRUE }", true),
            ("{ $.ThisFlag IS FALSE }", false),
            (r#"{ $.eventType = "*Trail" }"#, true),
            ("{ $.eventType = Update* }", true),
            ("{ $.eventType = Up*il }", false),
            ("{ $.eventType = * }", true),
            (r#"{ $["eventType"] = UpdateTrail }"#, true),
            (r#"{ $.objectList[*].name = "b" }"#, true),
            ("{ $.missing != x }", false),
        ] {
            assert_eq!(matches(pattern, first), expected, "{pattern}");
        }
        let second = r#"{"user":{"id":1,"email":"John.Stiles@example.com"},"users":[{"id":2,"email":"John.Doe@example.com"}],
            "actions":["GET","PUT","DELETE"],"coordinates":[[0,1,2],[4,5,6],[7,8,9]]}"#;
        for (pattern, expected) in [
            (r#"{ ($.user.id = 1) && ($.users[0].email = "John.Doe@example.com") }"#, true),
            (r#"{ ($.user.id = 2 && $.users[0].email = "nonmatch") || $.actions[2] = "GET" }"#, false),
            (r#"{ $.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = nonmatch && $.actions[2] = nomatch }"#, true),
            (r#"{ ($.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = nonmatch) && $.actions[2] = nomatch }"#, false),
            ("{ $.users = 1 }", false),
            ("{ $.users != 1 }", false),
        ] {
            assert_eq!(matches(pattern, second), expected, "{pattern}");
        }
    }

    #[test]
    fn numbers() {
        let message = r#"{"latency":500,"ratio":0.5,"errorCode":"400","account":"123456789012"}"#;
        for (pattern, expected) in [
            ("{ $.latency >= 500 }", true),
            ("{ $.latency > +500 }", false),
            ("{ $.latency < 10e3 }", true),
            ("{ $.ratio <= 5e-1 }", true),
            ("{ $.latency = 500.0 }", true),
            ("{ $.latency != 500 }", false),
            ("{ $.errorCode = 400 }", true),
            ("{ $.errorCode > 300 }", false),
            ("{ $.account = 123456789012 }", true),
            (r#"{ $.latency = "500" }"#, true),
        ] {
            assert_eq!(matches(pattern, message), expected, "{pattern}");
        }
        assert!(!matches("{ $.latency = 500 }", "latency 500"));
    }

    #[test]
    fn what_is_no_pattern() {
        for bad in [
            "{ $.a }",
            "{ $.a = }",
            "{ a = 1 }",
            "{ $.a = 1",
            "{ $.a = 1 } x",
            "{ ($.a = 1 }",
            "{ $.a < x }",
            "{ $.a IS 5 }",
            "{ $.a[x] = 1 }",
            "[a, b]",
            "%x%",
            "{ $.a = %x% }",
            "\"open",
            "a@b",
            "{ }",
            "{ $.a = 1 && }",
            "?",
            "-",
        ] {
            assert!(FilterPattern::parse(bad).is_err(), "{bad}");
        }
        assert!(FilterPattern::parse(&format!("{{ {}$.a = 1 }}", "(".repeat(900))).is_err());
    }

    #[test]
    fn values_are_extracted_by_selector() {
        let pattern = FilterPattern::parse(r#"{ $.a = "x*" && ($.b.c > 1 || $.d NOT EXISTS) }"#).unwrap();
        let found = pattern.extract(r#"{"a":"xy","b":{"c":2}}"#);
        assert_eq!(found, [("$.a".to_owned(), "xy".to_owned()), ("$.b.c".to_owned(), "2".to_owned())]);
    }

    proptest! {
        #[test]
        fn nothing_panics(pattern in "[{}()\\[\\]$.a-c=<>!&|\"\\\\*%?0-9e+ -]{0,40}", message in "\\PC{0,40}") {
            if let Ok(pattern) = FilterPattern::parse(&pattern) {
                pattern.matches(&message);
                pattern.extract(&message);
            }
        }
    }
}
