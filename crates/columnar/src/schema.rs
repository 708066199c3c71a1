//! The columns of a file.

/// What a column holds. All are optional.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Int32,
    Int64,
    Boolean,
    /// Names to texts.
    TextMap,
    List(Box<Kind>),
    Group(Vec<Field>),
}

/// A column with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    pub kind: Kind,
}

impl Field {
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self { name: name.into(), kind }
    }
}

impl Kind {
    /// Columns of values below this one.
    pub(crate) fn leaves(&self) -> usize {
        match self {
            Self::Text | Self::Int32 | Self::Int64 | Self::Boolean => 1,
            Self::TextMap => 2,
            Self::List(item) => item.leaves(),
            Self::Group(fields) => fields.iter().map(|field| field.kind.leaves()).sum(),
        }
    }
}
