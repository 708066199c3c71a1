//! Names of people: by lists of given and family names, and by the words around them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use foldhash::fast::FixedState;

use crate::detector::Finding;
use crate::kind::Kind;

const LIST: &str = include_str!("../data/names.txt");

/// Most words of a name; longer runs of capitals are headings.
const WORDS_MAX: usize = 5;

/// What the lists know of a word. Names that are rarely anything else are sure, those that are also words or places are weak.
#[derive(Clone, Copy, Default)]
struct Known {
    given: Strength,
    family: Strength,
    /// Begins with a capital for other reasons than being a name.
    is_never: bool,
    is_thing: bool,
    is_title: bool,
    is_introduction: bool,
    is_lead: bool,
    is_follower: bool,
    is_particle: bool,
    is_place_begin: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    #[default]
    None,
    Weak,
    Sure,
}

/// What a list says of its words.
type Note = fn(&mut Known);

/// The table never grows, so nobody can slow it down with words of one hash.
static KNOWN: LazyLock<HashMap<&'static str, Known, FixedState>> = LazyLock::new(|| {
    let mut known = HashMap::<&str, Known, FixedState>::default();
    let (mut is_given, mut strength) = (true, Strength::None);
    for line in LIST.lines() {
        if let Some(title) = line.strip_prefix("# ") {
            is_given = title.starts_with("given");
            strength = if title.ends_with("sure") { Strength::Sure } else { Strength::Weak };
            continue;
        }
        for name in line.split(' ') {
            let entry = known.entry(name).or_default();
            if is_given { entry.given = strength } else { entry.family = strength }
        }
    }
    let lists: [(&'static str, Note); 8] = [
        (NOT_NAMES, |word| word.is_never = true),
        (THINGS, |word| word.is_thing = true),
        (TITLES, |word| word.is_title = true),
        (INTRODUCTIONS, |word| word.is_introduction = true),
        (LEADS, |word| word.is_lead = true),
        (FOLLOWS, |word| word.is_follower = true),
        (PARTICLES, |word| word.is_particle = true),
        (PLACE_BEGINS, |word| word.is_place_begin = true),
    ];
    for (list, note) in lists {
        for word in list.split_whitespace() {
            note(known.entry(word).or_default());
        }
    }
    known
});

const NOT_NAMES: &str = "princess prince queen royal duke duchess a about above according account accounts act action add address adventure after again airport all also am american an and \
    animation another any app apple apr april are army as ask at atm attention august avenue back balance bank be because been before below best between \
    bible big bluetooth both box boulevard british business but buy by call can card cards chapter check chinese christian christmas church city click client \
    close club code college comedy company congress contact could country county court create credit currency customer dad data date day days dear debit december \
    department describe did director do doctor does done dont doctor don't drama drive during each earth east easter edit email english enter episode europe european \
    even event every everyone example explain family february federal fee figure final find first for form found free french friday from full \
    general german get give given go god good google government great group had happy has have he head hello help her here hey hi his history \
    holy home hotel house how however i i'm i've i'd i'll id identify if in information inc input instead instructions international internet is island it italian it's \
    its january japanese job july june just kids kind king know lake last later law let let's letter life like list little long look lord made mail main make man many \
    map march master maybe me meeting mexican mobile mom monday money month more morning most mountain mr mrs much museum music must my mystery name national need never new news next no north not note notes \
    nothing november now number october of office official ok okay old on once one online only open or order organization other our out over page \
    park part party password people per person phone pin place plan play please point police post president press problem product program project provide \
    question questions read really regards republic request response result review right river road romance russian said sale saturday say school science sea second section see \
    send senior september server service services set several shall she shop should show side since sincerely sir so society some someone something song south spanish \
    sports star start state states statement station steam step still stop store story street student subject such summary sunday support suspense system take tax team tell \
    text than thank thanks that that's the their them then there there's these they things this those thread three through thursday time title to today \
    tomorrow tonight too top total town transfer translate travel tuesday tv two under union united university until up update us use user using very video \
    view visa visit war was way we we'd we'll we're we've wednesday week welcome well were west what what's when where which while who why wifi will windows \
    wish with within without work world would write year yes yesterday yet you you'd you'll you're you've your youth z";

