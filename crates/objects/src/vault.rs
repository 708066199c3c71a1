//! Encrypting put and authenticated range get over a backend.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream, StreamExt as _};

use crate::cobblestone::{CHUNK_BYTES, DataKey, Decryptor, Encryptor, HEADER_BYTES, chunk_offset, ciphertext_length};
use crate::{Backend, Listed, ObjectError, ObjectName, Reader, Upload};

/// Chunks that are read and decrypted at a time: 512 KiB.
const WINDOW_CHUNKS: u64 = 32;
/// Sealed bytes that are written at a time.
const WRITE_BYTES: usize = 32 * CHUNK_BYTES;
/// Windows under way at once: one is read while the one before is decrypted and sent.
const READ_AHEAD_WINDOWS: usize = 2;
const CHUNK: u64 = CHUNK_BYTES as u64;

/// Source of random bytes for names and salts.
pub type FillRandom = Arc<dyn Fn(&mut [u8]) -> Result<(), ObjectError> + Send + Sync>;

/// What a put made; keep it (sealed) where the object is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub name: ObjectName,
    pub plaintext_length: u64,
    /// Bytes of ciphertext, wherever they are.
    pub ciphertext_length: u64,
    /// The ciphertext of a small object, which the backend never saw: whoever puts it keeps it.
    pub inline: Option<Bytes>,
}

impl Stored {
    /// To read it again.
    pub fn source(&self) -> Source<'_> {
        self.inline.clone().map_or(Source::Named(&self.name), Source::Inline)
    }
}

/// Where the ciphertext of an object is.
#[derive(Clone, Debug)]
pub enum Source<'a> {
    /// In the backend.
    Named(&'a ObjectName),
    /// In the caller's hands; see [`Stored::inline`].
    Inline(Bytes),
}

/// Ciphertext in memory, read as from a backend.
struct InlineReader(Bytes);

#[async_trait]
impl Reader for InlineReader {
    fn length(&self) -> u64 {
        self.0.len() as u64
    }

    async fn read(&self, range: Range<u64>) -> Result<Vec<u8>, ObjectError> {
        let at = |position: u64| usize::try_from(position).unwrap_or(usize::MAX).min(self.0.len());
        Ok(self.0.get(at(range.start)..at(range.end)).unwrap_or_default().to_vec())
    }
}

/// Encrypted objects in a backend.
#[derive(Clone)]
pub struct ObjectVault {
    backend: Arc<dyn Backend>,
    fill_random: FillRandom,
}

