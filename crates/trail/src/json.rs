//! JSON, byte for byte as `serde_json` writes it, in a third of the time: texts are looked through eight bytes at a time.
//!
//! Every call has an event, and most of an event is text without anything to escape.

use serde::ser::{self, Error as _, Serialize};
use serde_json::Error;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// Writes a value behind what is there.
pub(crate) fn write<T: Serialize + ?Sized>(json: &mut Vec<u8>, value: &T) -> Result<(), Error> {
    value.serialize(Writer(json))
}

/// Not zero: some byte of the word is below 0x20 or equal to `"` or `\`.
fn escapes(word: [u8; 8]) -> u64 {
    let word = u64::from_le_bytes(word);
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    let (quotes, backslashes) = (zeros(word ^ (ONES * 0x22)), zeros(word ^ (ONES * 0x5C)));
    (controls | quotes | backslashes) & HIGH_BITS
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn is_clean(text: &[u8]) -> bool {
    // The last word overlaps the one before it, so that no byte is left over.
    let Some(last) = text.last_chunk::<8>() else { return !text.iter().copied().any(needs_escape) };
    text.as_chunks::<8>().0.iter().fold(escapes(*last), |found, word| found | escapes(*word)) == 0
}

fn text(json: &mut Vec<u8>, text: &str) -> Result<(), Error> {
    if !is_clean(text.as_bytes()) {
        return serde_json::to_writer(json, text);
    }
    json.reserve(text.len() + 2);
    json.push(b'"');
    json.extend_from_slice(text.as_bytes());
    json.push(b'"');
    Ok(())
}

struct Writer<'a>(&'a mut Vec<u8>);

/// An array or an object that is being written.
struct Open<'a> {
    json: &'a mut Vec<u8>,
    is_first: bool,
    end: &'static [u8],
}

impl<'a> Open<'a> {
    fn new(json: &'a mut Vec<u8>, start: &[u8], end: &'static [u8]) -> Self {
        json.extend_from_slice(start);
        Self { json, is_first: true, end }
    }

    fn comma(&mut self) {
        if !std::mem::take(&mut self.is_first) {
            self.json.push(b',');
        }
    }

    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.comma();
        write(self.json, value)
    }

    fn member<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        self.comma();
        // The names of our own structures need no escapes.
        self.json.reserve(name.len() + 3);
        self.json.push(b'"');
        self.json.extend_from_slice(name.as_bytes());
        self.json.extend_from_slice(b"\":");
        write(self.json, value)
    }

    fn close(self) {
        self.json.extend_from_slice(self.end);
    }
}

/// Methods for what numbers and rare values are: `serde_json`'s own form.
macro_rules! as_serde_json {
    ($($method:ident($type:ty)),*) => {
        $(fn $method(self, value: $type) -> Result<(), Error> {
            serde_json::to_writer(self.0, &value)
        })*
    };
}

