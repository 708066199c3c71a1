//! Typed forms of [`Value`]: what the generated `api-*` crates are made of.
//!
//! A generated type is one [`shape!`](crate::shape) line per member; the macro gives it the conversion both ways. The conversion
//! trusts that the value was checked against the facts: a value of another form gives a [`ShapeError`], never a panic.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};

use bytes::Bytes;

use crate::value::{Struct, Timestamp, Value};

/// A value that does not have the form of the type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    #[error("the member `{0}` is missing")]
    Missing(&'static str),
    #[error("the member `{member}` is not {expected}")]
    Unexpected { member: &'static str, expected: &'static str },
}

impl ShapeError {
    /// The innermost member that does not fit names itself.
    fn expected(expected: &'static str) -> Self {
        Self::Unexpected { member: "", expected }
    }

    fn within(self, name: &'static str) -> Self {
        match self {
            Self::Unexpected { member: "", expected } => Self::Unexpected { member: name, expected },
            other => other,
        }
    }
}

/// Built from a checked value.
pub trait FromValue: Sized {
    fn from_value(value: Value) -> Result<Self, ShapeError>;

    /// What an absent member is: an error, unless the type has a word for absence.
    fn from_absent(member: &'static str) -> Result<Self, ShapeError> {
        Err(ShapeError::Missing(member))
    }
}

/// Turned into a value to encode.
pub trait IntoValue {
    fn into_value(self) -> Value;
}

/// The input of an operation knows the operation and its output.
pub trait ApiInput: FromValue + IntoValue {
    /// Service id in the facts, for example `kms`.
    const SERVICE: &'static str;
    /// Name in the model, for example `CreateAlias`.
    const OPERATION: &'static str;
    type Output: FromValue + IntoValue;
}

/// Takes a member out of a structure; used by [`shape!`](crate::shape).
pub fn take<T: FromValue>(fields: &mut Struct, name: &'static str) -> Result<T, ShapeError> {
    match fields.take(name) {
        None | Some(Value::Null) => T::from_absent(name),
        Some(value) => T::from_value(value).map_err(|error| error.within(name)),
    }
}

/// Puts a member into a structure, unless it is absent; used by [`shape!`](crate::shape).
pub fn put<T: IntoValue>(fields: &mut Struct, name: &'static str, value: T) {
    match value.into_value() {
        Value::Null => {}
        value => fields.set(name, value),
    }
}

/// The members of a structure; used by [`shape!`](crate::shape).
pub fn fields(value: Value) -> Result<Struct, ShapeError> {
    match value {
        Value::Struct(fields) => Ok(fields),
        Value::Null => Ok(Struct::new()),
        _ => Err(ShapeError::expected("a structure")),
    }
}

/// The text of an enumeration; used by [`shape!`](crate::shape).
pub fn text(value: Value) -> Result<String, ShapeError> {
    match value {
        Value::Str(text) => Ok(text),
        _ => Err(ShapeError::expected("a string")),
    }
}

/// Content that must not reach a log: `Debug` shows nothing of it.
///
/// It reads like the content itself (`Deref`), so what is done with it stays visible at the place that does it.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    pub fn new(content: T) -> Self {
        Self(content)
    }

    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

impl<T> Deref for Secret<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Secret<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> From<T> for Secret<T> {
    fn from(content: T) -> Self {
        Self(content)
    }
}

impl From<&str> for Secret<String> {
    fn from(content: &str) -> Self {
        Self(content.to_owned())
    }
}

impl<T: FromValue> FromValue for Secret<T> {
    fn from_value(value: Value) -> Result<Self, ShapeError> {
        T::from_value(value).map(Self)
    }
}

impl<T: IntoValue> IntoValue for Secret<T> {
    fn into_value(self) -> Value {
        self.0.into_value()
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value) -> Result<Self, ShapeError> {
        match value {
            Value::Null => Ok(None),
            value => T::from_value(value).map(Some),
        }
    }

    fn from_absent(_: &'static str) -> Result<Self, ShapeError> {
        Ok(None)
    }
}

impl<T: IntoValue> IntoValue for Option<T> {
    fn into_value(self) -> Value {
        self.map_or(Value::Null, IntoValue::into_value)
    }
}

impl<T: FromValue> FromValue for Box<T> {
    fn from_value(value: Value) -> Result<Self, ShapeError> {
        T::from_value(value).map(Self::new)
    }
}

