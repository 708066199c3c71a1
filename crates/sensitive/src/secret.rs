//! Passwords, keys and tokens, all of the type `PASSWORD`.

use crate::kind::Kind;
use crate::rules::{Context, Needs, Row, Verdict, sure, verdict};

/// Longest password, bytes.
const PASSWORD_BYTES_MAX: usize = 128;

/// What stands between a word such as "password" and its value.
const IS: &str = r#"["'’]?\]?(?:\s{1,3}(?:(?:is|was|are|ist|es|est)(?-u:\b)|[èé]\s)\s{0,3}:?|\s{0,3}(?:[:=]{1,2}|=>|:=)>?)\s{0,3}"#;

fn cut_ends(text: &str) -> usize {
    text.len() - text.trim_end_matches(['.', ',', ';', '"', '\'', '`', ')', ']', '}', '>', '!', '?']).len()
}

/// A password is not one of the words that often follow "password".
fn password(text: &str) -> Option<Verdict> {
    const WORDS: &str = "reset required incorrect wrong expired invalid policy protected manager field must should not the a an my your too also always still \
        never being on in at to for and or correct same changed set weak strong forgotten lost compromised stolen needed hidden encrypted hashed stored \
        visible string str none null nil true false undefined optional env getenv secret example changeme xxxx redacted case-sensitive that it this different \
        very something empty blank now no only longer used important working accepted rejected safe secure unsafe known unknown updated";
    let bare = text.trim_matches(|character: char| !character.is_alphanumeric()).to_ascii_lowercase();
    if text.len() > PASSWORD_BYTES_MAX || WORDS.split_whitespace().any(|word| word == bare) || is_reference(text) {
        return None;
    }
    let cut_bytes = cut_ends(text);
    // A closing exclamation mark may belong to the password.
    let cut_bytes = if text.ends_with('!') && bare.bytes().any(|byte| byte.is_ascii_digit()) { 0 } else { cut_bytes };
    (text.len() > cut_bytes + 2).then_some(Verdict { cut_bytes, confidence: 0.8, validated: false })
}

/// A value that is looked up elsewhere: `${PASSWORD}`, `os.environ[..]`, `<password>`, `get_password()`, stars.
fn is_reference(text: &str) -> bool {
    let is_call = (text.contains('(') && text.contains(')')) || text.ends_with(['[', '(']);
    let is_placeholder = text.starts_with(['$', '<', '{', '%', '(', '[', '&']) && !text.bytes().any(|byte| byte.is_ascii_digit());
    let first = text.chars().next().unwrap_or_default();
    is_call || is_placeholder || text.chars().all(|character| character == first) || text.contains("${") || text.contains("{{")
}

/// A value that looks random enough for a key: letters and digits, many different ones, no path, no sentence.
fn key(text: &str) -> Option<Verdict> {
    let cut_bytes = cut_ends(text);
    let kept = text.get(..text.len() - cut_bytes)?;
    let (mut digits, mut letters, mut seen) = (0, 0, [false; 128]);
    for byte in kept.bytes() {
        digits += usize::from(byte.is_ascii_digit());
        letters += usize::from(byte.is_ascii_alphabetic());
        if let Some(place) = seen.get_mut(usize::from(byte)) {
            *place = true;
        }
    }
    let distinct = seen.iter().filter(|seen| **seen).count();
    let is_random = digits >= 2 && letters >= 2 && distinct >= 8 && kept.len() >= 8;
    let is_path = kept.contains("://") || kept.matches('/').count() > 3 || kept.starts_with("arn:");
    (is_random && !is_path && !is_reference(kept)).then_some(Verdict { cut_bytes, confidence: 0.8, validated: false })
}

/// What follows "password to" is one only if it is no word.
fn password_no_word(text: &str) -> Option<Verdict> {
    let is_word = !text.trim_end_matches(['.', '!', '?', ',']).chars().any(|character| !character.is_alphabetic());
    if is_word { None } else { password(text) }
}

