//! GGUF files: metadata and tensors. Source: the GGUF specification, version 3.

use std::collections::BTreeMap;

/// Limits of what a file may declare.
const ENTRIES_MAX: u64 = 4_096;
const TENSORS_MAX: u64 = 8_192;
const ARRAY_MAX: u64 = 1_000_000;
const TEXT_BYTES_MAX: u64 = 1024 * 1024;
const DIMENSIONS_MAX: u32 = 4;
const NESTING_MAX: u32 = 2;
const ALIGNMENT: usize = 32;

/// A file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    #[error("the file is no GGUF file")]
    Magic,
    #[error("the file has the GGUF version {0}, which is not known here")]
    Version(u32),
    #[error("the file ends before it is complete")]
    Short,
    #[error("the file declares more {0} than can be")]
    Limit(&'static str),
    #[error("a text of the file is not UTF-8")]
    Text,
    #[error("the metadata has a value of the unknown type {0}")]
    ValueType(u32),
    #[error("the metadata has no `{0}`, or none that can be")]
    Value(&'static str),
    #[error("the architecture `{0}` is not known here")]
    Architecture(String),
    #[error("the tokenizer `{0}` is not known here")]
    Tokenizer(String),
    #[error("the tensor `{0}` is missing, or has another shape than the model")]
    Tensor(String),
    #[error("the tensor `{name}` has weights of the type {kind}, which is not known here")]
    Weights { name: String, kind: u32 },
}

/// A value of the metadata.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    Text(String),
    List(Vec<Value>),
}

impl Value {
    fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

/// A tensor as the file has it.
#[derive(Clone, Debug)]
pub(crate) struct TensorBytes<'a> {
    /// The innermost length comes first.
    pub(crate) dimensions: Vec<usize>,
    pub(crate) kind: u32,
    pub(crate) bytes: &'a [u8],
}

/// What a file holds.
#[derive(Debug)]
pub(crate) struct File<'a> {
    values: BTreeMap<String, Value>,
    tensors: BTreeMap<String, (Vec<usize>, u32, usize)>,
    data: &'a [u8],
}

struct Reader<'a> {
    all: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], FileError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(FileError::Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn number(&mut self) -> Result<u32, FileError> {
        self.take().map(u32::from_le_bytes)
    }

    fn long(&mut self) -> Result<u64, FileError> {
        self.take().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Result<&'a str, FileError> {
        let length = self.long()?;
        if length > TEXT_BYTES_MAX {
            return Err(FileError::Limit("bytes of a text"));
        }
        let length = usize::try_from(length).map_err(|_| FileError::Short)?;
        let (text, rest) = self.rest.split_at_checked(length).ok_or(FileError::Short)?;
        self.rest = rest;
        std::str::from_utf8(text).map_err(|_| FileError::Text)
    }

    fn value(&mut self, kind: u32, depth: u32) -> Result<Value, FileError> {
        Ok(match kind {
            0 => Value::Unsigned(u8::from_le_bytes(self.take()?).into()),
            1 => Value::Signed(i8::from_le_bytes(self.take()?).into()),
            2 => Value::Unsigned(u16::from_le_bytes(self.take()?).into()),
            3 => Value::Signed(i16::from_le_bytes(self.take()?).into()),
            4 => Value::Unsigned(self.number()?.into()),
            5 => Value::Signed(i32::from_le_bytes(self.take()?).into()),
            6 => Value::Float(f32::from_le_bytes(self.take()?).into()),
            7 => Value::Bool(self.take::<1>()? != [0]),
            8 => Value::Text(self.text()?.to_owned()),
            9 => {
                let (kind, length) = (self.number()?, self.long()?);
                if length > ARRAY_MAX || depth >= NESTING_MAX {
                    return Err(FileError::Limit("elements of a list"));
                }
                let mut items = Vec::new();
                for _ in 0..length {
                    items.push(self.value(kind, depth + 1)?);
                }
                Value::List(items)
            }
            10 => Value::Unsigned(self.long()?),
            11 => Value::Signed(i64::from_le_bytes(self.take()?)),
            12 => Value::Float(f64::from_le_bytes(self.take()?)),
            other => return Err(FileError::ValueType(other)),
        })
    }

    fn position(&self) -> usize {
        self.all.len() - self.rest.len()
    }
}

