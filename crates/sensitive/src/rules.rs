//! The detectors, as a table.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use regex_automata::meta::Regex;

use crate::kind::Kind;
use crate::{address, checksum, secret};

/// What a check says of a candidate: how much shorter it ends (bytes taken off its end), the confidence, and whether a rule of the type itself
/// (checksum, range, grammar) holds.
pub(crate) struct Verdict {
    pub(crate) cut_bytes: usize,
    pub(crate) confidence: f32,
    pub(crate) validated: bool,
}

pub(crate) fn verdict(confidence: f32, validated: bool) -> Option<Verdict> {
    Some(Verdict { cut_bytes: 0, confidence, validated })
}

/// Whether a type's words must be near.
#[derive(Clone, Copy)]
pub(crate) enum Context {
    /// Not asked.
    None,
    /// Without one of the words there is no finding.
    Required(&'static [&'static str]),
    /// One of the words makes the finding surer.
    Raises(&'static [&'static str]),
}

/// What a text must contain for a rule to be worth running.
#[derive(Clone, Copy)]
pub(crate) enum Needs {
    Nothing,
    Digit,
    At,
    Colon,
    Dash,
    Underscore,
    /// One of some words, in ASCII lower case.
    Any(&'static [&'static str]),
}

pub(crate) struct Rule {
    pub(crate) kind: Kind,
    pub(crate) needs: Needs,
    pub(crate) context: Context,
    pub(crate) check: fn(&str) -> Option<Verdict>,
    pub(crate) regex: Regex,
}

/// The compiled table. Every pattern is a constant; a test asserts that all of them compile.
pub(crate) static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let compile = |(kind, needs, context, pattern, check): &Row| {
        let regex = Regex::new(pattern).ok()?;
        Some(Rule { kind: *kind, needs: *needs, context: *context, check: *check, regex })
    };
    all_rows().iter().filter_map(compile).collect()
});

/// The words without which a rule finds nothing: those that it names and those that must be near its findings.
fn necessary_words(rule: &Rule) -> impl Iterator<Item = &'static [&'static str]> {
    let named = match rule.needs {
        Needs::Any(words) => Some(words),
        _ => None,
    };
    let near = match rule.context {
        Context::Required(words) => Some(words),
        Context::None | Context::Raises(_) => None,
    };
    [named, near].into_iter().flatten()
}

/// Which rules a text has the words for, found in one pass over it.
pub(crate) struct Words {
    automaton: Option<AhoCorasick>,
    /// The lists that a word is on, each with its rule.
    lists: Vec<Vec<(usize, usize)>>,
}

/// The words of all rules.
pub(crate) static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let mut of_word = BTreeMap::<&str, Vec<(usize, usize)>>::new();
    for (place, rule) in RULES.iter().enumerate() {
        for (list, words) in necessary_words(rule).enumerate() {
            for word in words {
                of_word.entry(*word).or_default().push((place, list));
            }
        }
    }
    Words { automaton: AhoCorasick::new(of_word.keys()).ok(), lists: of_word.into_values().collect() }
});

impl Words {
    /// For each rule, whether a text in ASCII lower case has one word of each of its lists.
    pub(crate) fn present(&self, lower: &str) -> Vec<bool> {
        let Some(automaton) = &self.automaton else { return vec![true; RULES.len()] };
        let mut missing: Vec<[bool; 2]> = RULES.iter().map(|rule| [0, 1].map(|list| necessary_words(rule).nth(list).is_some())).collect();
        for found in automaton.find_overlapping_iter(lower) {
            for (place, list) in self.lists.get(found.pattern().as_usize()).into_iter().flatten() {
                if let Some(missing) = missing.get_mut(*place).and_then(|lists| lists.get_mut(*list)) {
                    *missing = false;
                }
            }
        }
        missing.into_iter().map(|lists| lists == [false; 2]).collect()
    }
}

fn all_rows() -> Vec<Row> {
    [rows(), address::rows(), secret::rows()].concat()
}

pub(crate) type Row = (Kind, Needs, Context, String, fn(&str) -> Option<Verdict>);

pub(crate) fn sure(_: &str) -> Option<Verdict> {
    verdict(0.9, true)
}

fn likely(_: &str) -> Option<Verdict> {
    verdict(0.75, false)
}

fn card(text: &str) -> Option<Verdict> {
    checksum::payment_card(&checksum::digits(text)).then_some(())?;
    verdict(0.95, true)
}