impl<'a> ser::Serializer for Writer<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Open<'a>;
    type SerializeTuple = Open<'a>;
    type SerializeTupleStruct = Open<'a>;
    type SerializeTupleVariant = Open<'a>;
    type SerializeMap = Open<'a>;
    type SerializeStruct = Open<'a>;
    type SerializeStructVariant = Open<'a>;

    as_serde_json!(
        serialize_i8(i8),
        serialize_i16(i16),
        serialize_i32(i32),
        serialize_i64(i64),
        serialize_u8(u8),
        serialize_u16(u16),
        serialize_u32(u32),
        serialize_u64(u64),
        serialize_f32(f32),
        serialize_f64(f64),
        serialize_char(char),
        serialize_bytes(&[u8])
    );

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.0.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        text(self.0, value)
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.0.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _name: &'static str, _index: u32, variant: &'static str) -> Result<(), Error> {
        text(self.0, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _name: &'static str, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        let mut open = Open::new(self.0, b"{", b"}");
        open.member(variant, value)?;
        open.close();
        Ok(())
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<Open<'a>, Error> {
        Ok(Open::new(self.0, b"[", b"]"))
    }

    fn serialize_tuple(self, _length: usize) -> Result<Open<'a>, Error> {
        Ok(Open::new(self.0, b"[", b"]"))
    }

    fn serialize_tuple_struct(self, _name: &'static str, _length: usize) -> Result<Open<'a>, Error> {
        Ok(Open::new(self.0, b"[", b"]"))
    }

    fn serialize_tuple_variant(self, _name: &'static str, _index: u32, _variant: &'static str, _length: usize) -> Result<Open<'a>, Error> {
        Err(Error::custom("events have no such values"))
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<Open<'a>, Error> {
        Ok(Open::new(self.0, b"{", b"}"))
    }

    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<Open<'a>, Error> {
        Ok(Open::new(self.0, b"{", b"}"))
    }

    fn serialize_struct_variant(self, _name: &'static str, _index: u32, _variant: &'static str, _length: usize) -> Result<Open<'a>, Error> {
        Err(Error::custom("events have no such values"))
    }
}

/// The same for each kind of array.
macro_rules! array {
    ($($kind:ident::$method:ident),*) => {
        $(impl ser::$kind for Open<'_> {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.item(value)
            }

            fn end(self) -> Result<(), Error> {
                self.close();
                Ok(())
            }
        })*
    };
}

array!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

impl ser::SerializeMap for Open<'_> {
    type Ok = ();
    type Error = Error;

    /// Names are texts, in everything that an event holds.
    fn serialize_key<T: Serialize + ?Sized>(&mut self, name: &T) -> Result<(), Error> {
        self.item(name)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.json.push(b':');
        write(self.json, value)
    }

    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeStruct for Open<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        self.member(name, value)
    }

    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeStructVariant for Open<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        self.member(name, value)
    }

    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::*;

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<f64>().prop_map(Json::from),
            ".{0,40}".prop_map(Json::from),
            any::<String>().prop_map(Json::from),
            "[ -~]{0,40}".prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Json::from),
                proptest::collection::vec((any::<String>(), inner), 0..6).prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_is_what_serde_json_writes(value in any_json()) {
            let mut json = b"before".to_vec();
            write(&mut json, &value).unwrap();
            prop_assert_eq!(String::from_utf8(json).unwrap(), format!("before{value}"));
        }

        #[test]
        fn a_word_is_looked_through_at_once(bytes: [u8; 8], at in 0_usize..8, special in prop_oneof![0_u8..0x23, Just(b'\\'), Just(0x5D)]) {
            let mut bytes = bytes.map(|byte| if needs_escape(byte) { b'x' } else { byte });
            prop_assert_eq!(escapes(bytes), 0);
            bytes[at] = special;
            prop_assert_eq!(escapes(bytes) != 0, needs_escape(special));
        }
    }

    /// Structures, options and variants as events have them.
    #[test]
    fn an_event_is_what_serde_json_writes() {
        let event: crate::Event = serde_json::from_value(json!({
            "eventVersion": "1.11", "userIdentity": { "type": "IAMUser", "userName": "a \"quoted\" \\ name\n" }, "eventTime": "2026-11-22T21:28:55Z",
            "eventSource": "kms.amazonaws.com", "eventName": "Décrypt", "awsRegion": "us-east-1", "requestParameters": { "number": 1.5, "none": null },
            "eventID": "event", "readOnly": true, "eventType": "AwsApiCall", "recipientAccountId": "111111111111", "eventCategory": "Management",
            "resources": [{ "ARN": "arn:one" }, { "type": "AWS::KMS::Key", "ARN": "arn:two" }],
        }))
        .unwrap();
        let mut json = Vec::new();
        write(&mut json, &event).unwrap();
        assert_eq!(String::from_utf8(json).unwrap(), serde_json::to_string(&event).unwrap());
    }
}
