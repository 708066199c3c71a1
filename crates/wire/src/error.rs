//! Why bytes could not become a value, and the protocol-neutral reply that names an error.

use facts::Location;

use crate::value::Value;

/// Why an input or an output could not be decoded.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not of the format at all.
    #[error("the {format} text is malformed: {reason}")]
    Syntax { format: Format, reason: String },
    /// The format is right, a value in it is of another type than the shape says.
    #[error("`{member}` has the wrong type: {reason}")]
    Type { format: Format, member: String, reason: String },
    /// A limit of [`crate::limits`] was passed.
    #[error("the request has more than {maximum} {what}")]
    Limit { format: Format, what: &'static str, maximum: usize },
    /// Types are right, constraints are not kept.
    #[error("{} constraints are not kept", .0.len())]
    Validation(Vec<Violation>),
}

/// In what the offending bytes were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Cbor,
    Xml,
    Form,
    /// Header, query parameter or URI label of a REST protocol.
    Http,
}

impl std::fmt::Display for Format {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Format::Json => "JSON",
            Format::Cbor => "CBOR",
            Format::Xml => "XML",
            Format::Form => "form",
            Format::Http => "HTTP",
        })
    }
}

/// One constraint that an input does not keep.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    pub path: Vec<Step>,
    /// The value as AWS prints it; absent for sensitive shapes and for missing members.
    pub value: Option<String>,
    /// Length of the value where it has one: characters, bytes or entries.
    pub length: Option<usize>,
    pub rule: Rule,
    /// Where the outermost member travels.
    pub location: Location,
    /// The member (or one around it) is sensitive.
    pub sensitive: bool,
}

/// One step from the input to a value inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Member(&'static str),
    /// 1-based.
    Item(usize),
    Key(String),
}

/// What was not kept.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    Required,
    MinimumLength(f64),
    MaximumLength(f64),
    MinimumValue(f64),
    MaximumValue(f64),
    Pattern(&'static str),
    Values(&'static [&'static str]),
    /// A scalar item of a list; all rules of the item's shape.
    Items(Vec<Rule>),
    Keys(Vec<Rule>),
    MapValues(Vec<Rule>),
    /// A union without exactly one member.
    OneMember,
}

/// An error as the caller is to see it, in no protocol yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ErrorReply {
    pub code: String,
    pub message: String,
    /// HTTP status.
    pub status: u16,
    /// The fault is the caller's (`Sender`), not the service's (`Receiver`).
    pub sender_fault: bool,
    /// Further members of the error structure, or S3's fields (`Resource`, `BucketName`, `Key`, ...).
    pub members: Vec<(String, Value)>,
}