/// The credentials of HTTP's basic authentication are base64 of a name, a colon and a password.
fn basic(text: &str) -> Option<Verdict> {
    (text.len() >= 8 && text.bytes().any(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'=')).then_some(())?;
    verdict(0.9, false)
}

/// Something between the words of a PEM frame.
fn framed(text: &str) -> Option<Verdict> {
    let body = text.split("-----").nth(2).unwrap_or_default();
    (body.bytes().filter(u8::is_ascii_alphanumeric).count() >= 40).then_some(())?;
    verdict(0.98, true)
}

/// What stands before passwords, as far as it does not depend on case beyond ASCII.
const PASSWORD_WORDS: &[&str] = &[
    "pass",
    "pwd",
    "pw",
    "kennwort",
    "contrase",
    "mot de passe",
    "senha",
    "parola",
    "wachtwoord",
    "senord",
    "adgangskode",
    "hasło",
    "hasŁo",
    "heslo",
    "jelsz",
    "ifre",
    "пароль",
    "Пароль",
    "ПАРОЛЬ",
];
const KEY_WORDS: &[&str] = &["key", "secret", "token", "credential", "connection"];

/// The detectors.
#[rustfmt::skip]
pub(crate) fn rows() -> Vec<Row> {
    use Context::None;
    use Needs::{Any, Colon, Dash, Nothing, Underscore};
    let text = str::to_owned;
    vec![
        // Frames.
        (Kind::Password, Dash, None, text(r"(-----BEGIN (?:[A-Z0-9]{1,12} ){0,4}PRIVATE KEY(?: BLOCK)?-----(?:\s{0,4}[A-Z][A-Za-z-]{2,20}: [^\n]{0,100})*(?:[A-Za-z0-9+/=\s\\]|[^\n-]{0,40}[A-Za-z0-9+/]{24})*(?:[^\n-]{0,40}-----END (?:[A-Z0-9]{1,12} ){0,4}PRIVATE KEY(?: BLOCK)?-----)?)"), framed),
        (Kind::Password, Dash, None, text(r"(PuTTY-User-Key-File-\d: [^\n]+(?:\n[^\n]+)+)"), sure),
        // Tokens whose makers gave them a form.
        (Kind::Password, Any(&["eyj"]), None, text(r"(?-u:\b)(eyJ[A-Za-z0-9_-]{12,}\.eyJ[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*)?)"), sure),
        (Kind::Password, Underscore, None, text(r"(?-u:\b)((?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,}|(?:(?:sk|rk)_(?:live|test)|pk_live)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/]{24,100}|npm_[A-Za-z0-9]{36}|hf_[A-Za-z0-9]{30,40}|dop_v1_[a-f0-9]{64}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}|pscale_(?:tkn|pw)_[A-Za-z0-9_.-]{20,80}|gsk_[A-Za-z0-9]{30,80}|lin_api_[A-Za-z0-9]{30,50}|figd_[A-Za-z0-9_-]{30,60}|sbp_[a-f0-9]{40}))(?-u:\b)"), sure),
        (Kind::Password, Dash, None, text(r"(?-u:\b)((?:xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-\d-[A-Za-z0-9-]{20,}|gl(?:pat|ptt|dt|rt)-[A-Za-z0-9_-]{20,60}|sk-(?:ant-|proj-|or-|svcacct-)?[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{28}|sq0(?:atp|csp)-[A-Za-z0-9_-]{22,43}|pypi-AgE[A-Za-z0-9_-]{50,}|AGE-SECRET-KEY-1[A-Z0-9]{58}|key-[0-9a-f]{32}|NRAK-[A-Z0-9]{27}))(?-u:\b)"), sure),
        (Kind::Password, Nothing, None, text(r"(?-u:\b)((?:AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,}|SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}|hv[sb]\.[A-Za-z0-9_-]{24,}|dapi[0-9a-f]{32}|AC[0-9a-f]{32}|SK[0-9a-f]{32}|ABSK[A-Za-z0-9+/]{100,180}={0,2}))(?:$|[^A-Za-z0-9_-])"), sure),
        (Kind::Password, Colon, None, text(r"(?-u:\b)(\d{8,10}:AA[A-Za-z0-9_-]{33})(?-u:\b)"), sure),
        (Kind::Password, Any(&["hooks.slack", "webhooks/"]), None, text(r"(https://(?:hooks\.slack\.com/services/T[A-Z0-9]{6,12}/B[A-Z0-9]{6,12}/[A-Za-z0-9]{16,40}|(?:discord|discordapp)\.com/api/webhooks/\d{15,22}/[A-Za-z0-9_-]{50,90}))"), |_| verdict(0.95, true)),
        // Headers, addresses and settings.
        (Kind::Password, Any(&["basic"]), None, text(r#"(?i)(?-u:\b)authorization["']?\s{0,3}[:=,]\s{0,3}["'`]?basic\s{1,3}([A-Za-z0-9+/]{6,}={0,2})"#), basic),
        (Kind::Password, Any(&["authorization", "bearer"]), None, text(r#"(?i)(?-u:\b)(?:authorization["']?\s{0,3}[:=,]\s{0,3}["'`]?(?:bearer|token|apikey|digest|aws4-hmac-sha256)|bearer)\s{1,3}([A-Za-z0-9._~+/=-]{16,})"#), key),
        (Kind::Password, Any(&["cookie:"]), None, text(r"(?i)(?:^|[\s;])(?:set-)?cookie:\s{0,3}(?:[a-z0-9_.-]{1,40}=[^;\s]{0,200};\s?){0,8}(?:[a-z0-9_.-]{0,20}(?:sess|sid|auth|token)[a-z0-9_.-]{0,20})=([A-Za-z0-9%._~+/=-]{8,})"), key),
        (Kind::Password, Any(&["://"]), None, text(r"(?i)(?-u:\b)[a-z][a-z0-9+.-]{1,20}://[^\s:/@]{0,64}:([^\s:/@]{3,})@[a-z0-9\[]"), password),
        (Kind::Password, Any(KEY_WORDS), None, format!(r#"(?i)(?:api[_ -]?key|access[_ -]?key|secret(?:[_ -]?(?:access[_ -]?)?key)?|client[_ -]?secret|(?:auth|access|refresh|session|security|api|bearer|id|csrf)[_ -]?token|token|private[_ -]?key|encryption[_ -]?key|signing[_ -]?key|account[_ -]?key|master[_ -]?key|credentials?|connection[_ -]?string){IS}["'`]{{0,3}}([A-Za-z0-9_.~+/=@:!#%^&*?-]{{8,}})"#), key),
        (Kind::Password, Any(PASSWORD_WORDS), None, format!(r#"(?i)(?:^|[^a-z])(?:pass[ _-]?word|passwd|passw|pwd|pass[ _-]?phrase|passcode|pw|pass|passwort|kennwort|contraseña|mot de passe|senha|parola|wachtwoord|lösenord|adgangskode|hasło|heslo|jelszó|şifre|пароль){IS}["'`]?([^\s"'`,]{{4,}})"#), password),
        (Kind::Password, Any(&["pass", "pwd"]), None, text(r#"(?i)(?-u:\b)(?:pass[ _-]?word|passwd|pwd|pass[ _-]?phrase|passcode)\s(?:to|as|of|\()\s?["'`]?([^\s"'`,)]{6,})"#), password_no_word),
        (Kind::Password, Any(&["pass", "secret"]), None, text(r#"(?i)(?-u:\b)(?:pass[ _-]?word|passwd|passphrase|secret)\s["'`“]([^\s"'`”,]{6,})["'`”]"#), password_no_word),
    ]
}
