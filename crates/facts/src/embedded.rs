//! The facts files, compiled in. Those of AWS's services are packed by the build script.

use std::io::Read as _;

use flate2::read::DeflateDecoder;

pub(crate) const INDEX: &str = include_str!("../../../facts/index.json");
/// The index of our own services: those that no AWS model describes. Kept by hand, in the form of the others.
pub(crate) const OWN_INDEX: &str = include_str!("../own/index.json");
const OWN_FILES: &[(&str, &str)] = &[("bailiwick", include_str!("../own/bailiwick.json"))];

/// Packed, sorted by id; a test compares it with the index.
pub(crate) const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// The facts of one service. They are unpacked for as long as the process lives: ask once.
pub(crate) fn file(id: &str) -> Option<&'static str> {
    if let Some((_, text)) = OWN_FILES.iter().find(|(name, _)| *name == id) {
        return Some(text);
    }
    let (_, packed) = FILES.iter().find(|(name, _)| *name == id)?;
    let mut text = String::new();
    // The tests of this crate unpack every file.
    DeflateDecoder::new(*packed).read_to_string(&mut text).ok()?;
    Some(text.leak())
}