impl<T: IntoValue> IntoValue for Box<T> {
    fn into_value(self) -> Value {
        (*self).into_value()
    }
}

impl<T: FromValue> FromValue for Vec<T> {
    fn from_value(value: Value) -> Result<Self, ShapeError> {
        match value {
            Value::List(items) => items.into_iter().map(T::from_value).collect(),
            _ => Err(ShapeError::expected("a list")),
        }
    }
}

impl<T: IntoValue> IntoValue for Vec<T> {
    fn into_value(self) -> Value {
        Value::List(self.into_iter().map(IntoValue::into_value).collect())
    }
}

impl<T: FromValue> FromValue for BTreeMap<String, T> {
    fn from_value(value: Value) -> Result<Self, ShapeError> {
        match value {
            Value::Map(entries) => entries.into_iter().map(|(key, value)| Ok((key, T::from_value(value)?))).collect(),
            _ => Err(ShapeError::expected("a map")),
        }
    }
}

impl<T: IntoValue> IntoValue for BTreeMap<String, T> {
    fn into_value(self) -> Value {
        Value::Map(self.into_iter().map(|(key, value)| (key, value.into_value())).collect())
    }
}

macro_rules! plain {
    ($($type:ty, $variant:ident, $expected:literal;)*) => {$(
        impl FromValue for $type {
            fn from_value(value: Value) -> Result<Self, ShapeError> {
                match value {
                    Value::$variant(content) => Ok(content),
                    _ => Err(ShapeError::expected($expected)),
                }
            }
        }

        impl IntoValue for $type {
            fn into_value(self) -> Value {
                Value::$variant(self)
            }
        }
    )*};
}

plain! {
    bool, Bool, "a boolean";
    i64, Int, "an integer";
    String, Str, "a string";
    Bytes, Bytes, "a blob";
    Timestamp, Time, "a timestamp";
    serde_json::Value, Document, "a document";
}

impl FromValue for i32 {
    fn from_value(value: Value) -> Result<Self, ShapeError> {
        let wide = i64::from_value(value)?;
        Self::try_from(wide).map_err(|_| ShapeError::expected("an integer of 32 bits"))
    }
}

impl IntoValue for i32 {
    fn into_value(self) -> Value {
        Value::Int(self.into())
    }
}

impl FromValue for f64 {
    fn from_value(value: Value) -> Result<Self, ShapeError> {
        match value {
            Value::Float(number) => Ok(number),
            // Beyond 32 bits an integer may lose digits as a float: refused rather than rounded.
            Value::Int(number) => {
                i32::try_from(number).map(Self::from).map_err(|_| ShapeError::expected("a number that a float holds exactly"))
            }
            _ => Err(ShapeError::expected("a number")),
        }
    }
}

impl IntoValue for f64 {
    fn into_value(self) -> Value {
        Value::Float(self)
    }
}