/// Words after which a run of capitals is an organization, a place or a thing.
const THINGS: &str = "academy agency airlines airport arena association authority avenue award bank bay beach boulevard bridge building bureau castle cathedral center \
    centre church circle city close club co college commission committee company congress corp corporation council county court creek crescent department district \
    drive festival foundation garden gardens gmbh grove group hall health high highway hill hills holdings hospital hotel house inc incorporated industries \
    institute international island islands lake lane library limited llc llp ltd market memorial ministry mountain museum national ocean orchestra organization park parkway party \
    philharmonic place plaza plc press prize products programs province railway republic reserve residence restaurant ridge river road row school sea services sons square stadium \
    state station street studio studios symphony systems technologies technology terrace theater theatre theorem times tower towers trail trust university valley village way \
    works zoo day rica research investments analytics partners capital consulting solutions software media network networks energy logistics pharma insurance \
    lines harbor harbour cove coves mill mills flat flats parks route pass overpass throughway village islands forge keys greens street st. rd. ave. inc. ltd. corp. co.";

const TITLES: &str = "mr mrs ms miss mx dr prof professor sir madam mme mlle herr frau señor señora sra sr dame lady";
/// Before a name even if no list has it.
const INTRODUCTIONS: &str = "named dear regards sincerely signed cheers mr mrs ms miss mx dr prof professor madam mme mlle herr frau señor señora sra monsieur madame signor signora";
/// Before a name of two words even if no list has it.
const LEADS: &str = "by with contact ask asked met told called thank thanks tell from to for and of through between when patient client employee author \
    actor singer writer manager colleague brother sister wife husband mother father son daughter friend neighbour neighbor nurse";
/// After a name of two words even if no list has it.
const FOLLOWS: &str = "said says wrote writes asked asks called calls told tells replied replies lives lived works worked signed paid won wrote moved married born died grew shouted whispered smiled laughed cried";
/// Before a place.
const PLACE_BEGINS: &str =
    "port fort mount lake san santa são new north south east west costa las los el la cape saint st cite old upper lower great little bad";
const PARTICLES: &str = "van von de da del di der den la al bin ben ibn dos das do du le ter ten zu y e af st";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// "Maria".
    Capital,
    /// "J", with or without a point.
    Initial,
    /// "maria".
    Lower,
    /// "42nd".
    Number,
    /// What no name looks like.
    Other,
}

struct Word<'t> {
    range: Range<usize>,
    shape: Shape,
    lower: Cow<'t, str>,
    known: Known,
}

fn is_inner(character: char) -> bool {
    matches!(character, '\'' | '’' | '-')
}

/// The shape of a word by its characters and its neighbours.
fn shape(word: &str, before: Option<char>, after: &str) -> Shape {
    let mut letters = word.chars();
    let Some(first) = letters.next() else { return Shape::Other };
    let mut following = after.chars();
    let (next, behind) = (following.next(), following.next());
    let is_glued = before
        .is_some_and(|character| matches!(character, '@' | '/' | '\\' | '_' | '#' | '$' | '.' | '=' | '&' | '<' | '%' | '+'))
        || next.is_some_and(|character| matches!(character, '@' | '_' | '/' | '\\' | '(' | '=' | '<'))
        || (next == Some('.') && behind.is_some_and(char::is_alphanumeric) && word.chars().count() > 1);
    if first.is_ascii_digit() {
        return Shape::Number;
    }
    if is_glued || word.chars().any(char::is_numeric) {
        return Shape::Other;
    }
    if first.is_lowercase() {
        return Shape::Lower;
    }
    if !first.is_uppercase() {
        return Shape::Other;
    }
    let Some(second) = letters.next() else { return Shape::Initial };
    let is_elided = is_inner(second);
    if !second.is_lowercase() && !is_elided {
        return Shape::Other;
    }
    if is_camel(word) { Shape::Other } else { Shape::Capital }
}

/// Whether there is a capital after a small letter, as in the names of programs; "McDonald" and "DeShawn" are names.
fn is_camel(word: &str) -> bool {
    const PREFIXES: [&str; 9] = ["Mc", "Mac", "De", "La", "Le", "Di", "Du", "Fitz", "Van"];
    let rest = PREFIXES.iter().filter_map(|prefix| word.strip_prefix(prefix)).find(|rest| rest.starts_with(char::is_uppercase));
    let mut is_after_small = false;
    rest.unwrap_or(word).chars().any(|character| {
        let is_inside = is_after_small && character.is_uppercase();
        is_after_small = character.is_lowercase();
        is_inside
    })
}

fn known(lower: &str) -> Known {
    let whole = KNOWN.get(lower).copied();
    // "Anna-Maria" and "Anna-Mariaxyz": the first part decides.
    let first = || lower.split_once('-').and_then(|(first, _)| KNOWN.get(first)).copied();
    whole.or_else(first).unwrap_or_default()
}