impl<'a> File<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, FileError> {
        let mut reader = Reader { all: bytes, rest: bytes };
        if reader.take::<4>()? != *b"GGUF" {
            return Err(FileError::Magic);
        }
        let version = reader.number()?;
        if !(2..=3).contains(&version) {
            return Err(FileError::Version(version));
        }
        let (tensor_count, value_count) = (reader.long()?, reader.long()?);
        if tensor_count > TENSORS_MAX || value_count > ENTRIES_MAX {
            return Err(FileError::Limit("entries"));
        }
        let mut values = BTreeMap::new();
        for _ in 0..value_count {
            let name = reader.text()?.to_owned();
            let kind = reader.number()?;
            values.insert(name, reader.value(kind, 0)?);
        }
        let mut tensors = BTreeMap::new();
        for _ in 0..tensor_count {
            let name = reader.text()?.to_owned();
            let count = reader.number()?;
            if count > DIMENSIONS_MAX {
                return Err(FileError::Limit("dimensions"));
            }
            let mut dimensions = Vec::new();
            for _ in 0..count {
                dimensions.push(usize::try_from(reader.long()?).map_err(|_| FileError::Limit("weights"))?);
            }
            let (kind, offset) = (reader.number()?, reader.long()?);
            let offset = usize::try_from(offset).map_err(|_| FileError::Short)?;
            tensors.insert(name, (dimensions, kind, offset));
        }
        let alignment = match values.get("general.alignment") {
            Some(Value::Unsigned(given)) => usize::try_from(*given).ok().filter(|given| (1..=4_096).contains(given)),
            _ => Some(ALIGNMENT),
        };
        let start = reader.position().next_multiple_of(alignment.ok_or(FileError::Value("general.alignment"))?);
        Ok(Self { values, tensors, data: bytes.get(start..).ok_or(FileError::Short)? })
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        if let Some(Value::Text(text)) = self.values.get(name) { Some(text) } else { None }
    }

    pub(crate) fn number(&self, name: &'static str) -> Result<usize, FileError> {
        match self.values.get(name) {
            Some(Value::Unsigned(number)) => usize::try_from(*number).map_err(|_| FileError::Value(name)),
            Some(Value::Signed(number)) => usize::try_from(*number).map_err(|_| FileError::Value(name)),
            _ => Err(FileError::Value(name)),
        }
    }

    pub(crate) fn float(&self, name: &'static str) -> Option<f64> {
        if let Some(Value::Float(number)) = self.values.get(name) { Some(*number) } else { None }
    }

    pub(crate) fn texts(&self, name: &'static str) -> Result<Vec<&str>, FileError> {
        let Some(Value::List(items)) = self.values.get(name) else { return Err(FileError::Value(name)) };
        items.iter().map(Value::text).collect::<Option<_>>().ok_or(FileError::Value(name))
    }

    pub(crate) fn numbers(&self, name: &'static str) -> Result<Vec<i64>, FileError> {
        let Some(Value::List(items)) = self.values.get(name) else { return Err(FileError::Value(name)) };
        let number = |item: &Value| match item {
            Value::Signed(number) => Ok(*number),
            Value::Unsigned(number) => i64::try_from(*number).map_err(|_| FileError::Value(name)),
            _ => Err(FileError::Value(name)),
        };
        items.iter().map(number).collect()
    }

    /// A tensor of a known size in bytes for its type.
    pub(crate) fn tensor(&self, name: &str) -> Result<TensorBytes<'a>, FileError> {
        let missing = || FileError::Tensor(name.to_owned());
        let (dimensions, kind, offset) = self.tensors.get(name).ok_or_else(missing)?;
        let weights = dimensions.iter().try_fold(1_usize, |product, length| product.checked_mul(*length)).ok_or_else(missing)?;
        let (block, block_bytes) = crate::tensor::block(*kind).ok_or_else(|| FileError::Weights { name: name.to_owned(), kind: *kind })?;
        if !weights.is_multiple_of(block) {
            return Err(missing());
        }
        let length = (weights / block).checked_mul(block_bytes).ok_or_else(missing)?;
        let bytes = self.data.get(*offset..).and_then(|data| data.get(..length)).ok_or(FileError::Short)?;
        Ok(TensorBytes { dimensions: dimensions.clone(), kind: *kind, bytes })
    }

    pub(crate) fn has_tensor(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lies_about_lengths_are_found() {
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        assert_eq!(File::read(b"GGUX").unwrap_err(), FileError::Magic);
        assert_eq!(File::read(&file).unwrap_err(), FileError::Short);
        file.extend([0xFF; 16]);
        assert_eq!(File::read(&file).unwrap_err(), FileError::Limit("entries"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut file = b"GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0".to_vec();
            file.extend(bytes);
            let _ = File::read(&file);
            let _ = crate::Model::read(&file);
        }
    }
}
