//! Files of a trail's bucket.

use std::io::Read as _;

use flate2::read::GzDecoder;
use transparency::Hash;
use transparency::merkle::sha256;

/// Largest file that is unpacked. The server's own end at a few megabytes.
const FILE_LIMIT: u64 = 256 * 1024 * 1024;

/// One object.
#[derive(Clone, Debug, Default)]
pub struct StoredFile {
    pub bucket: String,
    pub key: String,
    /// As stored, packed.
    pub bytes: Vec<u8>,
    /// Hexadecimal, from the object's metadata, where that came along.
    pub signature: Option<String>,
}

/// An object, unpacked.
pub(crate) struct OpenFile {
    pub bucket: String,
    pub key: String,
    pub text: Vec<u8>,
    pub content: Hash,
    pub signature: Option<String>,
}

impl StoredFile {
    pub(crate) fn open(&self) -> Result<OpenFile, String> {
        let text = gunzip(&self.bytes)?;
        let content = sha256(&text);
        Ok(OpenFile { bucket: self.bucket.clone(), key: self.key.clone(), text, content, signature: self.signature.clone() })
    }
}

impl OpenFile {
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.bucket, self.key)
    }
}

/// Unpacks, up to a limit.
pub fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    GzDecoder::new(bytes).take(FILE_LIMIT + 1).read_to_end(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > FILE_LIMIT {
        return Err(format!("it is larger than {FILE_LIMIT} bytes"));
    }
    Ok(text)
}

/// The bytes of each record of a log file.
pub fn record_texts(text: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = text.trim_ascii().strip_prefix(b"{\"Records\":[")?;
    let mut records = Vec::new();
    if rest == b"]}" {
        return Some(records);
    }
    loop {
        let (record, after) = trail::entry::first_json(rest)?;
        records.push(record.trim_ascii());
        match after.trim_ascii_start().split_first()? {
            (b',', after) => rest = after,
            (b']', after) => return (after.trim_ascii() == b"}").then_some(records),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn records_are_cut_out_as_they_stand() {
        let records = record_texts(b"{\"Records\":[{\"a\":[1,2]},{\"b\":\"},{\"}]}").unwrap();
        assert_eq!(records, [b"{\"a\":[1,2]}".as_slice(), b"{\"b\":\"},{\"}"]);
        assert_eq!(record_texts(b"{\"Records\":[]}"), Some(Vec::new()));
        for wrong in ["", "{}", "{\"Records\":[{}", "{\"Records\":[{}]", "{\"Records\":[{} {}]}", "{\"Records\":[{},]}"] {
            assert_eq!(record_texts(wrong.as_bytes()), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_records_or_none(tail in "[{}\\[\\],:\"a0 ]{0,60}") {
            let _ = record_texts(format!("{{\"Records\":[{tail}").as_bytes());
            let _ = gunzip(tail.as_bytes());
        }
    }
}
