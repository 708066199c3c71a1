//! What is sealed of an event: its JSON, compressed.
//!
//! Layout: `dictionary (1) | body`. Dictionary 0 is none: the body is the JSON as it is. Dictionary 1: the body is one zstd frame made with
//! `dictionary-1.bin`. A dictionary never changes once events were written with it; a better one gets the next number, and the old ones stay.
//! `examples/dictionary.rs` makes them from the facts: what all records have in common is in the program and not in each record.
//!
//! The length of what is sealed tells how well it was compressed. Each event is compressed by itself, against nothing but a public dictionary:
//! no event's length depends on another one. Within an event, whoever chooses a parameter and reads the store's bytes (no caller can) might learn
//! whether it repeats another part of the same event. Those parts are names, which are not secret; secrets are not in events.

use std::cell::RefCell;
use std::sync::LazyLock;

use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::zstd_safe::CParameter;

use crate::entry::EntryError;

const PLAIN: u8 = 0;
const DICTIONARY_1: u8 = 1;
const BYTES_1: &[u8] = include_bytes!("dictionary-1.bin");
/// Higher levels take a third more time for a twentieth less.
const LEVEL: i32 = 1;
/// Longest JSON. The store takes no larger entry either.
const LIMIT: usize = 16 * 1024 * 1024;

static ENCODER_1: LazyLock<EncoderDictionary<'static>> = LazyLock::new(|| EncoderDictionary::copy(BYTES_1, LEVEL));
static DECODER_1: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(BYTES_1));

thread_local! {
    // Making one takes longer than using it.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = RefCell::new(compressor().ok());
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = RefCell::new(Decompressor::with_prepared_dictionary(&DECODER_1).ok());
}

fn compressor() -> std::io::Result<Compressor<'static>> {
    let mut compressor = Compressor::with_prepared_dictionary(&ENCODER_1)?;
    // The first byte names it.
    compressor.set_parameter(CParameter::DictIdFlag(false))?;
    // The seal finds every change.
    compressor.set_parameter(CParameter::ChecksumFlag(false))?;
    Ok(compressor)
}

/// What is to be sealed.
pub(crate) fn pack(json: &[u8]) -> Vec<u8> {
    COMPRESSOR
        .with_borrow_mut(|compressor| compressor.as_mut().and_then(|compressor| compressed(compressor, json)))
        .unwrap_or_else(|| plain(json))
}

/// `None`: it would not be shorter.
fn compressed(compressor: &mut Compressor<'_>, json: &[u8]) -> Option<Vec<u8>> {
    let mut packed = Vec::with_capacity(json.len());
    compressor.compress_to_buffer(json, &mut packed).ok()?;
    packed.insert(0, DICTIONARY_1);
    Some(packed)
}

fn plain(json: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(json.len() + 1);
    packed.push(PLAIN);
    packed.extend_from_slice(json);
    packed
}

/// The JSON.
pub(crate) fn unpack(mut packed: Vec<u8>) -> Result<Vec<u8>, EntryError> {
    let (&dictionary, body) = packed.split_first().ok_or(EntryError::Malformed)?;
    match dictionary {
        PLAIN => {
            packed.remove(0);
            Ok(packed)
        }
        DICTIONARY_1 => expanded(body).ok_or(EntryError::Malformed),
        newer => Err(EntryError::NewerDictionary(newer)),
    }
}

fn expanded(body: &[u8]) -> Option<Vec<u8>> {
    let length = zstd::zstd_safe::get_frame_content_size(body).ok()??;
    let length = usize::try_from(length).ok().filter(|length| *length <= LIMIT)?;
    DECOMPRESSOR.with_borrow_mut(|decompressor| decompressor.as_mut()?.decompress(body, length).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_packed_comes_back(json: Vec<u8>, repeated in 0_usize..2000) {
            let json = [json, b"\"eventVersion\":\"1.11\",".repeat(repeated)].concat();
            let packed = pack(&json);
            prop_assert!(packed.len() <= json.len() + 1);
            prop_assert_eq!(unpack(packed).unwrap(), json);
        }

        #[test]
        fn foreign_bytes_are_an_error_or_something(bytes in proptest::collection::vec(any::<u8>(), 0..300), number in 0_u8..3) {
            let _ = unpack([vec![number], bytes].concat());
        }

        #[test]
        fn a_changed_frame_is_no_panic(at in 1_usize..60, byte: u8) {
            let mut packed = pack(&b"{\"record\":{\"eventVersion\":\"1.11\",\"userIdentity\":{\"type\":\"Root\"}}}".repeat(9));
            if let Some(place) = packed.get_mut(at) {
                *place = byte;
            }
            let _ = unpack(packed);
        }
    }

    /// A frame that promises more than fits is refused before memory is taken for it.
    #[test]
    fn a_bomb_is_refused() {
        let bomb = zstd::bulk::compress(&vec![b' '; LIMIT + 1], 1).unwrap();
        assert!(matches!(unpack([vec![DICTIONARY_1], bomb].concat()), Err(EntryError::Malformed)));
        assert!(matches!(unpack(vec![2, 1, 1]), Err(EntryError::NewerDictionary(2))));
        assert!(matches!(unpack(Vec::new()), Err(EntryError::Malformed)));
    }
}