fn iban(text: &str) -> Option<Verdict> {
    let country = text.get(..2)?.to_ascii_uppercase();
    let length = checksum::iban_length(&country)?;
    let mut compact = String::with_capacity(length);
    let mut end = text.len();
    for (at, character) in text.char_indices() {
        if compact.len() == length {
            end = at;
            break;
        }
        if character.is_ascii_alphanumeric() {
            compact.push(character.to_ascii_uppercase());
        }
    }
    let is_cut_word = text.get(end..).is_some_and(|rest| rest.starts_with(|next: char| next.is_ascii_alphanumeric()));
    if compact.len() != length || is_cut_word || !checksum::iban(&compact) {
        return None;
    }
    Some(Verdict { cut_bytes: text.len() - end, confidence: 0.98, validated: true })
}

fn routing(text: &str) -> Option<Verdict> {
    checksum::aba_routing(&checksum::digits(text)).then_some(())?;
    verdict(0.9, true)
}

fn social_security(text: &str) -> Option<Verdict> {
    checksum::social_security(&checksum::digits(text)).then_some(())?;
    verdict(0.85, true)
}

fn individual_taxpayer(text: &str) -> Option<Verdict> {
    checksum::individual_taxpayer(&checksum::digits(text)).then_some(())?;
    verdict(0.85, true)
}

fn social_insurance(text: &str) -> Option<Verdict> {
    let digits = checksum::digits(text);
    (checksum::luhn(&digits) && !matches!(digits.first(), Some(0 | 8))).then_some(())?;
    verdict(0.9, true)
}

fn health_service(text: &str) -> Option<Verdict> {
    checksum::nhs(&checksum::digits(text)).then_some(())?;
    verdict(0.9, true)
}

fn taxpayer_reference(text: &str) -> Option<Verdict> {
    let validated = checksum::unique_taxpayer_reference(&checksum::digits(text));
    verdict(if validated { 0.9 } else { 0.6 }, validated)
}

fn national_insurance(text: &str) -> Option<Verdict> {
    let prefix = text.get(..2)?.to_ascii_uppercase();
    (!matches!(prefix.as_str(), "BG" | "GB" | "NK" | "KN" | "TN" | "NT" | "ZZ")).then_some(())?;
    verdict(0.85, true)
}

fn vehicle(text: &str) -> Option<Verdict> {
    let has_both = text.bytes().any(|byte| byte.is_ascii_digit()) && text.bytes().any(|byte| byte.is_ascii_uppercase());
    (has_both && checksum::vehicle_identification(text)).then_some(())?;
    verdict(0.9, true)
}

fn ipv4(text: &str) -> Option<Verdict> {
    text.parse::<Ipv4Addr>().ok()?;
    verdict(0.9, true)
}

fn ipv6(text: &str) -> Option<Verdict> {
    let address: Ipv6Addr = text.parse().ok()?;
    // `a::b` is a path in many programming languages.
    let is_path = text.len() < 6 || !text.bytes().any(|byte| byte.is_ascii_digit());
    (!address.is_unspecified() && !is_path && text.bytes().filter(|byte| *byte == b':').count() >= 2).then_some(())?;
    verdict(0.9, true)
}

/// Longest address that is taken in whole, bytes.
const URL_BYTES_MAX: usize = 2_000;

fn url(text: &str) -> Option<Verdict> {
    let kept = text.get(..text.floor_char_boundary(URL_BYTES_MAX))?.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '\'', '*']);
    Some(Verdict { cut_bytes: text.len() - kept.len(), confidence: 0.9, validated: true })
}

/// 40 characters of base64 that look random: all three kinds of characters, not hexadecimal, many different ones.
fn secret_key(text: &str) -> Option<Verdict> {
    let count = |is: fn(&u8) -> bool| text.as_bytes().iter().filter(|byte| is(byte)).count();
    let is_mixed = count(u8::is_ascii_digit) >= 1 && count(u8::is_ascii_lowercase) >= 5 && count(u8::is_ascii_uppercase) >= 5;
    let mut distinct: Vec<u8> = text.bytes().collect();
    distinct.sort_unstable();
    distinct.dedup();
    (is_mixed && distinct.len() >= 18 && count(u8::is_ascii_hexdigit) < 36).then_some(())?;
    verdict(0.7, false)
}

