//! Checksums and digests of object bytes: which a request declares, how they are computed while the bytes pass, how parts combine.
//!
//! Source: S3 User Guide, "Checking object integrity for data uploads in Amazon S3".

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderMap;
use md5::{Digest as _, Md5};
use plane::ApiError;
use serde::{Deserialize, Serialize};
use wire::Value;

use crate::error::{invalid_request, not_implemented};

/// The checksums that are computed. XXHash, SHA-512 and MD5 as checksum algorithms are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    Crc32,
    Crc32c,
    Crc64nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    pub(crate) const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64nvme, Self::Sha1, Self::Sha256];

    /// `CRC32`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    pub(crate) fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// Reads `CRC32`; known algorithms that are not computed here are refused.
    pub(crate) fn parse(name: &str) -> Result<Self, ApiError> {
        let upper = name.to_ascii_uppercase();
        if let Some(found) = Self::ALL.into_iter().find(|algorithm| algorithm.name() == upper) {
            return Ok(found);
        }
        if ["SHA512", "MD5", "XXHASH64", "XXHASH3", "XXHASH128"].contains(&upper.as_str()) {
            return Err(not_implemented(&format!("x-amz-checksum-{}", upper.to_ascii_lowercase())));
        }
        Err(invalid_request(
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]",
        ))
    }

    /// Whether checksums of parts can be combined to that of the whole.
    pub(crate) fn is_crc(self) -> bool {
        matches!(self, Self::Crc32 | Self::Crc32c | Self::Crc64nvme)
    }
}

/// What the request says that the checksum will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Declared {
    Nothing,
    /// Base64, in a header.
    Value(Algorithm, String),
    /// It will come as a trailer.
    Trailer(Algorithm),
}

impl Declared {
    pub(crate) fn algorithm(&self) -> Option<Algorithm> {
        match self {
            Self::Nothing => None,
            Self::Value(algorithm, _) | Self::Trailer(algorithm) => Some(*algorithm),
        }
    }
}

/// Reads the checksum headers of an upload.
pub(crate) fn declared(headers: &HeaderMap) -> Result<Declared, ApiError> {
    let mut found = Vec::new();
    for name in headers.keys().map(http::HeaderName::as_str) {
        let Some(algorithm) = name.strip_prefix("x-amz-checksum-") else { continue };
        if matches!(algorithm, "algorithm" | "type" | "mode") {
            continue;
        }
        let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        found.push(Declared::Value(Algorithm::parse(algorithm)?, value.trim().to_owned()));
    }
    if let Some(trailer) = headers.get("x-amz-trailer").and_then(|value| value.to_str().ok()) {
        for name in trailer.split(',').map(|name| name.trim().to_ascii_lowercase()) {
            let Some(algorithm) = name.strip_prefix("x-amz-checksum-") else {
                return Err(invalid_request("The value specified in the x-amz-trailer header is not supported"));
            };
            found.push(Declared::Trailer(Algorithm::parse(algorithm)?));
        }
    }
    if found.len() > 1 {
        return Err(invalid_request("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."));
    }
    let declared = found.pop().unwrap_or(Declared::Nothing);
    if let Declared::Value(algorithm, value) = &declared {
        check_form(*algorithm, value)?;
    }
    if let Some(wanted) = headers.get("x-amz-sdk-checksum-algorithm").and_then(|value| value.to_str().ok()) {
        match declared.algorithm() {
            None => {
                return Err(invalid_request(
                    "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.",
                ));
            }
            Some(algorithm) if !algorithm.name().eq_ignore_ascii_case(wanted) => {
                return Err(invalid_request("Value for x-amz-sdk-checksum-algorithm header is invalid."));
            }
            Some(_) => {}
        }
    }
    Ok(declared)
}

/// Whether a text is a checksum of this algorithm at all.
pub(crate) fn check_form(algorithm: Algorithm, value: &str) -> Result<(), ApiError> {
    if BASE64.decode(value).is_ok_and(|bytes| bytes.len() == algorithm.bytes()) {
        return Ok(());
    }
    Err(invalid_request(format!("Value for {} header is invalid.", algorithm.header())))
}

pub(crate) fn mismatch(algorithm: Algorithm) -> ApiError {
    ApiError::new("BadDigest", format!("The {} you specified did not match the calculated checksum.", algorithm.name()))
}

