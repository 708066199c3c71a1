//! The picture of a virtual MFA device: its seed as a QR code in a PNG file of one bit a pixel.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use plane::ApiError;
use qrcodegen::{QrCode, QrCodeEcc};

/// Pixels of one module.
const SCALE: usize = 4;
/// White modules around the code.
const BORDER: usize = 4;
const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A];

/// A PNG file that shows `text`.
pub(crate) fn png(text: &str) -> Result<Vec<u8>, ApiError> {
    let code = QrCode::encode_text(text, QrCodeEcc::Low).map_err(|error| ApiError::internal(&error))?;
    let modules = usize::try_from(code.size()).unwrap_or_default();
    let side = modules.saturating_add(2 * BORDER).saturating_mul(SCALE);
    let module = |pixel: usize| i32::try_from(pixel / SCALE).unwrap_or_default().saturating_sub(BORDER_I32);
    let mut rows = Vec::with_capacity(side.saturating_mul(side.div_ceil(8).saturating_add(1)));
    for row in 0..side {
        // No filter.
        rows.push(0);
        for start in (0..side).step_by(8) {
            let bit = |at: usize| {
                let column = start.saturating_add(at);
                // One is white, also beyond the end of the row.
                u8::from(column >= side || !code.get_module(module(column), module(row)))
            };
            rows.push((0..8).fold(0_u8, |byte, at| (byte << 1) | bit(at)));
        }
    }
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&rows).map_err(|error| ApiError::internal(&error))?;
    let packed = packed.finish().map_err(|error| ApiError::internal(&error))?;
    let side = u32::try_from(side).unwrap_or_default().to_be_bytes();
    // Bit depth 1, greyscale, the only methods there are.
    let header = [&side[..], &side[..], &[1, 0, 0, 0, 0]].concat();
    let mut file = SIGNATURE.to_vec();
    for (name, data) in [(*b"IHDR", header.as_slice()), (*b"IDAT", &packed), (*b"IEND", &[])] {
        chunk(&mut file, name, data);
    }
    Ok(file)
}

const BORDER_I32: i32 = 4;

fn chunk(file: &mut Vec<u8>, name: [u8; 4], data: &[u8]) {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&name);
    checksum.update(data);
    file.extend_from_slice(&u32::try_from(data.len()).unwrap_or_default().to_be_bytes());
    file.extend_from_slice(&name);
    file.extend_from_slice(data);
    file.extend_from_slice(&checksum.finalize().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_a_png_with_its_three_chunks() {
        let file = png("otpauth://totp/device@111111111111?secret=JBSWY3DPEHPK3PXP").unwrap();
        assert!(file.starts_with(&SIGNATURE));
        for name in [b"IHDR", b"IDAT", b"IEND"] {
            assert!(file.windows(4).any(|window| window == name));
        }
        assert_eq!(i32::try_from(BORDER).unwrap(), BORDER_I32);
    }
}