impl ObjectVault {
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self::with_random(backend, Arc::new(|out| aws_lc_rs::rand::fill(out).map_err(|_| ObjectError::Randomness)))
    }

    /// With an injected source of random bytes, for simulation.
    pub fn with_random(backend: Arc<dyn Backend>, fill_random: FillRandom) -> Self {
        Self { backend, fill_random }
    }

    fn random<const N: usize>(&self) -> Result<[u8; N], ObjectError> {
        let mut out = [0; N];
        (self.fill_random)(&mut out)?;
        Ok(out)
    }

    /// Encrypts the stream under a fresh name and answers when it is durable. `context` (say bucket, version and part) must be given
    /// again to read. When the stream fails nothing is left behind. An object of up to `inline_bytes_max` bytes (0: none) is handed
    /// back as ciphertext and not written: a file of its own, with a sync of its own, costs more than everything else about it.
    pub async fn put<E>(
        &self,
        key: &DataKey,
        context: &[u8],
        inline_bytes_max: u64,
        plaintext: impl Stream<Item = Result<Bytes, E>> + Send,
    ) -> Result<Stored, ObjectError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let name = ObjectName::from_random(self.random()?);
        let mut encryptor = Encryptor::new(key, self.random()?, context)?;
        let mut upload: Option<Box<dyn Upload>> = None;
        let mut plaintext = std::pin::pin!(plaintext);
        let written = async {
            while let Some(bytes) = plaintext.next().await {
                let bytes = bytes.map_err(|error| ObjectError::Source(error.into()))?;
                // A caller may hand over a whole object at once: keep the buffer small all the same.
                for piece in bytes.chunks(WRITE_BYTES) {
                    encryptor.push(piece)?;
                    if encryptor.plaintext_length() > inline_bytes_max
                        && let Some(sealed) = encryptor.take(WRITE_BYTES)
                    {
                        self.started(&mut upload, &name).await?.write(sealed).await?;
                    }
                }
            }
            let plaintext_length = encryptor.plaintext_length();
            let last = encryptor.finish()?;
            if plaintext_length <= inline_bytes_max && inline_bytes_max > 0 {
                return Ok((plaintext_length, Some(last)));
            }
            self.started(&mut upload, &name).await?.write(last).await?;
            Ok((plaintext_length, None))
        };
        match written.await {
            Ok((plaintext_length, inline)) => {
                if let Some(upload) = upload {
                    upload.finish().await?;
                }
                let ciphertext_length = ciphertext_length(plaintext_length).ok_or(ObjectError::TooLong)?;
                Ok(Stored { name, plaintext_length, ciphertext_length, inline })
            }
            Err(error) => {
                if let Some(upload) = upload {
                    upload.abort().await;
                }
                Err(error)
            }
        }
    }

    async fn started<'u>(
        &self,
        upload: &'u mut Option<Box<dyn Upload>>,
        name: &ObjectName,
    ) -> Result<&'u mut Box<dyn Upload>, ObjectError> {
        let started = match upload.take() {
            Some(started) => started,
            None => self.backend.start(name).await?,
        };
        Ok(upload.insert(started))
    }

    /// The plaintext of `range`. Key, context and length are checked before this answers, each chunk before its bytes come out of the
    /// stream; the stream ends after its first error.
    pub async fn get(
        &self,
        key: &DataKey,
        context: &[u8],
        source: Source<'_>,
        plaintext_length: u64,
        range: Range<u64>,
    ) -> Result<impl Stream<Item = Result<Bytes, ObjectError>> + Send + use<>, ObjectError> {
        if range.start > range.end || range.end > plaintext_length {
            return Err(ObjectError::Range { start: range.start, end: range.end, length: plaintext_length });
        }
        let expected = ciphertext_length(plaintext_length).ok_or(ObjectError::TooLong)?;
        let reader: Box<dyn Reader> = match source {
            Source::Named(name) => self.backend.open(name).await?,
            Source::Inline(sealed) => Box::new(InlineReader(sealed)),
        };
        if reader.length() != expected {
            return Err(ObjectError::Length { expected, found: reader.length() });
        }
        let chunks = chunks_of(&range, plaintext_length);
        // The header and a first window that follows it are one read.
        let first_chunks = if chunks.start == 0 { 0..chunks.end.min(WINDOW_CHUNKS) } else { 0..0 };
        let mut header = read_exactly(&*reader, 0..window_end(&first_chunks, expected)).await?;
        let first_window = header.split_off(HEADER_BYTES.min(header.len()));
        let decryptor = Decryptor::new(key, &header, context)?;
        let open = Arc::new(OpenObject { reader, decryptor, range, ciphertext_length: expected });

        let first = (!first_chunks.is_empty()).then(|| open.decrypt(first_chunks.start, first_window));
        let rest_from = chunks.start.max(first_chunks.end);
        let windows = (rest_from..chunks.end).step_by(usize::try_from(WINDOW_CHUNKS).unwrap_or(1));
        let rest = stream::iter(windows).map(move |start| {
            let (open, end) = (open.clone(), chunks.end.min(start + WINDOW_CHUNKS));
            async move { open.read(start..end).await }
        });
        let pieces = stream::iter(first).chain(rest.buffered(READ_AHEAD_WINDOWS));
        let until_error = pieces.scan(false, |has_failed, piece| {
            let ended = *has_failed;
            *has_failed = piece.is_err();
            std::future::ready((!ended).then_some(piece))
        });
        Ok(until_error.filter(|piece| std::future::ready(!piece.as_ref().is_ok_and(Bytes::is_empty))))
    }

    /// As [`ObjectVault::get`], of an object whose ciphertext is in the caller's hands: all of it is authenticated, and at once.
    pub fn open_inline(
        key: &DataKey,
        context: &[u8],
        sealed: &[u8],
        plaintext_length: u64,
        range: Range<u64>,
    ) -> Result<Bytes, ObjectError> {
        if range.start > range.end || range.end > plaintext_length {
            return Err(ObjectError::Range { start: range.start, end: range.end, length: plaintext_length });
        }
        let (expected, found) = (ciphertext_length(plaintext_length).ok_or(ObjectError::TooLong)?, sealed.len() as u64);
        let (header, chunks) =
            sealed.split_at_checked(HEADER_BYTES).filter(|_| found == expected).ok_or(ObjectError::Length { expected, found })?;
        let plaintext = Bytes::from(Decryptor::new(key, header, context)?.open(0, chunks.to_vec())?);
        let at = |position: u64| usize::try_from(position).unwrap_or(usize::MAX).min(plaintext.len());
        Ok(plaintext.slice(at(range.start)..at(range.end)))
    }

    /// Deletes an object; a missing one is no error.
    pub async fn delete(&self, name: &ObjectName) -> Result<(), ObjectError> {
        self.backend.delete(name).await
    }

    pub async fn exists(&self, name: &ObjectName) -> Result<bool, ObjectError> {
        self.backend.exists(name).await
    }

    /// All objects of the backend, in no order, to find those that no record names. An object is visible here shortly before the record
    /// that names it is committed: sweep only what was there at two listings with a good while between them.
    pub fn list(&self) -> BoxStream<'static, Result<Listed, ObjectError>> {
        self.backend.list()
    }
}

