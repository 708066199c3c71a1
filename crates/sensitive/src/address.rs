//! Postal addresses by the forms of their countries.

use crate::kind::Kind;
use crate::rules::{Context, Needs, Row, Verdict, verdict};

const WORD: &str = r"[A-ZÀ-ɏͰ-ԯḀ-ỿ][A-Za-zÀ-ɏͰ-ԯḀ-ỿ'’.-]*";
/// Street words behind the name, English.
const BEHIND: &str = "Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Way|Place|Pl|Terrace|Square|Sq|Highway|Hwy|Parkway|Pkwy|Circle|\
    Cir|Trail|Trl|Close|Crescent|Cres|Gardens|Grove|Row|Mews|Pass|Path|Loop|Run|Hill|Green|Walk|Alley|Plaza|Point|Ridge|View|Park|Quay|Parade|Esplanade|\
    Broadway|Turnpike|Pike|Route|Crossing|Bypass|Extension|Heights|Meadow|Meadows|Rise|Vale|Wharf|Yard";
/// Street words before the name, in other languages, lower case.
const BEFORE: &str = r"rue|avenue|av\.|avda\.?|avenida|boulevard|bd\.?|boulevard|bulevardul|place|chemin|chaussée|quai|allée|impasse|cours|route|sentier|via|viale|vicolo|corso|piazza|\
    piazzale|contrada|largo|strada|borgo|calle|c/|c\.|calleja|callejón|camino|carrera|carretera|cuesta|glorieta|paseo|pasaje|plaza|ronda|rambla|acceso|vial|alameda|cañada|rotonda|\
    urbanización|pasadizo|rua|travessa|praça|praca|alameda|estrada|rodovia|colonia|ul\.|ulica|al\.|aleja|os\.|osiedle|pl\.|plac|nám\.|náměstí|šos\.|str\.|strada|calea|aleea|jalan|jl\.|ulitsa";
/// Street words at the end of a name, in other languages.
const GLUED: &str = "straße|strasse|str\\.|weg|platz|gasse|allee|damm|ufer|steig|stieg|laan|straat|plein|kade|dijk|singel|gracht|dreef|steeg|gatan|gata|gränd|vägen|\
    väg|stigen|backen|torget|gade|vej|vænget|stræde|allé|parken|veien|vegen|vei|veg|gaten|katu|tie|kuja|polku|raitti|vegur|stígur|braut|gerði|hlíð|utca|körút";
const UNIT: &str =
    r"(?:,?[ \n]{1,2}(?:Apt|Apartment|Suite|Ste|Unit|Floor|Flat|Fl|Room|Rm|Piso|Puerta|Appartamento|Bis|#)\.?\s?[\w-]{1,8}){0,2}";
/// Places and countries behind a street, by lines or commas.
const PLACES: &str = r"(?:\s?[,\n]\s{0,2}[A-ZÀ-ɏͰ-ԯḀ-ỿ][A-Za-zÀ-ɏͰ-ԯḀ-ỿ'’.-]+(?: [A-ZÀ-ɏͰ-ԯḀ-ỿ][A-Za-zÀ-ɏͰ-ԯḀ-ỿ'’.-]+){0,3}){0,3}";
const POST_CODE: &str = r"(?:\d{5}(?:-\d{3,4})?|\d{4}(?: ?[A-Z]{2})?|\d{3} \d{2}|\d{2}-\d{3}|[A-Z]\d[A-Z] ?\d[A-Z]\d|[A-Z]{1,2}\d[A-Z\d]? ?\d[ABD-HJLNP-UW-Z]{2})";

/// The finding without the stop of the sentence. An address is surer than the name that a street may have.
fn with_confidence(text: &str, confidence: f32) -> Option<Verdict> {
    let cut_bytes = text.len() - text.trim_end_matches(['.', ',', ' ', '\n']).len();
    Some(Verdict { cut_bytes, confidence, validated: false })
}

fn fair(text: &str) -> Option<Verdict> {
    with_confidence(text, 0.86)
}

fn good(text: &str) -> Option<Verdict> {
    with_confidence(text, 0.9)
}

/// "Spring 2008" is no house.
fn not_a_year(text: &str) -> Option<Verdict> {
    let last = text.rsplit(' ').next().and_then(|number| number.parse::<u32>().ok());
    (!last.is_some_and(|year| (1500..2100).contains(&year))).then_some(())?;
    fair(text)
}

fn not_a_date(text: &str) -> Option<Verdict> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    (!MONTHS.iter().any(|month| text.contains(month))).then_some(())?;
    fair(text)
}

