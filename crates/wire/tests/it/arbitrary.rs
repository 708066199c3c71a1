//! Values for any shape, from a seed, in the range that the protocol can express.

use facts::{Location, Member, Operation, Protocol, Service, Shape, ShapeId, ShapeKind};
use wire::{Struct, Timestamp, Value};

pub(crate) fn services() -> impl Iterator<Item = &'static Service> {
    facts::catalog().heads().iter().map(|head| facts::catalog().service(head.id).expect(head.id))
}

/// The protocols of a service, and CBOR for those that speak JSON RPC: AWS moves them to it one by one.
pub(crate) fn protocols(service: &'static Service) -> Vec<Protocol> {
    let mut protocols = service.head.protocols.clone();
    let rpc = protocols.iter().any(|protocol| matches!(protocol, Protocol::Json10 | Protocol::Json11));
    if rpc && !protocols.contains(&Protocol::RpcV2Cbor) {
        protocols.push(Protocol::RpcV2Cbor);
    }
    protocols
}

/// Every operation of every service in each of its protocols.
pub(crate) fn operations() -> impl Iterator<Item = (&'static Service, Protocol, &'static Operation)> {
    services().flat_map(|service| {
        let every = move |protocol| service.operations.iter().map(move |operation| (service, protocol, operation));
        protocols(service).into_iter().flat_map(every)
    })
}

/// `splitmix64`: small, seeded, good enough to choose by.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A seed from a name, so that every operation has its own values and a failure repeats.
    pub(crate) fn for_name(name: &str, round: u64) -> Self {
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        Self(hash ^ round.wrapping_mul(0x9E37_79B9))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Input,
    Output,
}

pub(crate) struct Generator<'a> {
    pub(crate) service: &'static Service,
    pub(crate) protocol: Protocol,
    pub(crate) side: Side,
    pub(crate) random: &'a mut Random,
    /// Values still to make: keeps wide and recursive shapes small.
    pub(crate) budget: usize,
}

const DEPTH: usize = 7;

