//! The file: magic, pages, footer.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value as Json;

use crate::column::{self, Column, Physical};
use crate::schema::{Field, Kind};
use crate::thrift::{Type, Writer};

/// Rows of one file.
pub const ROWS_MAX: usize = 1_000_000;
/// Bytes of one file.
pub const BYTES_MAX: usize = 1024 * 1024 * 1024;
/// Rows of one row group.
const GROUP_ROWS: usize = 50_000;
const MAGIC: &[u8; 4] = b"PAR1";
/// Codes of the format.
const PLAIN: i32 = 0;
const RLE: i32 = 3;
const GZIP: i32 = 2;
const OPTIONAL: i32 = 1;
const REPEATED: i32 = 2;
const REQUIRED: i32 = 0;
const UTF8: i32 = 0;
const MAP: i32 = 1;
const LIST: i32 = 3;

/// The rows cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ColumnarError {
    #[error("a file has at most {ROWS_MAX} rows")]
    Rows,
    #[error("a file has at most {BYTES_MAX} bytes")]
    Bytes,
    #[error("a page cannot be compressed: {0}")]
    Compression(#[from] std::io::Error),
}

/// A column chunk that is written.
struct Chunk {
    offset: usize,
    values: usize,
    compressed: usize,
    plain: usize,
}

/// The Parquet file of the rows.
pub fn write(fields: &[Field], rows: &[Json]) -> Result<Vec<u8>, ColumnarError> {
    if rows.len() > ROWS_MAX {
        return Err(ColumnarError::Rows);
    }
    let mut file = MAGIC.to_vec();
    let mut groups: Vec<(usize, Vec<Chunk>)> = Vec::new();
    let shape = column::columns(fields);
    for group in rows.chunks(GROUP_ROWS) {
        let mut columns = column::columns(fields);
        for row in group {
            column::add_row(fields, row, &mut columns);
        }
        let mut chunks = Vec::with_capacity(columns.len());
        for column in &columns {
            chunks.push(page(&mut file, column)?);
            if file.len() > BYTES_MAX {
                return Err(ColumnarError::Bytes);
            }
        }
        groups.push((group.len(), chunks));
    }
    let footer = footer(fields, &shape, rows.len(), &groups);
    file.extend_from_slice(&footer);
    file.extend_from_slice(&u32::try_from(footer.len()).map_err(|_| ColumnarError::Bytes)?.to_le_bytes());
    file.extend_from_slice(MAGIC);
    Ok(file)
}

fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn short(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

fn page(file: &mut Vec<u8>, column: &Column) -> Result<Chunk, ColumnarError> {
    let mut plain = Vec::with_capacity(column.values.len() + column.definitions.len() / 4);
    if column.max_repetition > 0 {
        levels(&column.repetitions, &mut plain);
    }
    if column.max_definition > 0 {
        levels(&column.definitions, &mut plain);
    }
    if column.physical == Physical::Boolean {
        for eight in column.values.chunks(8) {
            plain.push(eight.iter().enumerate().fold(0, |byte, (at, value)| byte | (value << at)));
        }
    } else {
        plain.extend_from_slice(&column.values);
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::default());
    encoder.write_all(&plain)?;
    let compressed = encoder.finish()?;
    let mut header = Writer::default();
    header.begin();
    header.i32(1, 0);
    header.i32(2, short(plain.len()));
    header.i32(3, short(compressed.len()));
    header.begin_struct(5);
    header.i32(1, short(column.definitions.len()));
    header.i32(2, PLAIN);
    header.i32(3, RLE);
    header.i32(4, RLE);
    header.end();
    header.end();
    let offset = file.len();
    file.extend_from_slice(&header.bytes);
    file.extend_from_slice(&compressed);
    Ok(Chunk {
        offset,
        values: column.definitions.len(),
        compressed: header.bytes.len() + compressed.len(),
        plain: header.bytes.len() + plain.len(),
    })
}

/// Levels as runs, behind their length. Levels here are below 256: one byte each.
fn levels(levels: &[u8], out: &mut Vec<u8>) {
    let mut runs = Vec::new();
    for run in levels.chunk_by(|left, right| left == right) {
        let mut header = (run.len() as u64) << 1;
        while header >= 0x80 {
            runs.push(u8::try_from(header & 0x7F).unwrap_or_default() | 0x80);
            header >>= 7;
        }
        runs.push(u8::try_from(header).unwrap_or_default());
        runs.push(run.first().copied().unwrap_or_default());
    }
    out.extend_from_slice(&u32::try_from(runs.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&runs);
}

fn footer(fields: &[Field], shape: &[Column], rows: usize, groups: &[(usize, Vec<Chunk>)]) -> Vec<u8> {
    let mut schema = Vec::new();
    for field in fields {
        elements(&field.name, &field.kind, &mut schema);
    }
    let mut writer = Writer::default();
    writer.begin();
    writer.i32(1, 1);
    writer.list(2, Type::Struct, schema.len() + 1);
    writer.begin();
    writer.text(4, "event");
    writer.i32(5, short(fields.len()));
    writer.end();
    for element in &schema {
        element.write(&mut writer);
    }
    writer.i64(3, signed(rows));
    writer.list(4, Type::Struct, groups.len());
    for (rows, chunks) in groups {
        row_group(&mut writer, shape, *rows, chunks);
    }
    writer.text(6, concat!("bailiwick version ", env!("CARGO_PKG_VERSION")));
    writer.end();
    writer.bytes
}

fn row_group(writer: &mut Writer, shape: &[Column], rows: usize, chunks: &[Chunk]) {
    writer.begin();
    writer.list(1, Type::Struct, chunks.len());
    for (column, chunk) in shape.iter().zip(chunks) {
        writer.begin();
        writer.i64(2, signed(chunk.offset));
        writer.begin_struct(3);
        writer.i32(1, column.physical as i32);
        writer.list(2, Type::I32, 2);
        writer.item_i32(PLAIN);
        writer.item_i32(RLE);
        writer.list(3, Type::Binary, column.path.len());
        for name in &column.path {
            writer.item_text(name);
        }
        writer.i32(4, GZIP);
        writer.i64(5, signed(chunk.values));
        writer.i64(6, signed(chunk.plain));
        writer.i64(7, signed(chunk.compressed));
        writer.i64(9, signed(chunk.offset));
        writer.end();
        writer.end();
    }
    writer.i64(2, signed(chunks.iter().map(|chunk| chunk.plain).sum()));
    writer.i64(3, signed(rows));
    writer.end();
}

/// A line of the schema.
struct Element {
    name: String,
    physical: Option<Physical>,
    repetition: i32,
    children: usize,
    converted: Option<i32>,
}

impl Element {
    fn write(&self, writer: &mut Writer) {
        writer.begin();
        if let Some(physical) = self.physical {
            writer.i32(1, physical as i32);
        }
        writer.i32(3, self.repetition);
        writer.text(4, &self.name);
        if self.children > 0 {
            writer.i32(5, short(self.children));
        }
        if let Some(converted) = self.converted {
            writer.i32(6, converted);
        }
        writer.end();
    }
}

fn elements(name: &str, kind: &Kind, out: &mut Vec<Element>) {
    let leaf =
        |physical, converted| Element { name: name.to_owned(), physical: Some(physical), repetition: OPTIONAL, children: 0, converted };
    let group =
        |name: &str, repetition, children, converted| Element { name: name.to_owned(), physical: None, repetition, children, converted };
    match kind {
        Kind::Text => out.push(leaf(Physical::ByteArray, Some(UTF8))),
        Kind::Int32 => out.push(leaf(Physical::Int32, None)),
        Kind::Int64 => out.push(leaf(Physical::Int64, None)),
        Kind::Boolean => out.push(leaf(Physical::Boolean, None)),
        Kind::TextMap => {
            out.push(group(name, OPTIONAL, 1, Some(MAP)));
            out.push(group("key_value", REPEATED, 2, None));
            let text = |name: &str, repetition| Element {
                name: name.to_owned(),
                physical: Some(Physical::ByteArray),
                repetition,
                children: 0,
                converted: Some(UTF8),
            };
            out.push(text("key", REQUIRED));
            out.push(text("value", OPTIONAL));
        }
        Kind::List(item) => {
            out.push(group(name, OPTIONAL, 1, Some(LIST)));
            out.push(group("list", REPEATED, 1, None));
            elements("element", item, out);
        }
        Kind::Group(fields) => {
            out.push(group(name, OPTIONAL, fields.len(), None));
            for field in fields {
                elements(&field.name, &field.kind, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn fields() -> Vec<Field> {
        vec![
            Field::new("a", Kind::Text),
            Field::new("b", Kind::List(Box::new(Kind::Group(vec![Field::new("c", Kind::Int32), Field::new("d", Kind::Boolean)])))),
            Field::new("e", Kind::TextMap),
        ]
    }

    #[test]
    fn levels_follow_the_nesting() {
        let mut columns = column::columns(&fields());
        for row in [json!({ "a": "x", "b": [{ "c": 1 }, {}], "e": { "k": "v" } }), json!({ "b": [] }), json!({})] {
            column::add_row(&fields(), &row, &mut columns);
        }
        let shown: Vec<(String, Vec<u8>, Vec<u8>)> =
            columns.iter().map(|column| (column.path.join("."), column.definitions.clone(), column.repetitions.clone())).collect();
        assert_eq!(
            shown,
            [
                ("a".to_owned(), vec![1, 0, 0], vec![0, 0, 0]),
                ("b.list.element.c".to_owned(), vec![4, 3, 1, 0], vec![0, 1, 0, 0]),
                ("b.list.element.d".to_owned(), vec![3, 3, 1, 0], vec![0, 1, 0, 0]),
                ("e.key_value.key".to_owned(), vec![2, 0, 0], vec![0, 0, 0]),
                ("e.key_value.value".to_owned(), vec![3, 0, 0], vec![0, 0, 0]),
            ]
        );
        assert_eq!(columns.iter().map(|column| column.max_definition).collect::<Vec<_>>(), [1, 4, 4, 2, 3]);
    }

    #[test]
    fn a_file_has_its_marks() {
        let file = write(&fields(), &[json!({ "a": "x" })]).unwrap();
        assert!(file.starts_with(MAGIC) && file.ends_with(MAGIC));
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            "[a-z]{0,3}".prop_map(Json::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
                proptest::collection::btree_map("[a-e]", inner, 0..5).prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Columns of one row group agree: as many rows in each, and no level above the column's.
        #[test]
        fn any_rows_make_columns(rows in proptest::collection::vec(any_json(), 0..8)) {
            let mut columns = column::columns(&fields());
            for row in &rows {
                column::add_row(&fields(), row, &mut columns);
            }
            for column in &columns {
                prop_assert_eq!(column.repetitions.split(|level| *level == 0).skip(1).count(), rows.len());
                prop_assert!(column.definitions.iter().all(|level| *level <= column.max_definition));
            }
            prop_assert!(write(&fields(), &rows).is_ok());
        }
    }
}
