//! Parquet files of JSON rows, for DuckDB, Athena and their like to read.
//!
//! It writes, and reads nothing. One data page per column and row group, values plain, levels run-length encoded, pages under gzip: the part
//! of the format that every reader knows. (The `parquet` crate brings 48 packages for what is a few hundred lines here.)
//!
//! Invariants:
//! 1. Every column is optional: a value that is missing, or of another kind than its column, is null and never an error.
//! 2. A file is bounded: [`ROWS_MAX`] rows, [`BYTES_MAX`] bytes.
//!
//! Source: Apache Parquet format specification (`parquet.thrift`, "Encodings", "Nested Encoding"); Apache Thrift compact protocol.

mod column;
mod file;
mod schema;
mod thrift;

pub use file::{BYTES_MAX, ColumnarError, ROWS_MAX, write};
pub use schema::{Field, Kind};