impl Generator<'_> {
    /// A value for an input or output.
    pub(crate) fn message(&mut self, shape: Option<ShapeId>) -> Value {
        let mut fields = Struct::new();
        let Some(shape) = shape else {
            return Value::Struct(fields);
        };
        for member in self.service.members(shape) {
            let bound = self.is_rest() && member.location != Location::Body;
            let needed = self.is_rest() && member.required
                || bound && member.location == Location::Uri
                || member.host_label
                || member.name == "ResponseStreamContentType";
            if (needed || self.random.chance(60))
                && let Some(value) = (0..20).find_map(|_| self.member(member, bound))
            {
                fields.set(member.name, value);
            }
        }
        Value::Struct(fields)
    }

    /// An event of an event stream.
    pub(crate) fn event(&mut self, shape: ShapeId) -> Value {
        let mut fields = Struct::new();
        for member in self.service.members(shape) {
            let value = if member.event_header { Some(self.scalar(self.service.shape(member.shape))) } else { self.value(member.shape, 0) };
            if let Some(value) = value.filter(|_| self.random.chance(70) || member.event_payload) {
                fields.set(member.name, value);
            }
        }
        Value::Struct(fields)
    }

    fn is_rest(&self) -> bool {
        matches!(self.protocol, Protocol::RestJson | Protocol::RestXml)
    }

    fn is_xml(&self) -> bool {
        self.protocol == Protocol::RestXml || (self.side == Side::Output && self.is_form())
    }

    fn is_form(&self) -> bool {
        matches!(self.protocol, Protocol::Query | Protocol::Ec2Query)
    }

    fn member(&mut self, member: &'static Member, bound: bool) -> Option<Value> {
        let shape = self.service.shape(member.shape);
        if !bound {
            return self.value(member.shape, 0);
        }
        match (&shape.kind, member.location) {
            (ShapeKind::List { item, .. }, _) => {
                let item = self.service.shape(*item);
                let count = 1 + self.random.below(3);
                Some(Value::List((0..count).map(|_| self.bound_scalar(item, member)).collect()))
            }
            (ShapeKind::Map { .. }, _) => {
                let count = 1 + self.random.below(3);
                let entries = (0..count).map(|at| (format!("key-{at}"), Value::Str(self.plain_text())));
                Some(Value::Map(entries.collect()))
            }
            (_, Location::StatusCode) => Some(Value::Int(200 + i64::try_from(self.random.below(3)).unwrap())),
            _ => Some(self.bound_scalar(shape, member)),
        }
    }

    /// A scalar of a header, label or query parameter: headers carry visible ASCII only.
    fn bound_scalar(&mut self, shape: &'static Shape, member: &Member) -> Value {
        match shape.kind {
            ShapeKind::String if !shape.constraints.values.is_empty() => self.scalar(shape),
            ShapeKind::String if member.host_label => Value::Str(format!("h{}", self.random.below(1000))),
            ShapeKind::String if matches!(member.location, Location::Uri | Location::QueryString) => Value::Str(self.text(false)),
            ShapeKind::String => Value::Str(self.plain_text()),
            _ => self.scalar(shape),
        }
    }

    fn value(&mut self, id: ShapeId, depth: usize) -> Option<Value> {
        if depth > DEPTH || self.budget == 0 {
            return None;
        }
        self.budget -= 1;
        let shape = self.service.shape(id);
        match &shape.kind {
            ShapeKind::Structure { event_stream: true, .. } => None,
            ShapeKind::Blob { streaming: true } if self.side == Side::Input => None,
            ShapeKind::Structure { document: true, .. } if self.protocol == Protocol::RpcV2Cbor => None,
            ShapeKind::Structure { document: true, .. } => Some(Value::Document(self.document(0))),
            ShapeKind::Structure { members, union, .. } => self.structure(members, *union, depth),
            ShapeKind::List { item, .. } => {
                let count = 1 + self.random.below(3);
                let items: Vec<Value> = (0..count).filter_map(|_| self.value(*item, depth + 1)).collect();
                (!items.is_empty() || (!self.is_form() && !self.is_xml() && depth > 0)).then_some(Value::List(items))
            }
            ShapeKind::Map { key, value, .. } => {
                let key = self.service.shape(*key);
                let mut entries: Vec<(String, Value)> = Vec::new();
                for _ in 0..=self.random.below(3) {
                    let Value::Str(name) = self.scalar(key) else {
                        continue;
                    };
                    if entries.iter().all(|(other, _)| *other != name)
                        && let Some(value) = self.value(*value, depth + 1)
                    {
                        entries.push((name, value));
                    }
                }
                (!entries.is_empty()).then_some(Value::Map(entries))
            }
            _ => Some(self.scalar(shape)),
        }
    }

    fn structure(&mut self, members: &'static [Member], union: bool, depth: usize) -> Option<Value> {
        let mut fields = Struct::new();
        let members: Vec<&Member> = if union {
            let chosen = self.random.below(members.len().max(1));
            members.iter().skip(chosen).take(1).collect()
        } else {
            members.iter().collect()
        };
        for member in members {
            if (union || self.random.chance(55))
                && let Some(value) = self.value(member.shape, depth + 1)
            {
                fields.set(member.name, value);
            }
        }
        (!fields.is_empty()).then_some(Value::Struct(fields))
    }

    fn scalar(&mut self, shape: &'static Shape) -> Value {
        match &shape.kind {
            ShapeKind::Boolean => Value::Bool(self.random.chance(50)),
            ShapeKind::Integer => Value::Int(i64::from(i32::from_le_bytes(self.random.next().to_le_bytes()[..4].try_into().unwrap()))),
            ShapeKind::Long => Value::Int(i64::from_le_bytes(self.random.next().to_le_bytes())),
            // Quarters are exact in single and double precision and in decimal.
            ShapeKind::Float | ShapeKind::Double => {
                let quarters = i32::try_from(self.random.below(1_000_000)).unwrap() - 500_000;
                Value::Float(f64::from(quarters) / 4.0)
            }
            ShapeKind::Timestamp { .. } => {
                let seconds = i64::try_from(self.random.below(4_000_000_000)).unwrap();
                Value::Time(Timestamp(seconds * 1000))
            }
            ShapeKind::Blob { .. } => {
                let length = 1 + self.random.below(20);
                let letters = (0..length).map(|_| b'!' + u8::try_from(self.random.below(90)).unwrap());
                Value::Bytes(letters.collect())
            }
            _ => match shape.constraints.values.as_slice() {
                [] => Value::Str(self.text(true)),
                values => Value::Str(values[self.random.below(values.len())].to_owned()),
            },
        }
    }

    /// Text with what the formats have to escape.
    fn text(&mut self, line_ends: bool) -> String {
        const LETTERS: &[char] = &[
            'a',
            'Z',
            '0',
            '9',
            ' ',
            '+',
            '&',
            '<',
            '>',
            '"',
            '\'',
            '%',
            '=',
            '/',
            '\\',
            '?',
            '#',
            ';',
            ',',
            ':',
            '.',
            '-',
            '_',
            '~',
            '*',
            '{',
            ']',
            'é',
            'ß',
            '€',
            '漢',
            '\u{1F600}',
        ];
        let length = 1 + self.random.below(12);
        let mut text: String = (0..length).map(|_| LETTERS[self.random.below(LETTERS.len())]).collect();
        if line_ends && self.random.chance(5) {
            text.push('\n');
        }
        // A path of dots alone is what clients fold away.
        if text.chars().all(|letter| letter == '.' || letter == '/') { "x".to_owned() } else { text }
    }

    /// Text for headers: no white space at the ends.
    fn plain_text(&mut self) -> String {
        let length = self.random.below(12);
        let middle: String = (0..length).map(|_| char::from(b' ' + u8::try_from(self.random.below(95)).unwrap())).collect();
        format!("a{}z", middle.replace(['"', ',', '\\'], "_"))
    }

    fn document(&mut self, depth: usize) -> serde_json::Value {
        use serde_json::json;
        match self.random.below(if depth > 2 { 3 } else { 5 }) {
            0 => json!(self.text(true)),
            1 => json!(self.random.below(1000)),
            2 => json!(self.random.chance(50)),
            3 => json!([self.document(depth + 1), self.document(depth + 1)]),
            _ => json!({ "k": self.document(depth + 1), "é": self.document(depth + 1) }),
        }
    }
}

/// An input and an output of an operation.
pub(crate) fn messages(service: &'static Service, protocol: Protocol, operation: &'static Operation, round: u64) -> (Value, Value) {
    let mut random = Random::for_name(&format!("{}.{}", service.head.id, operation.name), round);
    let mut make = |side, shape| Generator { service, protocol, side, random: &mut random, budget: 300 }.message(shape);
    (make(Side::Input, operation.input), make(Side::Output, operation.output))
}
