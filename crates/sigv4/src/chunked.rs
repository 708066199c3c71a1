//! `aws-chunked` bodies: framing, chunk signatures that chain from the request's signature, and trailers.
//!
//! Source: S3 API reference, "Signature Calculations for the Authorization Header: Transferring a Payload in Multiple Chunks" and
//! "… Including Trailing Headers".

use aws_lc_rs::digest::{Context, SHA256, digest};

use crate::EMPTY_PAYLOAD_SHA256;
use crate::canonical::push_hex;
use crate::key::{Signature, SigningKey};
use crate::reply::Reply;

/// The three forms of an `aws-chunked` body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkedForm {
    /// `STREAMING-AWS4-HMAC-SHA256-PAYLOAD`: every chunk is signed.
    Signed,
    /// `STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER`: every chunk and the trailers are signed.
    SignedTrailer,
    /// `STREAMING-UNSIGNED-PAYLOAD-TRAILER`: only framing and trailers.
    UnsignedTrailer,
}

/// Bounds of what is buffered and accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkLimits {
    /// Longest chunk header line, bytes.
    pub header_bytes: usize,
    /// Largest chunk, bytes.
    pub chunk_bytes: u64,
    /// Longest trailer section, bytes.
    pub trailer_bytes: usize,
}

impl Default for ChunkLimits {
    fn default() -> Self {
        Self { header_bytes: 256, chunk_bytes: 5 << 30, trailer_bytes: 16 * 1024 }
    }
}

/// Why a chunked body is refused.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ChunkError {
    #[error("the chunk header is malformed")]
    MalformedHeader,
    #[error("the chunk header is longer than {limit_bytes} bytes")]
    HeaderTooLong { limit_bytes: usize },
    #[error("the chunk is larger than {limit_bytes} bytes")]
    ChunkTooLarge { limit_bytes: u64 },
    #[error("the chunk does not end where it says")]
    MissingDelimiter,
    #[error("the signature of chunk {number} does not match")]
    ChunkSignature { number: u64, string_to_sign: String, signature_provided: String },
    #[error("the signature of the trailer does not match")]
    TrailerSignature,
    #[error("the trailer is malformed")]
    MalformedTrailer,
    #[error("the trailer is longer than {limit_bytes} bytes")]
    TrailerTooLong { limit_bytes: usize },
    #[error("the body ends before its last chunk")]
    Truncated,
    #[error("there are bytes after the last chunk")]
    ExcessData,
}

impl ChunkError {
    /// The answer of S3.
    pub fn reply(&self) -> Reply {
        let (code, status, message) = match self {
            Self::ChunkSignature { .. } | Self::TrailerSignature => (
                "SignatureDoesNotMatch",
                403,
                "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
            ),
            Self::Truncated => {
                ("IncompleteBody", 400, "You did not provide the number of bytes specified by the Content-Length HTTP header")
            }
            Self::MalformedTrailer | Self::TrailerTooLong { .. } => (
                "MalformedTrailerError",
                400,
                "The request contained trailing data that was not well-formed or did not conform to our published schema.",
            ),
            _ => ("InvalidRequest", 400, "The chunked body of the request is not well-formed."),
        };
        let details = match self {
            Self::ChunkSignature { string_to_sign, signature_provided, .. } => {
                vec![("StringToSign", string_to_sign.clone()), ("SignatureProvided", signature_provided.clone())]
            }
            _ => Vec::new(),
        };
        Reply { code, status, message: message.to_owned(), details }
    }
}

/// What chunk signatures chain from: see [`crate::Claim::chunk_seed`] and [`crate::Signer`].
#[derive(Clone, Debug)]
pub struct ChunkSeed {
    pub(crate) key: SigningKey,
    pub(crate) time: String,
    pub(crate) scope: String,
    pub(crate) signature: Signature,
}