/// Reads `Content-MD5`.
pub(crate) fn content_md5(header: Option<&str>) -> Result<Option<[u8; 16]>, ApiError> {
    let Some(header) = header else { return Ok(None) };
    let digest = BASE64.decode(header.trim()).ok().and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    digest.map(Some).ok_or_else(|| {
        ApiError::new("InvalidDigest", "The Content-MD5 you specified was invalid.")
            .with_member("Content-MD5", Value::Str(header.to_owned()))
    })
}

/// Computes a checksum over bytes as they pass.
pub(crate) enum Summing {
    Crc32(crc32fast::Hasher),
    Crc32c(u32),
    Crc64nvme(crc64fast_nvme::Digest),
    Sha(digest::Context),
}

impl Summing {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Crc32 => Self::Crc32(crc32fast::Hasher::new()),
            Algorithm::Crc32c => Self::Crc32c(0),
            Algorithm::Crc64nvme => Self::Crc64nvme(crc64fast_nvme::Digest::new()),
            Algorithm::Sha1 => Self::Sha(digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY)),
            Algorithm::Sha256 => Self::Sha(digest::Context::new(&digest::SHA256)),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc32(hasher) => hasher.update(bytes),
            Self::Crc32c(crc) => *crc = crc32c::crc32c_append(*crc, bytes),
            Self::Crc64nvme(digest) => digest.write(bytes),
            Self::Sha(context) => context.update(bytes),
        }
    }

    /// The raw checksum, most significant byte first.
    pub(crate) fn finish(self) -> Vec<u8> {
        match self {
            Self::Crc32(hasher) => hasher.finalize().to_be_bytes().to_vec(),
            Self::Crc32c(crc) => crc.to_be_bytes().to_vec(),
            Self::Crc64nvme(digest) => digest.sum64().to_be_bytes().to_vec(),
            Self::Sha(context) => context.finish().as_ref().to_vec(),
        }
    }
}

/// Everything that is computed over an upload's bytes.
pub(crate) struct Digests {
    md5: Option<Md5>,
    algorithm: Algorithm,
    sum: Summing,
    also: Option<(Algorithm, Summing)>,
}

/// The results.
#[derive(Clone, Debug)]
pub(crate) struct Digested {
    /// Hex; only when it was asked for.
    pub md5: Option<[u8; 16]>,
    pub algorithm: Algorithm,
    /// Base64.
    pub checksum: String,
    /// A second checksum, only to be compared.
    pub also: Option<(Algorithm, String)>,
}

impl Digests {
    /// MD5 costs more than everything else together, so it is computed only where it is needed.
    pub(crate) fn new(with_md5: bool, algorithm: Algorithm) -> Self {
        Self { md5: with_md5.then(Md5::new), algorithm, sum: Summing::new(algorithm), also: None }
    }

    /// Computes a second checksum, of what the request declares beside what is kept.
    pub(crate) fn also(&mut self, algorithm: Option<Algorithm>) {
        self.also = algorithm.map(|algorithm| (algorithm, Summing::new(algorithm)));
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        self.sum.update(bytes);
        if let Some((_, sum)) = &mut self.also {
            sum.update(bytes);
        }
    }

    pub(crate) fn finish(self) -> Digested {
        Digested {
            md5: self.md5.map(|md5| md5.finalize().into()),
            algorithm: self.algorithm,
            checksum: BASE64.encode(self.sum.finish()),
            also: self.also.map(|(algorithm, sum)| (algorithm, BASE64.encode(sum.finish()))),
        }
    }
}

impl Digested {
    /// Compares with what the request declared; `trailer` is the value that came behind the body.
    pub(crate) fn verify(&self, content_md5: Option<[u8; 16]>, declared: &Declared, trailer: Option<&str>) -> Result<(), ApiError> {
        if let Some(expected) = content_md5
            && self.md5 != Some(expected)
        {
            return Err(ApiError::new("BadDigest", "The Content-MD5 you specified did not match what we received.")
                .with_member("ExpectedDigest", Value::Str(hex::encode(expected)))
                .with_member("CalculatedDigest", Value::Str(self.md5.map(hex::encode).unwrap_or_default())));
        }
        let (algorithm, value) = match declared {
            Declared::Nothing => return Ok(()),
            Declared::Value(algorithm, value) => (*algorithm, value.as_str()),
            Declared::Trailer(algorithm) => {
                let value = trailer.ok_or_else(|| {
                    ApiError::new(
                        "MalformedTrailerError",
                        "The request contained trailing data that was not well-formed or did not conform to our published schema.",
                    )
                })?;
                check_form(*algorithm, value)?;
                (*algorithm, value)
            }
        };
        let is_kept = algorithm == self.algorithm && value == self.checksum;
        let is_compared = self.also.as_ref().is_some_and(|(also, checksum)| *also == algorithm && checksum == value);
        if is_kept || is_compared { Ok(()) } else { Err(mismatch(algorithm)) }
    }
}

