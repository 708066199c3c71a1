//! Records that were opened, for the next one who reads the same row: opening one costs a key derivation, a decryption and a JSON parser.
//!
//! Nothing has to be told to it. A row's sealed value begins with random bytes of its own, so whoever has read the row knows at once whether the
//! record that is kept here was opened from the very same value: by another key, or after another write, it never is. What the row says is
//! always asked of the store; only the opening is spared.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use keyring::RECORD_NAME_BYTES;
use store::Table;

/// Sealed bytes of the rows that are kept, together; above, all are dropped (a refill costs an opening each).
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// Larger records are not kept: there are few, and they would push out many.
const RECORD_BYTES_MAX: usize = 64 * 1024;

/// A record of any type, as its table has it.
pub(crate) type Opened = Arc<dyn Any + Send + Sync>;

/// The opened records of one region.
#[derive(Default)]
pub(crate) struct RecordCache(Mutex<State>);

#[derive(Default)]
struct State {
    rows: HashMap<(Table, Bytes), Kept>,
    bytes: usize,
}

struct Kept {
    /// What the sealed value begins with.
    name: [u8; RECORD_NAME_BYTES],
    bytes: usize,
    record: Opened,
}

impl RecordCache {
    /// The record that this sealed value of the row was opened to before.
    pub(crate) fn get(&self, place: &(Table, Bytes), sealed: &[u8]) -> Option<Opened> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = state.rows.get(place)?;
        (sealed.first_chunk() == Some(&kept.name)).then(|| Arc::clone(&kept.record))
    }

    /// Keeps what a row was written with, if it was kept before: somebody reads it again and again. What is written for the first time may never be read.
    pub(crate) fn renew(&self, place: (Table, Bytes), sealed: &[u8], record: &Opened) {
        let is_kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).rows.contains_key(&place);
        if is_kept {
            self.keep(place, sealed, record);
        }
    }

    /// Keeps what a sealed value was opened to.
    pub(crate) fn keep(&self, place: (Table, Bytes), sealed: &[u8], record: &Opened) {
        let Some(name) = sealed.first_chunk().copied().filter(|_| sealed.len() <= RECORD_BYTES_MAX) else { return };
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.bytes.saturating_add(sealed.len()) > BYTES_MAX {
            *state = State::default();
        }
        let kept = Kept { name, bytes: sealed.len(), record: Arc::clone(record) };
        let before = state.rows.insert(place, kept).map_or(0, |before| before.bytes);
        state.bytes = state.bytes.saturating_sub(before).saturating_add(sealed.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(key: &'static [u8]) -> (Table, Bytes) {
        (Table("t"), Bytes::from_static(key))
    }

    fn text(record: &Opened) -> &str {
        record.downcast_ref::<String>().unwrap()
    }

    #[test]
    fn only_the_same_value_of_the_same_row_is_known() {
        let cache = RecordCache::default();
        let first: Opened = Arc::new("first".to_owned());
        let sealed = [[1_u8; RECORD_NAME_BYTES].as_slice(), b"rest"].concat();
        cache.keep(place(b"a"), &sealed, &first);
        assert_eq!(text(&cache.get(&place(b"a"), &sealed).unwrap()), "first");
        assert!(
            cache.get(&place(b"b"), &sealed).is_none(),
            "a value that was moved to another row must be opened there, where it does not open"
        );
        let other = [[2_u8; RECORD_NAME_BYTES].as_slice(), b"rest"].concat();
        assert!(cache.get(&place(b"a"), &other).is_none());
        assert!(cache.get(&place(b"a"), b"short").is_none());
    }

    #[test]
    fn only_a_row_that_is_kept_is_renewed() {
        let cache = RecordCache::default();
        let (first, second): (Opened, Opened) = (Arc::new("first".to_owned()), Arc::new("second".to_owned()));
        let (old, new) = ([1_u8; RECORD_NAME_BYTES], [2_u8; RECORD_NAME_BYTES]);
        cache.renew(place(b"a"), &old, &first);
        assert!(cache.get(&place(b"a"), &old).is_none());
        cache.keep(place(b"a"), &old, &first);
        cache.renew(place(b"a"), &new, &second);
        assert_eq!(text(&cache.get(&place(b"a"), &new).unwrap()), "second");
        assert!(cache.get(&place(b"a"), &old).is_none());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let cache = RecordCache::default();
        let record: Opened = Arc::new(String::new());
        let sealed = vec![7_u8; RECORD_BYTES_MAX];
        for number in 0..1_000_u32 {
            cache.keep((Table("t"), Bytes::copy_from_slice(&number.to_be_bytes())), &sealed, &record);
        }
        let (bytes, rows) = {
            let state = cache.0.lock().unwrap();
            (state.bytes, state.rows.len())
        };
        assert!(rows > 0 && bytes <= BYTES_MAX && bytes == rows * RECORD_BYTES_MAX, "{rows} rows, {bytes} bytes");
        cache.keep(place(b"large"), &vec![7; RECORD_BYTES_MAX + 1], &record);
        assert!(cache.get(&place(b"large"), &vec![7; RECORD_BYTES_MAX + 1]).is_none());
    }
}