/// The forms.
#[rustfmt::skip]
pub(crate) fn rows() -> Vec<Row> {
    use Context::None;
    use Needs::{Any, Digit};
    let text = str::to_owned;
    let behind = BEHIND.replace(char::is_whitespace, "");
    let before = BEFORE.replace("\\\n", "").replace(char::is_whitespace, "");
    let glued = GLUED.replace(char::is_whitespace, "");
    // What may follow a street: a unit, places, a state, a code, a country.
    let tail = format!(r"{UNIT}{PLACES}(?:,?\s{{1,2}}[A-Z]{{2,3}})?(?:,?\s{{1,2}}{POST_CODE}(?-u:\b))?(?:\n\s?{WORD}(?: {WORD})?(?: {POST_CODE}(?-u:\b))?)?");
    let name = format!(r"(?:(?:{WORD}|\d{{1,3}}(?:st|nd|rd|th))\s){{1,4}}");
    let small = r"(?:(?:de|del|della|delle|dei|du|des|la|las|los|le|les|da|do|dos|das|di|al|von|van|der|den|the|of|y|e|i)\s|d['’]|l['’])";
    let named = format!(r"(?:{small}{{0,3}}(?:{WORD}|\d{{1,2}})(?:\s{small}{{0,2}}{WORD}){{0,4}})");
    vec![
        // 350 Fifth Avenue, Apt. 12, Springfield, IL 62704
        (Kind::Address, Digit, None, format!(r"(?-u:\b)((?:(?:Unit|Suite|Flat|Level|Apt|Apartment)\.?\s\w{{1,6}},?\s)?\d{{1,6}}[A-Za-z]?\s{name}(?:{behind})(?-u:\b)\.?{tail})"), good),
        // 9056 Daniel Keys Suite 981, Port Curtis, NY 10001: a number, a name, and a unit or a state with its code.
        (Kind::Address, Digit, None, format!(r"(?-u:\b)(\d{{1,6}}\s(?:(?:{WORD}|\d{{1,4}})\s){{1,5}}\s?(?:Apt|Suite|Ste|Unit)\.?\s\d{{1,5}}{tail})"), good),
        (Kind::Address, Digit, None, format!(r"(?-u:\b)(\d{{1,6}}[A-Za-z]?(?:\s{WORD}){{1,4}}{UNIT}(?:,\s|\n)(?:{WORD}\s?){{1,4}},?\s[A-Z]{{2}}\s(?:\d{{5}}(?:-\d{{4}})?|[A-Z]\d[A-Z] ?\d[A-Z]\d)(?-u:\b))"), good),
        // 102/42 Luke Ring, Beltranborough VIC 2920
        (Kind::Address, Digit, None, format!(r"(?-u:\b)((?:(?:Unit|Suite|Flat|Level|Apt|Apartment)\.?\s\w{{1,6}},?\s)?(?:\d{{1,4}}[A-Za-z]?/)?\d{{1,5}}[A-Za-z]?(?:\s{WORD}){{1,4}},?\s(?:{WORD}\s?){{1,4}},?\s(?:NSW|VIC|QLD|SA|WA|TAS|NT|ACT),?\s\d{{4}})(?-u:\b)"), good),
        // Studio 3, Amanda Pines, Jeffreyborough LN2Y 8ZF
        (Kind::Address, Digit, None, format!(r"(?-u:\b)((?:(?:Flat|Studio|Unit|Apartment|Suite)\s\w{{1,6}},?\s)?(?:\d{{1,4}}[A-Za-z]?,?\s)?(?:{WORD},?\s){{2,8}}[A-Z]{{1,2}}\d[A-Z\d]?\s\d[ABD-HJLNP-UW-Z]{{2}})(?-u:\b)"), good),
        // Weimarer Str. 8, 14456 Badal; Pasaje de Darío Vilar 86, 30066 Teruel
        (Kind::Address, Digit, None, format!(r"(?-u:\b)({WORD}(?:\s{small}{{0,2}}{WORD}){{0,5}},?\s\d{{1,5}}(?:/\d{{1,4}})?\s?[A-Za-z]?(?:\s(?:Piso|Puerta|Appartamento|Apt\.?|Bis|Esc\.?)\s?\d{{0,4}}){{0,2}}\s?,\s{POST_CODE}\s{WORD}(?:[ -]{small}?{WORD}){{0,3}})"), good),
        // 78, avenue Olivier, 38366 Vallée
        (Kind::Address, Digit, None, format!(r"(?i)(?-u:\b)(\d{{1,6}}(?: ?(?:bis|ter))?,? (?:{before})(?: [A-Za-zÀ-ɏͰ-ԯḀ-ỿ'’.-]+){{1,5}}(?: \d{{1,4}})?(?:,\s{POST_CODE}\s[A-Za-zÀ-ɏͰ-ԯḀ-ỿ'’-]+(?:[ -][A-Za-zÀ-ɏͰ-ԯḀ-ỿ'’-]+){{0,3}})?)"), fair),
        // Via Roma 41; ul. Północna 73; Rue de Piétrain 371
        (Kind::Address, Digit, None, format!(r"(?:^|[^A-Za-zÀ-ɏͰ-ԯḀ-ỿ\d])((?:\d{{4,6}}\s)?(?-u:\b)(?i:{before})\s{named},?\s(?:n[º°.]\s?)?\d{{1,5}}(?:[A-Za-z]|/\d{{1,4}}|-\d{{1,4}})?(?-u:\b){tail})"), fair),
        // Koskikatu 25; 5551 Tjalling Harkeswei 125
        (Kind::Address, Digit, None, format!(r"(?-u:\b)((?:\d{{1,6}}\s)?(?:{WORD}[ -]){{0,3}}(?:[A-ZÀ-ɏͰ-ԯḀ-ỿ][A-Za-zÀ-ɏͰ-ԯḀ-ỿ-]*(?:{glued})|(?i:straße|strasse|utca|u\.|út|útja|tér|krt\.|rkp\.|vei|veien|vej|väg|katu|tie|weg|platz|laan))\s\d{{1,5}}\.?(?:\s?[a-zA-Z](?-u:\b))?(?:-\d{{1,4}})?(?:,?\s{POST_CODE}\s{WORD}(?:[ -]{WORD}){{0,2}})?{tail})"), not_a_year),
        // 07 Celso Emilio Ferreiro 23, Selwyn Heights, Denmark
        (Kind::Address, Digit, None, format!(r"(?-u:\b)(\d{{1,6}}\s(?:\d{{1,4}}\s)?(?:{WORD}\s){{1,5}}\d{{1,5}}(?:\s?[,\n]\s{{0,2}}{WORD}(?: {WORD}){{0,3}}){{1,3}}(?:,?\s{{1,2}}{POST_CODE}(?-u:\b))?)"), not_a_date),
        // the corner of Via Roma 12 and Alder Street
        (Kind::Address, Any(&["corner of"]), None, text(r"(?-u:\b)((?:[Tt]he\s)?[Cc]orner of\s(?:[A-Za-zÀ-ɏͰ-ԯḀ-ỿ\d][A-Za-zÀ-ɏͰ-ԯḀ-ỿ\d'’.-]*\s){1,6}and\s[A-ZÀ-ɏͰ-ԯḀ-ỿ\d][A-Za-zÀ-ɏͰ-ԯḀ-ỿ\d'’.-]*(?:\s[A-ZÀ-ɏͰ-ԯḀ-ỿ\d][A-Za-zÀ-ɏͰ-ԯḀ-ỿ\d'’.-]*){0,3})"), fair),
        // A line of its own: Suite 842
        (Kind::Address, Digit, None, text(r"(?m)^[^\w\n]{0,8}((?:Apt|Apartment|Suite|Unit)\.?\s\d{1,5})[ \t]*$"), fair),
        // PSC 1560, Box 3449 APO AP 24937
        (Kind::Address, Any(&["apo", "fpo", "dpo"]), None, text(r"(?i)(?-u:\b)((?:(?:psc|unit|cmr)\s\d{1,5},?\sbox\s\d{1,5}|us(?:ns|s|nv|cgc)\s[A-Za-zÀ-ɏͰ-ԯḀ-ỿ]{2,20})[,\s]{1,3}(?:apo|fpo|dpo)\s(?:aa|ae|ap)\s\d{5})"), good),
        (Kind::Address, Any(&["box", "post", "apartado", "casella", "caixa", "skrytka"]), None, text(r"(?i)(?-u:\b)((?:p\.? ?o\.? ?box|postfach|postbus|apartado(?: de correos)?|casella postale|caixa postal|boîte postale|skrytka pocztowa) \d{1,6})(?-u:\b)"), good),
        (Kind::Address, Digit, None, text(r"(?-u:\b)([A-Z]{1,2}\d[A-Z\d]? \d[ABD-HJLNP-UW-Z]{2})(?-u:\b)"), |_| verdict(0.65, false)),
    ]
}