fn phone(text: &str) -> Option<Verdict> {
    let digits = checksum::digits(text);
    let is_date = digits.len() == 8 && matches!(digits.get(..2), Some([1, 9] | [2, 0])) && text.contains(['-', '.']);
    ((7..=15).contains(&digits.len()) && !is_date && digits.iter().any(|digit| Some(digit) != digits.first())).then_some(())?;
    verdict(0.75, text.starts_with('+'))
}

/// With the prefix 00 of calls abroad: long enough that it is no group of another number.
fn abroad(text: &str) -> Option<Verdict> {
    (checksum::digits(text).len() >= 11).then_some(())?;
    verdict(0.7, false)
}

fn nanp(text: &str) -> Option<Verdict> {
    let digits = checksum::digits(text);
    (10..=16).contains(&digits.len()).then_some(())?;
    verdict(0.85, true)
}

fn age(text: &str) -> Option<Verdict> {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    let years: u32 = digits.parse().ok()?;
    (years <= 120).then_some(())?;
    verdict(0.8, false)
}

fn username(text: &str) -> Option<Verdict> {
    let kept = text.trim_end_matches(['.', '-']);
    (!matches!(kept, "is" | "and" | "or" | "the" | "not" | "required")).then_some(())?;
    Some(Verdict { cut_bytes: text.len() - kept.len(), confidence: 0.7, validated: false })
}

fn with_digits(text: &str, least: usize) -> bool {
    text.bytes().filter(u8::is_ascii_digit).count() >= least
}

fn license_plate(text: &str) -> Option<Verdict> {
    (with_digits(text, 1) && text.bytes().any(|byte| byte.is_ascii_uppercase())).then_some(())?;
    verdict(0.65, false)
}

fn driver_id(text: &str) -> Option<Verdict> {
    with_digits(text, 4).then_some(())?;
    verdict(0.65, false)
}

fn swift(text: &str) -> Option<Verdict> {
    const COUNTRIES: &str = "AD AE AF AL AM AO AR AT AU AZ BA BB BD BE BG BH BM BN BO BR BS BW BY CA CH CI CL CM CN CO CR CU CY CZ DE DK DO DZ EC EE \
        EG ES ET FI FR GB GE GH GI GR GT HK HN HR HU ID IE IL IN IQ IR IS IT JM JO JP KE KH KR KW KY KZ LA LB LI LK LT LU LV LY MA MC MD ME MK MM MN \
        MO MT MU MV MX MY MZ NA NG NI NL NO NP NZ OM PA PE PH PK PL PR PS PT PY QA RO RS RU SA SE SG SI SK SN SV SY TH TN TR TT TW TZ UA UG US UY UZ \
        VE VN XK YE ZA ZM ZW";
    let country = text.get(4..6)?;
    COUNTRIES.split_whitespace().any(|known| known == country).then_some(())?;
    verdict(0.85, true)
}