/// The chunks that hold the range. One that reaches the end takes in the last chunk, even an empty one, which proves where the end is.
fn chunks_of(range: &Range<u64>, plaintext_length: u64) -> Range<u64> {
    let first = range.start / CHUNK;
    if range.end == plaintext_length {
        return first..plaintext_length / CHUNK + 1;
    }
    if range.is_empty() { first..first } else { first..(range.end - 1) / CHUNK + 1 }
}

fn window_end(chunks: &Range<u64>, ciphertext_length: u64) -> u64 {
    chunk_offset(chunks.end).min(ciphertext_length)
}

async fn read_exactly(reader: &dyn Reader, range: Range<u64>) -> Result<Vec<u8>, ObjectError> {
    let wanted = range.end - range.start;
    let bytes = reader.read(range.clone()).await?;
    if bytes.len() as u64 != wanted {
        return Err(ObjectError::Length { expected: reader.length(), found: range.start + bytes.len() as u64 });
    }
    Ok(bytes)
}

struct OpenObject {
    reader: Box<dyn Reader>,
    decryptor: Decryptor,
    range: Range<u64>,
    ciphertext_length: u64,
}

impl OpenObject {
    async fn read(&self, chunks: Range<u64>) -> Result<Bytes, ObjectError> {
        let sealed = read_exactly(&*self.reader, chunk_offset(chunks.start)..window_end(&chunks, self.ciphertext_length)).await?;
        self.decrypt(chunks.start, sealed)
    }

    /// The part of the window that is within the range.
    fn decrypt(&self, first_chunk: u64, sealed: Vec<u8>) -> Result<Bytes, ObjectError> {
        let plaintext = Bytes::from(self.decryptor.open(first_chunk, sealed)?);
        let offset = first_chunk * CHUNK;
        let within = |position: u64| usize::try_from(position.saturating_sub(offset)).unwrap_or(usize::MAX).min(plaintext.len());
        Ok(plaintext.slice(within(self.range.start)..within(self.range.end)))
    }
}