fn words<'t>(text: &'t str, lower: &'t str) -> Vec<Word<'t>> {
    let mut out = Vec::with_capacity(text.len() / 5);
    let mut characters = text.char_indices().peekable();
    let mut before = None;
    while let Some((start, character)) = characters.next() {
        if !character.is_alphanumeric() {
            before = Some(character);
            continue;
        }
        let mut end = start + character.len_utf8();
        while let Some((at, next)) = characters.peek().copied() {
            let is_joint =
                is_inner(next) && text.get(at + next.len_utf8()..).and_then(|rest| rest.chars().next()).is_some_and(char::is_alphabetic);
            if !next.is_alphanumeric() && !is_joint {
                break;
            }
            end = at + next.len_utf8();
            characters.next();
        }
        let mut word = text.get(start..end).unwrap_or_default();
        for possessive in ["'s", "’s"] {
            word = word.strip_suffix(possessive).unwrap_or(word);
        }
        let after = text.get(end..).unwrap_or_default();
        let shape = if word.len() > 40 { Shape::Other } else { shape(word, before, after) };
        let range = start..start + word.len();
        let lower = lower.get(range.clone()).unwrap_or_default();
        let lower: Cow<'t, str> = if lower.is_ascii() || shape == Shape::Other { lower.into() } else { lower.to_lowercase().into() };
        let known = if matches!(shape, Shape::Capital | Shape::Lower) { known(&lower) } else { Known::default() };
        out.push(Word { range, shape, lower, known });
        before = text.get(..end).and_then(|text| text.chars().next_back());
    }
    out
}

/// An ending that few words have but family names.
fn has_family_ending(lower: &str) -> bool {
    const ENDINGS: &[&str] = &[
        "sson", "ssen", "dóttir", "dottir", "ović", "evic", "ovic", "ević", "enko", "owski", "ewski", "inski", "owska", "ewska", "ová",
        "escu", "oğlu", "oglu", "poulos", "opoulou", "akis", "idis", "iadis", "shvili", "adze", "idze", "yan", "sky", "skij", "ski", "ska",
        "czyk", "mann", "sen", "son", "ez", "ova", "eva", "yev", "quist", "qvist", "ström", "inen", "chuk", "ić",
    ];
    lower.chars().count() >= 6 && ENDINGS.iter().any(|ending| lower.ends_with(ending))
}

/// A text in words, and what can be asked of them.
struct Reading<'t> {
    text: &'t str,
    words: Vec<Word<'t>>,
}

