//! Constraint patterns: Java regular expressions, translated once and run in linear time.
//!
//! AWS matches the whole string. Look-around and back references do not exist in linear-time engines: the few patterns that use
//! them are restated by hand in [`RESTATED`]; a test walks all patterns of all services so that none is left out silently.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use regex_automata::meta::Regex;
use regex_automata::{Anchored, Input};

/// A compiled pattern.
#[derive(Debug)]
pub struct Pattern {
    /// All must match the whole string.
    must: Vec<Regex>,
    /// Number of characters, where the pattern is one repeated class: far cheaper than an automaton of that many states.
    characters: Option<(usize, usize)>,
    /// None may match the whole string (restated negative look-ahead).
    never: Vec<Regex>,
}

impl Pattern {
    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        if let Some((least, most)) = self.characters {
            let count = text.chars().count();
            if count < least || count > most {
                return false;
            }
        }
        self.must.iter().all(|must| whole(must, text)) && !self.never.iter().any(|never| whole(never, text))
    }
}

fn whole(regex: &Regex, text: &str) -> bool {
    // The expression is wrapped in `\A(?:...)\z`.
    regex.is_match(Input::new(text).anchored(Anchored::Yes))
}

type Cache = HashMap<&'static str, Option<Arc<Pattern>>>;

/// The compiled form of a pattern of the facts, from a cache; `None` when it cannot be expressed, which a test forbids.
pub fn compiled(source: &'static str) -> Option<Arc<Pattern>> {
    static CACHE: OnceLock<RwLock<Cache>> = OnceLock::new();
    let cache = CACHE.get_or_init(RwLock::default);
    if let Some(found) = cache.read().unwrap_or_else(PoisonError::into_inner).get(source) {
        return found.clone();
    }
    let pattern = compile(source).map(Arc::new);
    cache.write().unwrap_or_else(PoisonError::into_inner).insert(source, pattern.clone());
    pattern
}

/// Compiles a Java pattern.
pub fn compile(source: &str) -> Option<Pattern> {
    if let Some(restated) = RESTATED.iter().find(|restated| restated.java == source) {
        return Some(Pattern { must: build_all(restated.must)?, characters: None, never: build_all(restated.never)? });
    }
    let translated = translate(source)?;
    if let Some((class, least, most)) = repeated_class(&translated) {
        return Some(Pattern { must: vec![build(&format!("{class}*"))?], characters: Some((least, most)), never: Vec::new() });
    }
    Some(Pattern { must: vec![build(&translated)?], characters: None, never: Vec::new() })
}

fn build_all(sources: &[&str]) -> Option<Vec<Regex>> {
    sources.iter().map(|source| build(&translate(source)?)).collect()
}

fn build(expression: &str) -> Option<Regex> {
    /// Bytes of one compiled automaton.
    const AUTOMATON_BYTES: usize = 32 * 1024 * 1024;
    let config = Regex::config().nfa_size_limit(Some(AUTOMATON_BYTES)).hybrid_cache_capacity(1024 * 1024);
    let syntax = regex_automata::util::syntax::Config::new().nest_limit(64);
    Regex::builder().configure(config).syntax(syntax).build(&format!(r"\A(?:{expression})\z")).ok()
}

/// Splits `[class]{least,most}`, also anchored by `^` and `$`.
fn repeated_class(expression: &str) -> Option<(&str, usize, usize)> {
    let inner = expression.strip_prefix('^').unwrap_or(expression);
    let inner = inner.strip_suffix('$').unwrap_or(inner);
    let (class, counts) = inner.strip_suffix('}')?.rsplit_once('{')?;
    if !class.starts_with('[') || class_end(class)? != class.len() {
        return None;
    }
    let (least, most) = counts.split_once(',').unwrap_or((counts, counts));
    let most = if most.is_empty() { usize::MAX } else { most.parse().ok()? };
    Some((class, least.parse().ok()?, most))
}