/// Checksum over the raw checksums of the parts, with their count: `COMPOSITE`.
pub(crate) fn composite<'a>(algorithm: Algorithm, parts: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut sum = Summing::new(algorithm);
    let mut count = 0_u32;
    for part in parts {
        sum.update(&BASE64.decode(part).ok()?);
        count += 1;
    }
    Some(format!("{}-{count}", BASE64.encode(sum.finish())))
}

/// Checksum of the whole out of those of the parts and their lengths: `FULL_OBJECT`, for CRCs only.
pub(crate) fn full_object<'a>(algorithm: Algorithm, parts: impl Iterator<Item = (&'a str, u64)>) -> Option<String> {
    let polynomial = match algorithm {
        Algorithm::Crc32 => CRC32,
        Algorithm::Crc32c => CRC32C,
        Algorithm::Crc64nvme => CRC64_NVME,
        Algorithm::Sha1 | Algorithm::Sha256 => return None,
    };
    let mut whole = 0_u64;
    for (part, length) in parts {
        let raw = BASE64.decode(part).ok()?;
        let part = raw.iter().fold(0_u64, |crc, byte| crc << 8 | u64::from(*byte));
        whole = combine(polynomial, whole, part, length);
    }
    let bytes = whole.to_be_bytes();
    Some(BASE64.encode(bytes.get(8 - algorithm.bytes()..)?))
}

/// Reflected polynomials.
const CRC32: u64 = 0xEDB8_8320;
const CRC32C: u64 = 0x82F6_3B78;
const CRC64_NVME: u64 = 0x9A6C_9329_AC4B_C9B5;

/// CRC of two runs of bytes one after the other, from their CRCs and the length of the second: the first is moved over `length` zero
/// bytes, in O(log length) matrix squarings over GF(2). Start value and final inversion cancel out.
fn combine(polynomial: u64, first: u64, second: u64, length: u64) -> u64 {
    // The operator that moves a reflected CRC over one zero bit.
    let mut operator = [0_u64; 64];
    for (bit, row) in operator.iter_mut().enumerate() {
        *row = if bit == 0 { polynomial } else { 1 << (bit - 1) };
    }
    // One zero byte is eight zero bits.
    for _ in 0..3 {
        operator = square(&operator);
    }
    let mut moved = first;
    let mut rest = length;
    while rest != 0 {
        if rest & 1 == 1 {
            moved = times(&operator, moved);
        }
        operator = square(&operator);
        rest >>= 1;
    }
    moved ^ second
}

fn times(matrix: &[u64; 64], vector: u64) -> u64 {
    matrix.iter().enumerate().filter(|(bit, _)| vector >> bit & 1 == 1).fold(0, |sum, (_, row)| sum ^ row)
}