impl Reading<'_> {
    fn lower(&self, at: usize) -> &str {
        self.words.get(at).map(|word| &*word.lower).unwrap_or_default()
    }

    fn before(&self, at: usize, back: usize) -> &str {
        at.checked_sub(back).map(|place| self.lower(place)).unwrap_or_default()
    }

    fn shape(&self, at: usize) -> Shape {
        self.words.get(at).map_or(Shape::Other, |word| word.shape)
    }

    fn known(&self, at: usize) -> Known {
        self.words.get(at).map(|word| word.known).unwrap_or_default()
    }

    fn is_never(&self, at: usize) -> bool {
        self.known(at).is_never
    }

    /// What stands between a word and the next.
    fn gap(&self, at: usize) -> &str {
        match (self.words.get(at), self.words.get(at + 1)) {
            (Some(word), Some(next)) => self.text.get(word.range.end..next.range.start).unwrap_or_default(),
            (Some(word), None) => self.text.get(word.range.end..).unwrap_or_default(),
            _ => "",
        }
    }

    fn is_joined(&self, at: usize) -> bool {
        match self.gap(at) {
            " " | "\u{a0}" => true,
            ". " => self.shape(at) == Shape::Initial,
            _ => false,
        }
    }

    /// Whether a sentence, a line or a cell begins with a word.
    fn is_first(&self, at: usize) -> bool {
        let Some(before) = at.checked_sub(1) else { return true };
        let gap = self.gap(before);
        let is_label = gap.strip_prefix(':').is_some_and(|rest| !rest.contains('\n'));
        !is_label && !matches!(gap, " " | ", " | "\u{a0}" | " (" | " \"" | " '" | "-" | "; " | " - ")
    }

    /// The end of a run of capitals that begins at a word.
    fn run_end(&self, start: usize) -> usize {
        let mut end = start + 1;
        while self.is_joined(end - 1) {
            let mut next = end;
            while next < end + 3 && self.shape(next) == Shape::Lower && self.known(next).is_particle && self.gap(next) == " " {
                next += 1;
            }
            if !matches!(self.shape(next), Shape::Capital | Shape::Initial) {
                break;
            }
            end = next + 1;
        }
        end
    }

    fn is_thing(&self, at: usize) -> bool {
        self.known(at).is_thing
    }

    /// Whether what stands around a run says that it is an address or an organization.
    fn is_other(&self, start: usize, end: usize) -> bool {
        let number = |at: usize| self.shape(at) == Shape::Number;
        let behind = self.gap(end - 1);
        let is_year = |at: usize| self.lower(at).parse::<u32>().is_ok_and(|year| (1500..2100).contains(&year));
        let is_house = start > 0 && number(start - 1) && !is_year(start - 1) && self.gap(start - 1) == " ";
        let is_numbered = number(end) && behind == " ";
        let is_company = matches!(behind, " & " | "&") || (start > 0 && matches!(self.gap(start - 1), " & " | "&"));
        let is_named_thing = matches!(behind, " " | ", ") && self.is_thing(end);
        let is_thing = (start..end).any(|at| self.is_thing(at) && at > start);
        let is_place =
            self.known(start).is_place_begin || (start > 0 && self.gap(start - 1) == " " && self.known(start - 1).is_place_begin);
        is_house || is_numbered || is_company || is_named_thing || is_thing || is_place
    }

    /// How sure it is that the words are a name.
    fn confidence(&self, start: usize, end: usize) -> Option<f32> {
        let is_introduced = self.is_introduced(start);
        if is_introduced && !self.is_never(start) {
            return Some(0.85);
        }
        if self.is_other(start, end) {
            return None;
        }
        let full: Vec<usize> = (start..end).filter(|at| self.shape(*at) == Shape::Capital).collect();
        match (full.first(), full.last()) {
            (Some(first), Some(last)) if first < last => self.confidence_of_several(start, end, *first, *last),
            (Some(only), Some(_)) => self.confidence_of_one(start, end, *only),
            _ => None,
        }
    }

    fn confidence_of_several(&self, start: usize, end: usize, first: usize, last: usize) -> Option<f32> {
        let (given, family) = (self.known(first), self.known(last));
        let is_family = family.family == Strength::Sure || has_family_ending(self.lower(last));
        let is_inside = !self.is_first(start);
        let has_initial = (start..end).any(|at| self.shape(at) == Shape::Initial && self.gap(at) == ". ");
        let has_bare_initial = (start + 1..end - 1).any(|at| self.shape(at) == Shape::Initial);
        if (start..end).any(|at| self.is_never(at) && self.known(at).given == Strength::None && self.known(at).family == Strength::None) {
            return None;
        }
        match given.given {
            Strength::Sure if is_family || family.family == Strength::Weak => Some(0.85),
            Strength::Sure => Some(0.75),
            Strength::Weak if is_family => Some(0.75),
            Strength::Weak if has_initial => Some(0.75),
            Strength::Weak if family.family == Strength::Weak && is_inside => Some(0.65),
            _ if has_initial => Some(0.7),
            _ if has_bare_initial && (is_family || given.given > Strength::None) => Some(0.7),
            _ if family.given == Strength::Sure && given.family == Strength::Sure => Some(0.7),
            _ if is_family && is_inside => Some(0.65),
            _ if end - start == 2 && (self.is_followed(end) || (is_inside && self.known(start.wrapping_sub(1)).is_lead)) => Some(0.6),
            _ => None,
        }
    }

    fn confidence_of_one(&self, start: usize, end: usize, only: usize) -> Option<f32> {
        let known = self.known(only);
        let is_inside = !self.is_first(start);
        let is_family = known.family == Strength::Sure || has_family_ending(self.lower(only));
        if self.is_never(only) {
            return None;
        }
        // "J. Smith".
        if end - start > 1 {
            return is_family.then_some(0.7);
        }
        let length = self.lower(only).chars().count();
        let is_place = matches!(self.before(start, 1), "in" | "at" | "near") && self.gap(start.saturating_sub(1)) == " ";
        if is_place || (known.given != Strength::Sure && (self.is_in_a_firm(only) || self.lower(only).contains('-'))) {
            return None;
        }
        if known.given == Strength::Sure && length >= 3 {
            return Some(0.6);
        }
        let is_greeted = matches!(self.before(start, 1), "hi" | "hello" | "hey") && self.gap(start.saturating_sub(1)) == " ";
        if is_greeted && self.gap(only).starts_with([',', '!']) || (self.is_followed(end) && self.known(only).family == Strength::Sure) {
            return Some(0.6);
        }
        (is_family && is_inside && known.given != Strength::Weak && length >= 4).then_some(0.55)
    }

    fn is_introduced(&self, start: usize) -> bool {
        let Some(before) = start.checked_sub(1) else { return false };
        let gap = self.gap(before);
        let word = self.lower(before);
        if matches!(gap, " " | ". " | ", " | ",\n" | ",\n\n") && self.known(before).is_introduction {
            return gap != ". " || self.known(before).is_title;
        }
        let earlier = self.before(start, 2);
        match (earlier, word) {
            ("name", "is" | "was") | ("am", "called") | ("call", "me") | ("my", "name's") => gap == " ",
            (_, "i'm") | ("i", "am") => gap == " " && matches!(self.shape(start + 1), Shape::Capital) && self.is_joined(start),
            (_, "name") => matches!(gap, ": " | ":" | " : "),
            _ => false,
        }
    }

    fn is_followed(&self, end: usize) -> bool {
        self.gap(end - 1) == " " && self.known(end).is_follower
    }

    /// "Davis, Reynolds and Williamson" is the name of a firm.
    fn is_in_a_firm(&self, at: usize) -> bool {
        let is_and = |at: usize| self.lower(at) == "and" && self.shape(at) == Shape::Lower;
        let is_capital = |at: usize| self.shape(at) == Shape::Capital;
        let comma = |at: usize| self.gap(at) == ", ";
        let firm_from = |first: usize| {
            (first..first + 3).all(|place| is_capital(if place == first + 2 { place + 1 } else { place }))
                && comma(first)
                && is_and(first + 2)
                && !comma(first + 3)
                && !(first > 0 && (comma(first - 1) || is_and(first - 1)))
        };
        [at.checked_sub(3), at.checked_sub(1), Some(at)].into_iter().flatten().any(firm_from)
    }

    /// A name in lower case, after words that introduce one.
    fn introduced_in_lower_case(&self, at: usize) -> Option<usize> {
        let introduced = match (self.before(at, 2), self.before(at, 1)) {
            ("name", "is") | ("call", "me") => true,
            ("this" | "i", "is" | "am") | (_, "i'm" | "named") => !self.is_never(at),
            _ => false,
        };
        if !introduced || self.shape(at) != Shape::Lower || self.known(at).given != Strength::Sure || self.lower(at).len() < 3 {
            return None;
        }
        let next = self.known(at + 1);
        let has_family =
            self.gap(at) == " " && self.shape(at + 1) == Shape::Lower && (next.family == Strength::Sure || next.given == Strength::Sure);
        Some(at + 1 + usize::from(has_family))
    }

    /// What remains of a run without the words at its ends that are no part of a name.
    fn trimmed(&self, mut start: usize, mut end: usize) -> Range<usize> {
        let is_extra = |at: usize| (self.is_never(at) && self.known(at).given != Strength::Sure) || self.known(at).is_title;
        // "Will Smith".
        let is_given = |at: usize, end: usize| {
            at + 1 < end && self.known(at).given == Strength::Weak && !self.is_never(at + 1) && self.known(at + 1).family == Strength::Sure
        };
        while start < end && ((is_extra(start) && !is_given(start, end)) || self.shape(start) == Shape::Lower) {
            start += 1;
        }
        while end > start && (self.shape(end - 1) == Shape::Lower || is_extra(end - 1)) {
            end -= 1;
        }
        start..end
    }
}

/// The names in a text; `lower` is the text in ASCII lower case.
pub(crate) fn find(text: &str, lower: &str) -> Vec<Finding> {
    let reading = Reading { text, words: words(text, lower) };
    let mut out = Vec::new();
    let mut at = 0;
    while at < reading.words.len() {
        let (range, confidence) = match reading.shape(at) {
            Shape::Capital | Shape::Initial => {
                let end = reading.run_end(at);
                let kept = reading.trimmed(at, end);
                at = end;
                if kept.is_empty() || kept.len() > WORDS_MAX {
                    continue;
                }
                (kept.clone(), reading.confidence(kept.start, kept.end))
            }
            Shape::Lower => {
                let end = reading.introduced_in_lower_case(at);
                let start = at;
                at = end.unwrap_or(at + 1);
                (start..at, end.map(|_| 0.65))
            }
            Shape::Number | Shape::Other => {
                at += 1;
                continue;
            }
        };
        let (Some(confidence), Some(first), Some(last)) = (confidence, reading.words.get(range.start), reading.words.get(range.end - 1))
        else {
            continue;
        };
        out.push(Finding { kind: Kind::Name, start: first.range.start, end: last.range.end, confidence, validated: false });
    }
    out
}