/// Byte length of the character class at the start of `text`.
fn class_end(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => depth += 1,
            ']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// Java's syntax in the engine's: classes are ASCII, `.` stops at every line end, surrogate pairs are one character.
fn translate(source: &str) -> Option<String> {
    // Some models order the four halves of "all characters beyond the first plane" so that no pair remains.
    let source = &source.replace(r"\uD800\uDBFF-\uDC00\uDFFF", r"\uD800\uDC00-\uDBFF\uDFFF");
    let mut out = String::with_capacity(source.len() + 16);
    let mut letters = source.chars().peekable();
    let mut depth = 0_usize;
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => {
                let set = letters.peek().is_some_and(|letter| "wdsh".contains(*letter));
                escape(&mut out, &mut letters, depth > 0)?;
                // A set ends no range: `[\w-/]` holds a hyphen.
                if set && depth > 0 && letters.next_if_eq(&'-').is_some() {
                    out.push_str(r"\-");
                }
            }
            '[' => {
                depth += 1;
                out.push('[');
                if letters.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                if letters.next_if_eq(&']').is_some() {
                    out.push_str(r"\]");
                }
            }
            ']' if depth > 0 => {
                depth -= 1;
                out.push(']');
            }
            ']' => out.push_str(r"\]"),
            // `(?s)` at the beginning: a dot is any character.
            '.' if depth == 0 && source.starts_with("(?s)") => out.push_str("(?s:.)"),
            '.' if depth == 0 => out.push_str(r"[^\n\r\x{85}\x{2028}\x{2029}]"),
            // The engine knows `--` and `~~` as set operations, Java does not.
            '-' | '~' if depth > 0 && letters.peek() == Some(&letter) => {
                out.push('\\');
                out.push(letter);
            }
            '{' if depth == 0 && !letters.peek().is_some_and(char::is_ascii_digit) => {
                out.push_str(r"\{");
            }
            '(' => {
                out.push('(');
                let mut ahead = letters.clone();
                if ahead.next() == Some('?') {
                    match ahead.next() {
                        Some('=' | '!' | '>') => return None,
                        Some('<') if matches!(ahead.next(), Some('=' | '!')) => return None,
                        _ => {}
                    }
                }
            }
            _ => out.push(letter),
        }
    }
    Some(out)
}

type Letters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn escape(out: &mut String, letters: &mut Letters<'_>, in_class: bool) -> Option<()> {
    const SPACE: &str = r"\t\n\x0B\x0C\r ";
    let class = |out: &mut String, members: &str| {
        if in_class {
            out.push_str(members);
        } else {
            out.push_str(&format!("[{members}]"));
        }
    };
    match letters.next()? {
        'w' => class(out, "a-zA-Z0-9_"),
        'W' => out.push_str("[^a-zA-Z0-9_]"),
        'd' => class(out, "0-9"),
        'D' => out.push_str("[^0-9]"),
        's' => class(out, SPACE),
        'S' => out.push_str(&format!("[^{SPACE}]")),
        'h' => class(out, r"\t \x{A0}\x{1680}\x{180E}\x{2000}-\x{200A}\x{202F}\x{205F}\x{3000}"),
        'Z' => out.push_str(r"\z"),
        'p' | 'P' if letters.peek() == Some(&'{') => {
            let name: String = letters.by_ref().skip(1).take_while(|letter| *letter != '}').collect();
            out.push_str(&property(&name, in_class));
        }
        'u' => {
            let high = hexadecimal(letters, 4)?;
            let code = if (0xD800..0xDC00).contains(&high) {
                if letters.next()? != '\\' || letters.next()? != 'u' {
                    return None;
                }
                let low = hexadecimal(letters, 4)?.checked_sub(0xDC00)?;
                0x1_0000 + ((high - 0xD800) << 10) + low
            } else {
                high
            };
            out.push_str(&format!(r"\x{{{code:X}}}"));
        }
        // A back reference.
        '1'..='9' if !in_class => return None,
        letter @ ('<' | '>') => out.push(letter),
        letter => {
            out.push('\\');
            out.push(letter);
        }
    }
    Some(())
}

fn hexadecimal(letters: &mut Letters<'_>, digits: usize) -> Option<u32> {
    let text: String = letters.by_ref().take(digits).collect();
    u32::from_str_radix(&text, 16).ok()
}

