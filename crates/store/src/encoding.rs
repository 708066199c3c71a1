//! The stored bytes of rows and log rows. The layout is in the crate documentation.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::{Batch, LogRow, Revision, StoreError, Versioned, Write};

const LOG_ROW_VERSION: u8 = 1;

/// `table | 0x00 | key`: rows of one table stand together, in key order.
pub(crate) fn row_key(table: &str, key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(table.len() + 1 + key.len());
    out.extend_from_slice(table.as_bytes());
    out.push(0);
    out.extend_from_slice(key);
    out
}

/// The first key behind every row of the table.
pub(crate) fn table_end(table: &str) -> Vec<u8> {
    let mut out = table.as_bytes().to_vec();
    out.push(1);
    out
}

pub(crate) fn split_row_key(stored: &[u8]) -> Result<(&str, &[u8]), StoreError> {
    let damaged = || StoreError::Corrupt("a row key names no table".to_owned());
    let zero = stored.iter().position(|byte| *byte == 0).ok_or_else(damaged)?;
    let (table, key) = stored.split_at_checked(zero).ok_or_else(damaged)?;
    let table = std::str::from_utf8(table).map_err(|_| damaged())?;
    Ok((table, key.get(1..).unwrap_or_default()))
}

pub(crate) fn row_value(version: Revision, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + value.len());
    out.extend_from_slice(&version.0.to_be_bytes());
    out.extend_from_slice(value);
    out
}

pub(crate) fn split_row_value(stored: &[u8]) -> Result<(Revision, &[u8]), StoreError> {
    let (version, value) =
        stored.split_first_chunk::<8>().ok_or_else(|| StoreError::Corrupt("a row is shorter than its version".to_owned()))?;
    Ok((Revision(u64::from_be_bytes(*version)), value))
}

pub(crate) fn versioned(stored: &[u8]) -> Result<Versioned, StoreError> {
    let (version, value) = split_row_value(stored)?;
    Ok(Versioned { version, value: Bytes::copy_from_slice(value) })
}

/// The log row that a batch leaves at `revision`.
pub(crate) fn log_row(revision: Revision, batch: &Batch) -> LogRow {
    LogRow { revision, entries: batch.log.clone(), changed: changed(batch) }
}

/// Table and key of each write of a batch.
pub(crate) fn changed(batch: &Batch) -> Vec<(String, Bytes)> {
    let changed = batch.writes.iter().map(|write| {
        let (Write::Put { table, key, .. } | Write::Delete { table, key }) = write;
        (table.0.to_owned(), key.clone())
    });
    changed.collect()
}

fn length_u32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

pub(crate) fn encode_log_row(row: &LogRow) -> Vec<u8> {
    let bytes: usize = row.entries.iter().map(|entry| entry.len() + 4).sum::<usize>()
        + row.changed.iter().map(|(table, key)| table.len() + key.len() + 5).sum::<usize>();
    let mut out = BytesMut::with_capacity(bytes + 9);
    out.put_u8(LOG_ROW_VERSION);
    out.put_u32(length_u32(row.entries.len()));
    for entry in &row.entries {
        out.put_u32(length_u32(entry.len()));
        out.put_slice(entry);
    }
    out.put_u32(length_u32(row.changed.len()));
    for (table, key) in &row.changed {
        out.put_u8(u8::try_from(table.len()).unwrap_or(u8::MAX));
        out.put_slice(table.as_bytes());
        out.put_u32(length_u32(key.len()));
        out.put_slice(key);
    }
    out.into()
}

pub(crate) fn decode_log_row(revision: Revision, stored: &[u8]) -> Result<LogRow, StoreError> {
    decode_log_row_parts(revision, stored).ok_or_else(|| StoreError::Corrupt(format!("log row `{}` cannot be read", revision.0)))
}

/// One entry of a stored log row, without decoding the others.
pub(crate) fn log_row_entry(revision: Revision, stored: &[u8], index: u32) -> Result<Option<Bytes>, StoreError> {
    let damaged = || StoreError::Corrupt(format!("log row `{}` cannot be read", revision.0));
    let (mut bytes, index) = (stored, usize::try_from(index).unwrap_or(usize::MAX));
    let rest = &mut bytes;
    if take(rest, 1) != Some(&[LOG_ROW_VERSION]) {
        return Err(damaged());
    }
    if take_u32(rest).ok_or_else(damaged)? <= index {
        return Ok(None);
    }
    for _ in 0..index {
        let length = take_u32(rest).ok_or_else(damaged)?;
        take(rest, length).ok_or_else(damaged)?;
    }
    let length = take_u32(rest).ok_or_else(damaged)?;
    take(rest, length).map(|entry| Some(Bytes::copy_from_slice(entry))).ok_or_else(damaged)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, tail) = bytes.split_at_checked(length)?;
    *bytes = tail;
    Some(head)
}

fn take_u32(bytes: &mut &[u8]) -> Option<usize> {
    let mut head = take(bytes, 4)?;
    usize::try_from(head.get_u32()).ok()
}

fn decode_log_row_parts(revision: Revision, stored: &[u8]) -> Option<LogRow> {
    // Copied once as a whole: a row has dozens of entries, and each is a part of it.
    let whole = Bytes::copy_from_slice(stored);
    let mut bytes = whole.as_ref();
    let rest = &mut bytes;
    if take(rest, 1)? != [LOG_ROW_VERSION] {
        return None;
    }
    // Counts come from the file: nothing is allocated by them, each item must be there.
    let mut entries = Vec::new();
    for _ in 0..take_u32(rest)? {
        let length = take_u32(rest)?;
        entries.push(whole.slice_ref(take(rest, length)?));
    }
    let mut changed = Vec::new();
    for _ in 0..take_u32(rest)? {
        let length = usize::from(*take(rest, 1)?.first()?);
        let table = std::str::from_utf8(take(rest, length)?).ok()?.to_owned();
        let length = take_u32(rest)?;
        changed.push((table, Bytes::copy_from_slice(take(rest, length)?)));
    }
    rest.is_empty().then_some(LogRow { revision, entries, changed })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn log_rows_come_back(entries: Vec<Vec<u8>>, changed in proptest::collection::vec(("[a-z]{1,20}", any::<Vec<u8>>()), 0..5)) {
            let row = LogRow {
                revision: Revision(7),
                entries: entries.into_iter().map(Bytes::from).collect(),
                changed: changed.into_iter().map(|(table, key)| (table, Bytes::from(key))).collect(),
            };
            let stored = encode_log_row(&row);
            for index in 0..6 {
                let entry = log_row_entry(Revision(7), &stored, index).unwrap();
                prop_assert_eq!(entry.as_ref(), row.entries.get(usize::try_from(index).unwrap()));
            }
            prop_assert_eq!(decode_log_row(Revision(7), &stored).unwrap(), row);
            for length in 0..stored.len() {
                prop_assert!(decode_log_row(Revision(7), &stored[..length]).is_err());
            }
        }

        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            let _ = decode_log_row(Revision(1), &bytes);
            let _ = log_row_entry(Revision(1), &bytes, 3);
            let _ = split_row_key(&bytes);
            let _ = versioned(&bytes);
        }
    }
}
