//! Cells as the answer shows them.

use rusqlite::types::ValueRef;

use crate::schema::Kind;

/// The text of a cell; `None` for `NULL`.
pub(crate) fn text(value: ValueRef<'_>, kind: Kind) -> Option<String> {
    match (value, kind) {
        (ValueRef::Null, _) => None,
        (ValueRef::Integer(number), Kind::Boolean) => Some((number != 0).to_string()),
        (ValueRef::Integer(number), Kind::Double) => Some(format!("{number}.0")),
        (ValueRef::Integer(number), _) => Some(number.to_string()),
        (ValueRef::Real(number), _) => Some(format!("{number:?}")),
        (ValueRef::Text(bytes) | ValueRef::Blob(bytes), _) => Some(String::from_utf8_lossy(bytes).into_owned()),
    }
}