impl ChunkSeed {
    fn chunk_string_to_sign(&self, data_hash: &[u8]) -> Vec<u8> {
        let mut out = self.head("AWS4-HMAC-SHA256-PAYLOAD");
        out.extend_from_slice(EMPTY_PAYLOAD_SHA256.as_bytes());
        out.push(b'\n');
        push_hex(&mut out, data_hash);
        out
    }

    fn trailer_string_to_sign(&self, canonical_trailer: &[u8]) -> Vec<u8> {
        let mut out = self.head("AWS4-HMAC-SHA256-TRAILER");
        push_hex(&mut out, digest(&SHA256, canonical_trailer).as_ref());
        out
    }

    pub(crate) fn event_string_to_sign(&self, header_hash: &[u8], payload_hash: &[u8]) -> Vec<u8> {
        let mut out = self.head("AWS4-HMAC-SHA256-PAYLOAD");
        push_hex(&mut out, header_hash);
        out.push(b'\n');
        push_hex(&mut out, payload_hash);
        out
    }

    fn head(&self, algorithm: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(384);
        for line in [algorithm, &self.time, &self.scope] {
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
        }
        push_hex(&mut out, self.signature.as_bytes());
        out.push(b'\n');
        out
    }
}

fn canonical_trailer(trailers: &[(String, String)]) -> Vec<u8> {
    let mut lines: Vec<_> = trailers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    lines.sort_unstable();
    lines.concat().into_bytes()
}

#[derive(Debug)]
enum State {
    Header,
    Data { left: u64 },
    DataEnd { seen: usize },
    Trailer,
    End,
}

/// Decodes an `aws-chunked` body piece by piece.
///
/// Decoded bytes are handed out before their chunk's signature is known, so that a chunk need not fit in memory: they are **provisional** until
/// [`ChunkedDecoder::finish`] has succeeded. A caller writes them where nobody reads yet and commits afterwards.
/// After an error the decoder stays in error.
pub struct ChunkedDecoder {
    form: ChunkedForm,
    seed: Option<ChunkSeed>,
    limits: ChunkLimits,
    state: State,
    line: Vec<u8>,
    hash: Context,
    announced: Option<String>,
    number: u64,
    decoded_bytes: u64,
    trailer_bytes: usize,
    trailers: Vec<(String, String)>,
    trailer_signature: Option<String>,
    failed: Option<ChunkError>,
}

impl std::fmt::Debug for ChunkedDecoder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ChunkedDecoder").field("form", &self.form).field("state", &self.state).finish_non_exhaustive()
    }
}

impl ChunkedDecoder {
    /// A decoder for one body. `seed` is not used by [`ChunkedForm::UnsignedTrailer`].
    pub fn new(form: ChunkedForm, seed: ChunkSeed, limits: ChunkLimits) -> Self {
        Self {
            seed: (form != ChunkedForm::UnsignedTrailer).then_some(seed),
            form,
            limits,
            state: State::Header,
            line: Vec::new(),
            hash: Context::new(&SHA256),
            announced: None,
            number: 0,
            decoded_bytes: 0,
            trailer_bytes: 0,
            trailers: Vec::new(),
            trailer_signature: None,
            failed: None,
        }
    }

    /// A decoder for [`ChunkedForm::UnsignedTrailer`], which needs no key.
    pub fn unsigned(limits: ChunkLimits) -> Self {
        let seed =
            ChunkSeed { key: SigningKey::derive("", "", "", ""), time: String::new(), scope: String::new(), signature: Signature([0; 32]) };
        Self::new(ChunkedForm::UnsignedTrailer, seed, limits)
    }

    /// Decoded bytes so far; to be compared with `x-amz-decoded-content-length` by the caller.
    pub fn decoded_bytes(&self) -> u64 {
        self.decoded_bytes
    }

