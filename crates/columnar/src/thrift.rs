//! The compact protocol of Thrift, as far as Parquet's footers need it.

/// Type of a field or an item.
#[derive(Clone, Copy)]
pub(crate) enum Type {
    I32 = 5,
    I64 = 6,
    Binary = 8,
    List = 9,
    Struct = 12,
}

/// Writes structures, innermost last.
#[derive(Default)]
pub(crate) struct Writer {
    pub bytes: Vec<u8>,
    /// The last field's id of each open structure.
    last: Vec<i16>,
}

impl Writer {
    pub(crate) fn begin(&mut self) {
        self.last.push(0);
    }

    pub(crate) fn end(&mut self) {
        self.bytes.push(0);
        self.last.pop();
    }

    fn varint(&mut self, mut value: u64) {
        loop {
            let low = u8::try_from(value & 0x7F).unwrap_or_default();
            value >>= 7;
            if value == 0 {
                self.bytes.push(low);
                return;
            }
            self.bytes.push(low | 0x80);
        }
    }

    fn zigzag(&mut self, value: i64) {
        self.varint(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    /// Header of a field. Ids grow by at most fifteen here.
    fn field(&mut self, id: i16, kind: Type) {
        let last = self.last.last_mut();
        let delta = last.as_ref().map_or(id, |last| id - **last);
        if let Some(last) = last {
            *last = id;
        }
        self.bytes.push((u8::try_from(delta).unwrap_or_default() << 4) | kind as u8);
    }

    pub(crate) fn i32(&mut self, id: i16, value: i32) {
        self.field(id, Type::I32);
        self.zigzag(i64::from(value));
    }

    pub(crate) fn i64(&mut self, id: i16, value: i64) {
        self.field(id, Type::I64);
        self.zigzag(value);
    }

    pub(crate) fn text(&mut self, id: i16, value: &str) {
        self.field(id, Type::Binary);
        self.item_text(value);
    }

    pub(crate) fn item_text(&mut self, value: &str) {
        self.varint(value.len() as u64);
        self.bytes.extend_from_slice(value.as_bytes());
    }

    pub(crate) fn item_i32(&mut self, value: i32) {
        self.zigzag(i64::from(value));
    }

    pub(crate) fn begin_struct(&mut self, id: i16) {
        self.field(id, Type::Struct);
        self.begin();
    }

    pub(crate) fn list(&mut self, id: i16, kind: Type, length: usize) {
        self.field(id, Type::List);
        match u8::try_from(length) {
            Ok(short) if short < 15 => self.bytes.push((short << 4) | kind as u8),
            _ => {
                self.bytes.push(0xF0 | kind as u8);
                self.varint(length as u64);
            }
        }
    }
}