fn property(name: &str, in_class: bool) -> String {
    let posix = match name {
        "Alnum" => "alnum",
        "Alpha" => "alpha",
        "Digit" => "digit",
        "Punct" => "punct",
        "Print" => "print",
        "Graph" => "graph",
        "Cntrl" => "cntrl",
        "Blank" => "blank",
        "Space" => "space",
        "Upper" => "upper",
        "Lower" => "lower",
        "XDigit" => "xdigit",
        "ASCII" => "ascii",
        other => {
            let other = other.strip_prefix("Is").unwrap_or(other);
            return format!(r"\p{{{other}}}");
        }
    };
    if in_class { format!("[:{posix}:]") } else { format!("[[:{posix}:]]") }
}

/// A pattern with look-around, said again without it.
struct Restated {
    java: &'static str,
    /// Each must match the whole string.
    must: &'static [&'static str],
    /// None may match the whole string.
    never: &'static [&'static str],
}

const RESTATED: &[Restated] = &[
    Restated {
        java: r"(?!\s+$)[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDBFF-\uDC00\uDFFF\t\r\n]*",
        must: &[r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t\r\n]*"],
        never: &[r"\s+"],
    },
    Restated {
        java: r"(?=.{1,255}$)([a-zA-Z0-9]([a-zA-Z0-9\-]{0,61}[a-zA-Z0-9])?)(\.[a-zA-Z0-9]([a-zA-Z0-9\-]{0,61}[a-zA-Z0-9])?)*",
        must: &[r"[a-zA-Z0-9]([a-zA-Z0-9\-]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9\-]{0,61}[a-zA-Z0-9])?)*", r"[\s\S]{1,255}"],
        never: &[],
    },
    Restated {
        java: r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]{1,64})(:((?!\d+$)[0-9a-zA-Z-_]+))?",
        must: &[
            r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]{1,64})(:[0-9a-zA-Z-_]*[a-zA-Z-_][0-9a-zA-Z-_]*)?",
        ],
        never: &[],
    },
    Restated {
        java: r"(?!.*//)([A-Za-z]([A-Za-z0-9_/-]*[A-Za-z0-9_-])?)?",
        must: &[r"([A-Za-z]([A-Za-z0-9_/-]*[A-Za-z0-9_-])?)?"],
        never: &[r".*//.*"],
    },
    Restated { java: r"/(?!.*\.\.)[a-zA-Z0-9/_.\-]+", must: &[r"/[a-zA-Z0-9/_.\-]+"], never: &[r"[\s\S]*\.\.[\s\S]*"] },
    Restated { java: r"^(?![0-9_])\w+$|^_\w*[a-zA-Z0-9]\w*$", must: &[r"[a-zA-Z]\w*|_\w*[a-zA-Z0-9]\w*"], never: &[] },
    // ISO 8601: the back references say that hyphens and colons stand everywhere or nowhere.
    Restated {
        java: r"^([\-]?\d{4}(?!\d{2}\b))((-?)((0[1-9]|1[0-2])(\3([12]\d|0[1-9]|3[01]))?|W([0-4]\d|5[0-2])(-?[1-7])?|(00[1-9]|0[1-9]\d|[12]\d{2}|3([0-5]\d|6[1-6])))([T\s]((([01]\d|2[0-3])((:?)[0-5]\d)?|24\:?00)([\.,]\d(?!:))?)?(\17[0-5]\d([\.,]\d)?)?([zZ]|([\-])([01]\d|2[0-3]):?([0-5]\d)?)?)?)?$",
        must: &[
            r"-?\d{4}((-(0[1-9]|1[0-2])(-([12]\d|0[1-9]|3[01]))?|(0[1-9]|1[0-2])([12]\d|0[1-9]|3[01])|-?W([0-4]\d|5[0-2])(-?[1-7])?|-?(00[1-9]|0[1-9]\d|[12]\d{2}|3([0-5]\d|6[1-6])))([T\s]((([01]\d|2[0-3])(:[0-5]\d(:[0-5]\d)?|[0-5]\d([0-5]\d)?)?|24:?00)([\.,]\d)?)?([zZ]|-([01]\d|2[0-3]):?([0-5]\d)?)?)?)?",
        ],
        never: &[],
    },
    Restated {
        java: "^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$",
        must: &["[a-z0-9][a-z0-9-]{1,61}[a-z0-9]"],
        never: &[r"[\s\S]*--[\s\S]*"],
    },
    Restated {
        java: r"^(?=.{20,2048}$)arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[a-zA-Z0-9/_+=.@-]+",
        must: &[r"arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[a-zA-Z0-9/_+=.@-]+", r"[\s\S]{20,2048}"],
        never: &[],
    },
    Restated { java: r"(?![\-_+.])[a-z0-9][a-z0-9\-_\.]*", must: &[r"[a-z0-9][a-z0-9\-_\.]*"], never: &[] },
    Restated { java: r"^(?!(.*[.\/\\]|aws:)).*$", must: &[".*"], never: &[r".*[.\/\\].*", "aws:.*"] },
    Restated {
        java: r"(arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:[a-z\-]*/)?([a-zA-Z0-9]([a-zA-Z0-9\-]){0,62})(?<!-)",
        must: &[r"(arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:[a-z\-]*/)?[a-zA-Z0-9]([a-zA-Z0-9\-]{0,61}[a-zA-Z0-9])?"],
        never: &[],
    },
    Restated { java: r"(?!\s*$).+", must: &[".+"], never: &[r"\s*"] },
    Restated { java: r"^(?!\s*$).+", must: &[".+"], never: &[r"\s*"] },
    Restated {
        java: r"(arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:[a-z\-]*\/)?([a-zA-Z0-9]([a-zA-Z0-9-]){0,62})(?<!-)",
        must: &[r"(arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:[a-z\-]*/)?[a-zA-Z0-9]([a-zA-Z0-9\-]{0,61}[a-zA-Z0-9])?"],
        never: &[],
    },
    Restated {
        java: r"(?=.{1,256}$)arn:aws[a-z\-]*:cloudformation:[a-z0-9\-]*:[0-9]{12}:stack/[a-zA-Z][a-zA-Z0-9-]{0,127}/.*",
        must: &[r"arn:aws[a-z\-]*:cloudformation:[a-z0-9\-]*:[0-9]{12}:stack/[a-zA-Z][a-zA-Z0-9-]{0,127}/.*", r"[\s\S]{1,256}"],
        never: &[],
    },
    Restated { java: "(?=.{1,32}$)[a-zA-Z0-9](-*[a-zA-Z0-9])*", must: &["[a-zA-Z0-9](-*[a-zA-Z0-9])*", r"[\s\S]{1,32}"], never: &[] },
    Restated { java: "(?=.{1,1024}$)(https)://([^/]+)/(.+)", must: &["https://[^/]+/.+", r"[\s\S]{1,1024}"], never: &[] },
    Restated { java: "(?!^[.-])^([a-zA-Z0-9-_.]+)", must: &["[a-zA-Z0-9-_.]+"], never: &[r"[.-][\s\S]*"] },
    Restated {
        java: r"(arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:[a-z\-]*\/)?([a-zA-Z0-9]([a-zA-Z0-9-]){0,62})(?<!-)(\/[0-9]{1,9})?",
        must: &[r"(arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:[a-z\-]*/)?[a-zA-Z0-9]([a-zA-Z0-9\-]{0,61}[a-zA-Z0-9])?(/[0-9]{1,9})?"],
        never: &[],
    },
    Restated { java: "(?!^[0-9]+$)([a-zA-Z0-9-_]+)", must: &["[a-zA-Z0-9-_]+"], never: &["[0-9]+"] },
    Restated { java: r"(^(?!(system\x2e)))(^[_a-zA-Z0-9])([^$]*)", must: &["[_a-zA-Z0-9][^$]*"], never: &[r"system\.[\s\S]*"] },
    Restated { java: r"((?!^\d+$)^[0-9a-zA-Z-_]+$)", must: &["[0-9a-zA-Z-_]+"], never: &["[0-9]+"] },
    Restated { java: r"[0-9A-Za-z\.\-_]*(?<!\.)", must: &[r"[0-9A-Za-z\.\-_]*"], never: &[r"[\s\S]*\."] },
    Restated { java: "^(?!aws:)[a-zA-Z+-=._:/]+$", must: &["[a-zA-Z+-=._:/]+"], never: &[r"aws:[\s\S]*"] },
    Restated { java: "(?!aws:)[a-zA-Z+-=._:/]+", must: &["[a-zA-Z+-=._:/]+"], never: &[r"aws:[\s\S]*"] },
    Restated {
        java: r"(-?)P(?=\d|T\d)(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)([DW]))?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?",
        must: &[r"-?P(\d+Y)?(\d+M)?(\d+[DW])?(T(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?", r"-?PT?\d[\s\S]*"],
        never: &[],
    },
    Restated {
        java: r"(\*\.)?(((?!-)[A-Za-z0-9-]{0,62}[A-Za-z0-9])\.)+((?!-)[A-Za-z0-9-]{1,62}[A-Za-z0-9])",
        must: &[r"(\*\.)?([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9][A-Za-z0-9-]{0,61}[A-Za-z0-9]"],
        never: &[],
    },
    Restated {
        java: r"(?!\s*$)[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDBFF-\uDC00\uDFFF\t\r\n]*",
        must: &[r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t\r\n]*"],
        never: &[r"\s*"],
    },
    Restated {
        java: r"(?!\s*$)[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDBFF-\uDC00\uDFFF\t]*",
        must: &[r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*"],
        never: &[r"\s*"],
    },
    Restated {
        java: r".*(?!^(\d+\.)+\d+$)(^(([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])\.)*([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])$).*",
        must: &[r"(([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])\.)*([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])"],
        never: &[r"(\d+\.)+\d+"],
    },
    Restated {
        java: r"^(?!.*\..*\.)[a-zA-Z0-9][a-zA-Z0-9-_\.]*$",
        must: &[r"[a-zA-Z0-9][a-zA-Z0-9-_\.]*"],
        never: &[r"[\s\S]*\.[\s\S]*\.[\s\S]*"],
    },
    Restated { java: "^(?!s3:|https:)[a-zA-Z0-9!_.*'()/-]+$", must: &["[a-zA-Z0-9!_.*'()/-]+"], never: &[r"(s3|https):[\s\S]*"] },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        compile(pattern).expect(pattern).matches(text)
    }

    #[test]
    fn the_whole_string_must_match() {
        assert!(matches("[a-z]+", "abc"));
        assert!(!matches("[a-z]+", "abc!"));
        assert!(matches("^[a-zA-Z0-9:/_-]+$", "alias/x"));
        assert!(matches("[\\w+=,.@-]{1,4}", "a@b-"));
        assert!(!matches("[\\w+=,.@-]{1,4}", "a@b-c"));
        assert!(!matches("[\\w]+", "é"), "classes are ASCII as in Java");
        assert!(!matches(".*", "a\r\nb"), "`.` stops at line ends");
        assert!(matches("(?s).*", "a\r\nb"), "unless the pattern says otherwise");
    }

    #[test]
    fn surrogate_pairs_are_one_character() {
        let name = r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*";
        assert!(matches(name, "a\u{1F600}"));
        assert!(!matches(name, "a\nb"));
    }

    #[test]
    fn look_around_is_restated() {
        let alias = "^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$";
        assert!(matches(alias, "my-account"));
        assert!(!matches(alias, "my--account"));
        assert!(!matches("(?!^[0-9]+$)([a-zA-Z0-9-_]+)", "123"));
        assert!(matches("(?!^[0-9]+$)([a-zA-Z0-9-_]+)", "123a"));
        assert!(!matches("^(?!aws:)[a-zA-Z+-=._:/]+$", "aws:x"));
        assert!(compile("(?=a)b").is_none());
    }

    #[test]
    fn wide_repetitions_are_counted() {
        let pattern = compile(r"[\s\S]{0,10240}").unwrap();
        assert!(pattern.matches(&"é".repeat(10_240)));
        assert!(!pattern.matches(&"é".repeat(10_241)));
    }
}