    /// Takes the next piece and appends decoded bytes to `out`.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), ChunkError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.advance(input, out).inspect_err(|error| self.failed = Some(error.clone()))
    }

    fn advance(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Result<(), ChunkError> {
        while let Some((&byte, rest)) = input.split_first() {
            match self.state {
                State::Data { left } => {
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    let (data, after) = input.split_at(take);
                    if self.seed.is_some() {
                        self.hash.update(data);
                    }
                    out.extend_from_slice(data);
                    let taken = u64::try_from(take).unwrap_or(u64::MAX);
                    self.decoded_bytes = self.decoded_bytes.saturating_add(taken);
                    input = after;
                    let left = left.saturating_sub(taken);
                    self.state = if left == 0 { State::DataEnd { seen: 0 } } else { State::Data { left } };
                }
                State::DataEnd { seen } => {
                    input = rest;
                    match (seen, byte) {
                        (0, b'\r') => self.state = State::DataEnd { seen: 1 },
                        (1, b'\n') => {
                            self.end_chunk()?;
                            self.state = State::Header;
                        }
                        _ => return Err(ChunkError::MissingDelimiter),
                    }
                }
                State::Header => {
                    input = rest;
                    if let Some(line) = self.take_line(byte, self.limits.header_bytes) {
                        self.begin_chunk(&line)?;
                    } else if self.line.len() > self.limits.header_bytes {
                        return Err(ChunkError::HeaderTooLong { limit_bytes: self.limits.header_bytes });
                    }
                }
                State::Trailer => {
                    input = rest;
                    self.trailer_bytes += 1;
                    if self.trailer_bytes > self.limits.trailer_bytes {
                        return Err(ChunkError::TrailerTooLong { limit_bytes: self.limits.trailer_bytes });
                    }
                    if let Some(line) = self.take_line(byte, self.limits.trailer_bytes) {
                        self.trailer_line(&line)?;
                    }
                }
                State::End => return Err(ChunkError::ExcessData),
            }
        }
        Ok(())
    }

    /// Collects a line; gives it without its CR LF when it is complete.
    fn take_line(&mut self, byte: u8, limit: usize) -> Option<Vec<u8>> {
        if byte == b'\n' && self.line.last() == Some(&b'\r') {
            self.line.pop();
            return Some(std::mem::take(&mut self.line));
        }
        if self.line.len() <= limit {
            self.line.push(byte);
        }
        None
    }

    fn begin_chunk(&mut self, line: &[u8]) -> Result<(), ChunkError> {
        let line = std::str::from_utf8(line).map_err(|_| ChunkError::MalformedHeader)?;
        let (size, extension) = line.split_once(';').unwrap_or((line, ""));
        if size.is_empty() || size.len() > 16 || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ChunkError::MalformedHeader);
        }
        let size = u64::from_str_radix(size, 16).map_err(|_| ChunkError::MalformedHeader)?;
        if size > self.limits.chunk_bytes {
            return Err(ChunkError::ChunkTooLarge { limit_bytes: self.limits.chunk_bytes });
        }
        self.announced = extension.strip_prefix("chunk-signature=").map(str::to_owned);
        if self.seed.is_some() && self.announced.is_none() {
            return Err(ChunkError::MalformedHeader);
        }
        if size > 0 {
            self.state = State::Data { left: size };
            return Ok(());
        }
        self.end_chunk()?;
        self.state = State::Trailer;
        Ok(())
    }

    fn end_chunk(&mut self) -> Result<(), ChunkError> {
        self.number += 1;
        let Some(seed) = &mut self.seed else {
            return Ok(());
        };
        let hash = std::mem::replace(&mut self.hash, Context::new(&SHA256)).finish();
        let to_sign = seed.chunk_string_to_sign(hash.as_ref());
        let expected = seed.key.sign(&to_sign);
        let announced = self.announced.take().unwrap_or_default();
        if Signature::parse(&announced) != Some(expected) {
            return Err(ChunkError::ChunkSignature {
                number: self.number,
                string_to_sign: String::from_utf8_lossy(&to_sign).into_owned(),
                signature_provided: announced,
            });
        }
        seed.signature = expected;
        Ok(())
    }

    fn trailer_line(&mut self, line: &[u8]) -> Result<(), ChunkError> {
        if line.is_empty() {
            self.check_trailer()?;
            self.state = State::End;
            return Ok(());
        }
        if self.form == ChunkedForm::Signed || self.trailer_signature.is_some() {
            return Err(ChunkError::MalformedTrailer);
        }
        let line = std::str::from_utf8(line).map_err(|_| ChunkError::MalformedTrailer)?;
        let (name, value) = line.split_once(':').ok_or(ChunkError::MalformedTrailer)?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
        if name.is_empty() || self.trailers.iter().any(|(known, _)| *known == name) {
            return Err(ChunkError::MalformedTrailer);
        }
        if name == "x-amz-trailer-signature" {
            self.trailer_signature = Some(value);
        } else {
            self.trailers.push((name, value));
        }
        Ok(())
    }

    fn check_trailer(&mut self) -> Result<(), ChunkError> {
        let Some(seed) = self.seed.as_ref().filter(|_| self.form == ChunkedForm::SignedTrailer) else {
            return Ok(());
        };
        let expected = seed.key.sign(&seed.trailer_string_to_sign(&canonical_trailer(&self.trailers)));
        let given = self.trailer_signature.as_deref().and_then(Signature::parse);
        if given != Some(expected) {
            return Err(ChunkError::TrailerSignature);
        }
        Ok(())
    }

    /// Ends the body: the trailers (lower-case names) when everything has arrived and every signature was right.
    ///
    /// The CR LF after the last chunk may be missing when nothing follows it, as some clients do, but not when trailers must be signed.
    pub fn finish(self) -> Result<Vec<(String, String)>, ChunkError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        match self.state {
            State::End => Ok(self.trailers),
            State::Trailer if self.trailer_bytes == 0 && self.form != ChunkedForm::SignedTrailer => Ok(self.trailers),
            _ => Err(ChunkError::Truncated),
        }
    }
}

