//! Static embeddings of word pieces.

/// Numbers of an embedding.
pub const DIMENSIONS: usize = 64;

const MAGIC: &[u8; 8] = b"BWEMB001";

/// A row of signed bytes and a weight for each piece.
#[derive(Clone, Debug)]
pub struct Embeddings {
    bytes: &'static [u8],
}

/// What a number of a row counts.
const UNIT: f32 = 1.0 / 127.0;
/// Bytes of a row: its numbers and how much the piece says (0 to 255).
const ROW: usize = DIMENSIONS + 1;

impl Embeddings {
    /// Reads the file form; `None` if it is not one of this build.
    pub fn parse(bytes: &'static [u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        (!rest.is_empty() && rest.len().is_multiple_of(ROW)).then_some(Self { bytes: rest })
    }

    /// The rows of some pieces, one behind the other, each of about unit length.
    pub fn rows(&self, pieces: impl Iterator<Item = usize>) -> Vec<f32> {
        let mut out = Vec::with_capacity(pieces.size_hint().0 * DIMENSIONS);
        for piece in pieces {
            let row = self.bytes.get(piece * ROW..piece * ROW + DIMENSIONS).unwrap_or(&[0; DIMENSIONS]);
            out.extend(row.iter().map(|byte| f32::from(byte.cast_signed()) * UNIT));
        }
        out
    }

    /// How much a piece says: 0 for what stands everywhere.
    pub fn weight(&self, piece: usize) -> f32 {
        self.bytes.get(piece * ROW + DIMENSIONS).map_or(0.0, |byte| f32::from(*byte) / 255.0)
    }

    /// The weighted mean of some pieces, of unit length; all zero if there are none.
    pub fn mean(&self, pieces: impl Iterator<Item = usize>) -> [f32; DIMENSIONS] {
        let mut sum = [0.0_f32; DIMENSIONS];
        for piece in pieces {
            let weight = self.weight(piece);
            let row = self.bytes.get(piece * ROW..piece * ROW + DIMENSIONS).unwrap_or_default();
            for (target, byte) in sum.iter_mut().zip(row) {
                *target += f32::from(byte.cast_signed()) * weight;
            }
        }
        let length = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
        if length > 0.0 {
            for value in &mut sum {
                *value /= length;
            }
        }
        sum
    }
}