fn square(matrix: &[u64; 64]) -> [u64; 64] {
    matrix.map(|row| times(matrix, row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(algorithm: Algorithm, bytes: &[u8]) -> String {
        let mut digests = Digests::new(false, algorithm);
        digests.update(bytes);
        digests.finish().checksum
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn check_values_of_the_catalogue() {
        let hex = |algorithm| hex::encode(BASE64.decode(sum(algorithm, b"123456789")).unwrap());
        assert_eq!(hex(Algorithm::Crc32), "cbf43926");
        assert_eq!(hex(Algorithm::Crc32c), "e3069283");
        assert_eq!(hex(Algorithm::Crc64nvme), "ae8b14860a799888");
        assert_eq!(hex(Algorithm::Sha1), "f7c3bc1d808e04732adf679965ccc34ca7ae3441");
        assert_eq!(hex(Algorithm::Sha256), "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225");
    }

    #[test]
    fn md5_is_computed_when_it_is_needed() {
        let mut digests = Digests::new(true, Algorithm::Crc32);
        digests.update(b"abc");
        let digested = digests.finish();
        assert_eq!(digested.md5.map(hex::encode).as_deref(), Some("900150983cd24fb0d6963f7d28e17f72"));
        assert!(digested.verify(content_md5(Some("kAFQmDzST7DWlj99KOF/cg==")).unwrap(), &Declared::Nothing, None).is_ok());
        assert_eq!(digested.verify(Some([0; 16]), &Declared::Nothing, None).unwrap_err().code, "BadDigest");
        assert_eq!(content_md5(Some("short")).unwrap_err().code, "InvalidDigest");
    }

    #[test]
    fn a_request_declares_at_most_one_checksum() {
        assert_eq!(declared(&headers(&[])).unwrap(), Declared::Nothing);
        assert_eq!(
            declared(&headers(&[("x-amz-checksum-crc32", "y/Q5Jg==")])).unwrap(),
            Declared::Value(Algorithm::Crc32, "y/Q5Jg==".to_owned())
        );
        assert_eq!(
            declared(&headers(&[("x-amz-trailer", "x-amz-checksum-crc64nvme"), ("x-amz-sdk-checksum-algorithm", "CRC64NVME")])).unwrap(),
            Declared::Trailer(Algorithm::Crc64nvme)
        );
        let refused: [&[(&str, &str)]; 5] = [
            &[("x-amz-checksum-crc32", "AAAAAA=="), ("x-amz-checksum-sha1", "AAAA")],
            &[("x-amz-checksum-crc32", "no")],
            &[("x-amz-sdk-checksum-algorithm", "CRC32")],
            &[("x-amz-trailer", "x-amz-meta-a")],
            &[("x-amz-trailer", "x-amz-checksum-crc32"), ("x-amz-sdk-checksum-algorithm", "SHA1")],
        ];
        for pairs in refused {
            let map: HeaderMap =
                pairs.iter().map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap())).collect();
            assert_eq!(declared(&map).unwrap_err().code, "InvalidRequest", "{pairs:?}");
        }
        assert_eq!(declared(&headers(&[("x-amz-checksum-xxhash64", "AAAA")])).unwrap_err().code, "NotImplemented");
    }

    #[test]
    fn declared_checksums_are_compared() {
        let mut digests = Digests::new(false, Algorithm::Crc32);
        digests.update(b"123456789");
        let digested = digests.finish();
        assert!(digested.verify(None, &Declared::Value(Algorithm::Crc32, "y/Q5Jg==".to_owned()), None).is_ok());
        assert!(digested.verify(None, &Declared::Trailer(Algorithm::Crc32), Some("y/Q5Jg==")).is_ok());
        assert_eq!(digested.verify(None, &Declared::Trailer(Algorithm::Crc32), None).unwrap_err().code, "MalformedTrailerError");
        assert_eq!(digested.verify(None, &Declared::Trailer(Algorithm::Crc32), Some("AAAAAA==")).unwrap_err().code, "BadDigest");
        assert_eq!(digested.verify(None, &Declared::Value(Algorithm::Crc32, "AAAAAA==".to_owned()), None).unwrap_err().code, "BadDigest");
    }

    proptest! {
        #[test]
        fn checksums_of_parts_combine_to_that_of_the_whole(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..6)) {
            for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64nvme] {
                let sums: Vec<(String, u64)> = parts.iter().map(|part| (sum(algorithm, part), part.len() as u64)).collect();
                let combined = full_object(algorithm, sums.iter().map(|(sum, length)| (sum.as_str(), *length)));
                prop_assert_eq!(combined, Some(sum(algorithm, &parts.concat())));
            }
        }
    }

    #[test]
    fn composite_checksums_name_their_parts() {
        let parts = [sum(Algorithm::Sha256, b"a"), sum(Algorithm::Sha256, b"b")];
        let mut raw = BASE64.decode(&parts[0]).unwrap();
        raw.extend(BASE64.decode(&parts[1]).unwrap());
        assert_eq!(composite(Algorithm::Sha256, parts.iter().map(String::as_str)), Some(format!("{}-2", sum(Algorithm::Sha256, &raw))));
        assert_eq!(full_object(Algorithm::Sha256, std::iter::empty()), None);
    }
}