/// Declares a type of an API with its conversion from and to [`Value`].
///
/// * `struct NAME { field: Type = "Member", ... }`: a structure; `Option` members may be absent.
/// * `enum NAME { Variant = "text", ... }`: a string enumeration; other texts are kept in `Other`.
/// * `union NAME { Variant(Type) = "member", ... }`: exactly one member is set; `Unknown` when none is known.
#[macro_export]
macro_rules! shape {
    ($(#[$meta:meta])* struct $name:ident { $($field:ident: $type:ty = $member:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $(pub $field: $type,)*
        }

        impl $crate::typed::FromValue for $name {
            fn from_value(value: $crate::Value) -> ::std::result::Result<Self, $crate::typed::ShapeError> {
                #[allow(unused_mut, unused_variables)]
                let mut fields = $crate::typed::fields(value)?;
                ::std::result::Result::Ok(Self { $($field: $crate::typed::take(&mut fields, $member)?,)* })
            }
        }

        impl $crate::typed::IntoValue for $name {
            fn into_value(self) -> $crate::Value {
                #[allow(unused_mut)]
                let mut fields = $crate::Struct::new();
                $($crate::typed::put(&mut fields, $member, self.$field);)*
                $crate::Value::Struct(fields)
            }
        }
    };
    (enum $name:ident { $($variant:ident = $text:literal),* $(,)? }) => {
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($variant,)*
            /// A text that the model does not list.
            Other(::std::string::String),
        }

        impl $name {
            /// Every text that the model lists, in its order.
            pub const ALL: &'static [&'static str] = &[$($text),*];

            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(text) => text,
                }
            }
        }

        impl ::std::convert::From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$variant,)*
                    other => Self::Other(::std::borrow::ToOwned::to_owned(other)),
                }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }

        impl $crate::typed::FromValue for $name {
            fn from_value(value: $crate::Value) -> ::std::result::Result<Self, $crate::typed::ShapeError> {
                $crate::typed::text(value).map(|text| Self::from(text.as_str()))
            }
        }

        impl $crate::typed::IntoValue for $name {
            fn into_value(self) -> $crate::Value {
                $crate::Value::Str(::std::borrow::ToOwned::to_owned(self.as_str()))
            }
        }
    };
    (union $name:ident { $($variant:ident($type:ty) = $member:literal),* $(,)? }) => {
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name {
            $($variant($type),)*
            /// No member that the model lists.
            Unknown,
        }

        impl $name {
            /// The name of the member that is set.
            pub fn member(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $member,)*
                    Self::Unknown => "",
                }
            }
        }

        impl $crate::typed::FromValue for $name {
            fn from_value(value: $crate::Value) -> ::std::result::Result<Self, $crate::typed::ShapeError> {
                let mut fields = $crate::typed::fields(value)?;
                $(if let ::std::option::Option::Some(content) = $crate::typed::take(&mut fields, $member)? {
                    return ::std::result::Result::Ok(Self::$variant(content));
                })*
                ::std::result::Result::Ok(Self::Unknown)
            }
        }

        impl $crate::typed::IntoValue for $name {
            fn into_value(self) -> $crate::Value {
                let mut fields = $crate::Struct::new();
                match self {
                    $(Self::$variant(content) => $crate::typed::put(&mut fields, $member, content),)*
                    Self::Unknown => {}
                }
                $crate::Value::Struct(fields)
            }
        }
    };
}

/// Ties an input type to its operation and output type.
#[macro_export]
macro_rules! operation {
    ($service:literal, $name:literal, $input:ty, $output:ty) => {
        impl $crate::typed::ApiInput for $input {
            const SERVICE: &'static str = $service;
            const OPERATION: &'static str = $name;
            type Output = $output;
        }
    };
}

#[cfg(test)]
#[allow(unreachable_pub, dead_code)]
mod tests {
    use super::*;

    crate::shape! { enum Kind { Large = "LARGE", Small = "SMALL" } }
    crate::shape! {
        struct Leaf {
            name: String = "Name",
            kind: Option<Kind> = "Kind",
            token: Option<Secret<String>> = "Token",
        }
    }
    crate::shape! { union Tree { Leaf(Leaf) = "leaf", Branches(Vec<Tree>) = "branches" } }

    fn leaf() -> Leaf {
        Leaf { name: "n".to_owned(), kind: Some(Kind::Small), token: Some("canary".into()) }
    }

    #[test]
    fn values_round_trip() {
        let tree = Tree::Branches(vec![Tree::Leaf(leaf()), Tree::Leaf(Leaf { kind: Some("NEW".into()), ..leaf() })]);
        assert_eq!(Tree::from_value(tree.clone().into_value()), Ok(tree));
    }

    #[test]
    fn absent_members_are_left_out() {
        let value = Leaf { kind: None, token: None, ..leaf() }.into_value();
        assert_eq!(value.as_struct().map(Struct::len), Some(1));
        assert_eq!(Leaf::from_value(Value::Struct(Struct::new())), Err(ShapeError::Missing("Name")));
    }

    #[test]
    fn a_wrong_form_names_the_member() {
        let mut fields = Struct::new();
        fields.set("Name", Value::Int(3));
        let error = Leaf::from_value(Value::Struct(fields)).expect_err("an integer is no string");
        assert_eq!(error.to_string(), "the member `Name` is not a string");
    }

    #[test]
    fn wide_integers_are_refused_not_cut() {
        assert!(i32::from_value(Value::Int(1 << 40)).is_err());
        assert!(f64::from_value(Value::Int(1 << 60)).is_err());
    }

    #[test]
    fn secrets_do_not_show() {
        assert!(!format!("{:?}", leaf()).contains("canary"));
        assert_eq!(leaf().token.as_deref().map(String::as_str), Some("canary"));
    }

    #[test]
    fn an_unknown_union_member_is_unknown() {
        assert_eq!(Tree::from_value(Value::Struct(Struct::new())), Ok(Tree::Unknown));
    }
}
