//! PEM: base64 between lines that name what it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::CertificateError;

/// Blocks of one text.
const BLOCKS: usize = 20;
/// Bytes of one text.
const TEXT_LIMIT: usize = 256 * 1024;

/// One block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemBlock {
    /// `CERTIFICATE`, `PRIVATE KEY`, ...
    pub label: String,
    pub der: Vec<u8>,
}

/// The blocks of a text, in order; what stands between them is ignored.
pub fn blocks(text: &str) -> Result<Vec<PemBlock>, CertificateError> {
    if text.len() > TEXT_LIMIT {
        return Err(CertificateError::Pem("the text is too long"));
    }
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let (label, after) = after.split_once("-----").ok_or(CertificateError::Pem("a beginning has no end"))?;
        let end = format!("-----END {label}-----");
        let (body, after) = after.split_once(&end).ok_or(CertificateError::Pem("a block has no end"))?;
        if body.contains("Proc-Type:") {
            return Err(CertificateError::Pem("the block is encrypted"));
        }
        let base64: String = body.chars().filter(|character| !character.is_ascii_whitespace()).collect();
        let der = STANDARD.decode(base64).map_err(|_| CertificateError::Pem("a block is not base64"))?;
        found.push(PemBlock { label: label.to_owned(), der });
        if found.len() > BLOCKS {
            return Err(CertificateError::TooMany(BLOCKS));
        }
        rest = after;
    }
    Ok(found)
}

/// The PEM text of a block.
pub fn encode(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blocks_come_in_order_and_text_between_is_ignored() {
        let text = format!("subject=x\n{}\nissuer\n{}", encode("CERTIFICATE", &[1; 70]), encode("PRIVATE KEY", &[2]));
        let found = blocks(&text).unwrap();
        assert_eq!(found.iter().map(|block| block.label.as_str()).collect::<Vec<_>>(), ["CERTIFICATE", "PRIVATE KEY"]);
        assert_eq!(found[0].der, [1; 70]);
        assert!(blocks("-----BEGIN X-----\nAA==\n").is_err());
        assert!(blocks("-----BEGIN X-----\n!\n-----END X-----").is_err());
        assert_eq!(blocks("nothing").unwrap(), []);
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "(-----(BEGIN|END) A-----|[A-Za-z=\n-]{0,9}){0,9}") {
            let _ = blocks(&text);
        }

        #[test]
        fn what_is_written_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(&blocks(&encode("X", &bytes)).unwrap()[0].der, &bytes);
        }
    }
}