#[rustfmt::skip]
fn rows() -> Vec<Row> {
    use Context::{None, Raises, Required};
    use Needs::{Any, At, Colon, Digit, Nothing};
    const CVV: &[&str] = &["cvv", "cvc", "cvv2", "cvc2", "csc", "security code", "card verification"];
    const EXPIRY: &[&str] = &["exp", "expiry", "expires", "expiration", "valid thru", "valid until", "good thru"];
    const PIN: &[&str] = &["pin", "pin code", "pin number", "atm"];
    const ACCOUNT: &[&str] = &["account number", "account no", "acct", "account #", "bank account", "checking account", "savings account", "account"];
    const PLATE: &[&str] = &["license plate", "licence plate", "plate number", "number plate", "registration plate", "plates"];
    const DRIVER: &[&str] = &["driver license", "drivers license", "driver's license", "driver’s license", "driving licence", "driving license", "license number", "driver id", "dl number", "licence number"];
    const PHONE: &[&str] = &["phone", "call", "tel", "telephone", "mobile", "cell", "fax", "contact", "phone number", "my number", "your number", "his number", "her number", "whatsapp", "sms", "messages to", "answering", "text me", "dial", "ring", "reach", "hotline", "handy", "telefon", "téléphone", "teléfono", "móvil", "telefono", "cellulare"];
    let text = str::to_owned;
    vec![
        (Kind::Email, At, None, text(r"(?-u:\b)([A-Za-z0-9][A-Za-z0-9._%+'-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24})(?-u:\b)"), sure),
        (Kind::Url, Colon, None, text(r#"(?i)(?-u:\b)((?:https?|ftps?|wss?|s3)://[^\s<>"{}|\\^`]+)"#), url),
        (Kind::Url, Nothing, None, text(r#"(?i)(?-u:\b)(www\.[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,6}(?:/[^\s<>"{}|\\^`]*)?)"#), url),
        (Kind::IpAddress, Digit, None, text(r"(?:^|[^0-9.A-Za-z])((?:\d{1,3}\.){3}\d{1,3})(?:$|[^0-9.A-Za-z]|\.(?:$|\D))"), ipv4),
        (Kind::IpAddress, Colon, None, text(r"(?:^|[^0-9A-Za-z:.])([0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3})?)(?:$|[^0-9A-Za-z:])"), ipv6),
        (Kind::MacAddress, Digit, None, text(r"(?-u:\b)([0-9A-Fa-f]{2}(?:(?::[0-9A-Fa-f]{2}){5}|(?:-[0-9A-Fa-f]{2}){5})|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4})(?-u:\b)"), sure),
        (Kind::AwsAccessKey, Nothing, None, text(r"(?-u:\b)((?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16})(?-u:\b)"), sure),
        (Kind::AwsSecretKey, Digit, Raises(&["secret", "aws", "aws_secret_access_key", "secretaccesskey", "secret key", "key"]), text(r"(?:^|[^A-Za-z0-9/+=])([A-Za-z0-9/+]{40})(?:$|[^A-Za-z0-9/+=])"), secret_key),
        (Kind::CardNumber, Digit, None, text(r"(?:^|[^+\w])(\d(?:[ -]?\d){11,18})(?-u:\b)"), card),
        (Kind::CardCvv, Digit, Required(CVV), text(r"(?-u:\b)(\d{3,4})(?-u:\b)"), likely),
        (Kind::CardExpiry, Digit, Required(EXPIRY), text(r"(?-u:\b)((?:0[1-9]|1[0-2])\s?[/-]\s?(?:20)?[1-4]\d)(?-u:\b)"), likely),
        (Kind::Pin, Digit, Required(PIN), text(r"(?-u:\b)(\d{4,8})(?-u:\b)"), likely),
        (Kind::Iban, Digit, None, text(r"(?-u:\b)([A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,34})"), iban),
        (Kind::SwiftCode, Nothing, Required(&["swift", "bic", "swift code"]), text(r"(?-u:\b)([A-Z]{4}[A-Z]{2}[A-Z0-9]{2}(?:[A-Z0-9]{3})?)(?-u:\b)"), swift),
        (Kind::UsBankRoutingNumber, Digit, Required(&["routing", "aba", "rtn", "transit", "routing number"]), text(r"(?-u:\b)(\d{9}|\d{4}-\d{4}-\d)(?-u:\b)"), routing),
        (Kind::UsBankAccountNumber, Digit, Required(ACCOUNT), text(r"(?-u:\b)(\d{6,17})(?-u:\b)"), |_| verdict(0.6, false)),
        (Kind::UsSocialSecurityNumber, Digit, Raises(&["ssn", "social security"]), text(r"(?-u:\b)(\d{3}-\d{2}-\d{4}|\d{3} \d{2} \d{4})(?-u:\b)"), social_security),
        (Kind::UsSocialSecurityNumber, Digit, Required(&["ssn", "social security", "social security number"]), text(r"(?-u:\b)(\d{9})(?-u:\b)"), social_security),
        (Kind::UsIndividualTaxIdentificationNumber, Digit, Raises(&["itin", "taxpayer"]), text(r"(?-u:\b)(9\d{2}[- ]\d{2}[- ]\d{4})(?-u:\b)"), individual_taxpayer),
        (Kind::UsIndividualTaxIdentificationNumber, Digit, Required(&["itin", "taxpayer"]), text(r"(?-u:\b)(9\d{8})(?-u:\b)"), individual_taxpayer),
        (Kind::UsPassportNumber, Digit, Required(&["passport", "passport number"]), text(r"(?-u:\b)([A-Z]\d{8}|\d{9})(?-u:\b)"), likely),
        (Kind::CaSocialInsuranceNumber, Digit, Required(&["sin", "social insurance", "canadian"]), text(r"(?-u:\b)(\d{3}[- ]?\d{3}[- ]?\d{3})(?-u:\b)"), social_insurance),
        (Kind::CaHealthNumber, Digit, Required(&["health card", "ohip", "health number", "health insurance number", "phn", "msp number"]), text(r"(?-u:\b)(\d{4}[- ]?\d{3}[- ]?\d{3}(?:[- ]?[A-Z]{2})?)(?-u:\b)"), likely),
        (Kind::UkNationalHealthServiceNumber, Digit, Required(&["nhs", "national health", "nhs number"]), text(r"(?-u:\b)(\d{3}[- ]?\d{3}[- ]?\d{4})(?-u:\b)"), health_service),
        (Kind::UkNationalInsuranceNumber, Digit, None, text(r"(?-u:\b)([A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D])(?-u:\b)"), national_insurance),
        (Kind::UkUniqueTaxpayerReferenceNumber, Digit, Required(&["utr", "unique taxpayer", "tax reference", "self assessment"]), text(r"(?-u:\b)(\d{5} ?\d{5})(?-u:\b)"), taxpayer_reference),
        (Kind::VehicleIdentificationNumber, Digit, None, text(r"(?-u:\b)([A-HJ-NPR-Z0-9]{17})(?-u:\b)"), vehicle),
        (Kind::VehicleIdentificationNumber, Digit, Required(&["vin", "vehicle identification", "chassis"]), text(r"(?-u:\b)([A-HJ-NPR-Z0-9]{17})(?-u:\b)"), likely),
        (Kind::Phone, Digit, None, text(r"(?:^|[^\w.+/-])((?:\+?1[ .-]?)?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[.-])\d{3}[ .-]\d{4}(?: ?(?:x|ext\.?) ?\d{1,6})?)(?-u:\b)"), nanp),
        (Kind::Phone, Digit, None, text(r"(?:^|[^\w.+-])(\+[1-9]\d{0,2}(?:[ .()/-]{0,2}\d{1,5}){2,6}(?: ?(?:x|ext\.?) ?\d{1,6})?)(?-u:\b)"), phone),
        (Kind::Phone, Digit, None, text(r"(?:^|[^\w.+-])(00[1-9]\d{0,2}[ .()/-]{1,2}\d{1,5}(?:[ .()/-]{0,2}\d{1,5}){2,5}(?: ?(?:x|ext\.?) ?\d{1,6})?)(?-u:\b)"), abroad),
        (Kind::Phone, Any(&["office", "fax", "mobile", "cell", "direct"]), None, text(r"(?:^|[^\w.+-])(\(?\d{1,5}\)?(?:[ .-]{0,2}\(?\d{2,5}\)?){1,5})[ -]{1,2}(?i:office|fax|mobile|cell|direct)(?-u:\b)"), phone),
        (Kind::Phone, Digit, Required(PHONE), text(r"(?:^|[^\w.+-])(\(?\d{1,5}\)?(?:[ .-]{0,2}\(?\d{2,5}\)?){1,5}(?: ?(?:x|ext\.?) ?\d{1,6})?)(?-u:\b)"), phone),
        (Kind::Username, Nothing, None, text(r#"(?i)(?-u:\b)(?:user\s?name|user[_ ]?id|login(?: name)?|screen name|handle)["']?(?:\s{1,3}(?:is|was)(?-u:\b)\s{0,3}:?|\s{0,3}[:=])\s{0,3}["'`@]{0,2}([A-Za-z0-9][\w.-]{2,31})"#), username),
        (Kind::Age, Digit, None, text(r"(?i)(?-u:\b)(\d{1,3}(?:[ -](?:years?|yrs?)|[ -]?y/?o))(?:[ -]olds?|(?-u:\b))"), |found| if found.contains('y') || found.contains('Y') { age(found) } else { Option::None }),
        (Kind::Age, Digit, None, text(r"(?i)(?-u:\b)(?:aged|age is|age:|age of|my age|turned|turning|age)\s{1,2}(\d{1,3})(?-u:\b)"), age),
        (Kind::LicensePlate, Digit, Required(PLATE), text(r"(?-u:\b)([A-Z0-9]{1,4}[ -]?[A-Z0-9]{1,4}(?:[ -]?[A-Z0-9]{1,4})?)(?-u:\b)"), license_plate),
        (Kind::DriverId, Digit, Required(DRIVER), text(r"(?-u:\b)([A-Z0-9][A-Z0-9-]{4,17})(?-u:\b)"), driver_id),
    ]
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_pattern_compiles() {
        assert_eq!(super::RULES.len(), super::all_rows().len());
        for rule in super::RULES.iter() {
            assert_eq!(rule.regex.captures_len(), 2, "one group marks the finding of {:?}", rule.kind);
        }
    }
}
