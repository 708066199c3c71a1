//! Numbers in as few bytes as they need (LEB128).

/// Longest form of a `u64`.
const LENGTH_LIMIT: u32 = 10;

pub(crate) fn push(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            bytes.push(low & 0x7F);
            return;
        }
        bytes.push(low | 0x80);
    }
}

/// The number in front, and what follows it.
pub(crate) fn take(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (mut number, mut rest) = (0_u64, bytes);
    for place in 0..LENGTH_LIMIT {
        let (byte, after) = rest.split_first()?;
        rest = after;
        number |= u64::from(byte & 0x7F).checked_shl(7 * place)?;
        if byte & 0x80 == 0 {
            return Some((number, rest));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_read_back(numbers in proptest::collection::vec(any::<u64>(), 0..20)) {
            let mut bytes = Vec::new();
            for number in &numbers {
                push(&mut bytes, *number);
            }
            let mut rest = bytes.as_slice();
            for number in numbers {
                let (read, after) = take(rest).unwrap();
                prop_assert_eq!(read, number);
                rest = after;
            }
            prop_assert!(rest.is_empty() && take(rest).is_none());
        }

        #[test]
        fn any_bytes_are_a_number_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            let _ = take(&bytes);
        }
    }
}