/// Writes an `aws-chunked` body.
#[derive(Debug)]
pub struct ChunkedEncoder {
    form: ChunkedForm,
    seed: ChunkSeed,
}

impl ChunkedEncoder {
    /// An encoder that signs from the seed.
    pub fn new(form: ChunkedForm, seed: ChunkSeed) -> Self {
        Self { form, seed }
    }

    /// Appends one chunk of data. Empty data is left out: it would end the body.
    pub fn chunk(&mut self, data: &[u8], out: &mut Vec<u8>) {
        if !data.is_empty() {
            self.head(data, out);
            out.extend_from_slice(data);
            out.extend_from_slice(b"\r\n");
        }
    }

    fn head(&mut self, data: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(format!("{:x}", data.len()).as_bytes());
        if self.form != ChunkedForm::UnsignedTrailer {
            let to_sign = self.seed.chunk_string_to_sign(digest(&SHA256, data).as_ref());
            self.seed.signature = self.seed.key.sign(&to_sign);
            out.extend_from_slice(b";chunk-signature=");
            push_hex(out, self.seed.signature.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Appends the last chunk and the trailers (lower-case names, trimmed values; none with [`ChunkedForm::Signed`]).
    pub fn finish(mut self, trailers: &[(String, String)], out: &mut Vec<u8>) {
        self.head(b"", out);
        if self.form != ChunkedForm::Signed {
            for (name, value) in trailers {
                out.extend_from_slice(format!("{name}:{value}\r\n").as_bytes());
            }
        }
        if self.form == ChunkedForm::SignedTrailer {
            let signature = self.seed.key.sign(&self.seed.trailer_string_to_sign(&canonical_trailer(trailers)));
            out.extend_from_slice(format!("x-amz-trailer-signature:{}\r\n", signature.to_hex()).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
}
