//! Object bytes between the wire and the vault.

use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt as _};
use http_body::Frame;
use http_body_util::BodyExt as _;
use objects::{DataKey, ObjectError, ObjectName, ObjectVault, Source};
use plane::body::{Body, BodyError};
use plane::pipeline::{BODY_TIMEOUT, body_error};
use plane::{ApiError, Call};

use crate::checksum::{Digested, Digests};
use crate::error::entity_too_large;
use crate::record::{Bucket, InlineBlob, Piece, UnusedBlob, UsedBlob};

/// Largest upload in one request, and largest part: 5 GiB.
pub(crate) const UPLOAD_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;

/// Largest object whose bytes are kept in the store: one chunk of the object format.
pub(crate) const INLINE_BYTES_MAX: u64 = objects::CHUNK_BYTES as u64;

/// Bytes that are durable in the vault, or small and at hand, and not yet part of anything.
#[derive(Clone, Debug)]
pub(crate) struct Staged {
    pub blob: String,
    /// Ciphertext that the vault did not take.
    pub inline: Option<Bytes>,
    pub size: u64,
    pub digested: Digested,
}

/// The vault of the call's region.
pub(crate) fn vault(cx: &Call) -> Result<ObjectVault, ApiError> {
    let position = cx.plane.regions.position(&cx.region).ok_or_else(|| ApiError::internal(&"the region of a call is not configured"))?;
    Ok(cx.plane.regions.at(position)?.vault.as_ref().clone())
}

/// What a blob is sealed for: it opens as part of this bucket only.
fn context(bucket_id: &str) -> Vec<u8> {
    [b"s3 object of bucket ".as_slice(), bucket_id.as_bytes()].concat()
}

/// A request body as a stream.
pub(crate) fn chunks(body: Option<Body>) -> BoxStream<'static, Result<Bytes, BodyError>> {
    stream::unfold(body, |body| async {
        let mut body = body?;
        match plane::body::next(&mut body, BODY_TIMEOUT).await {
            Ok(Some(bytes)) => Some((Ok(bytes), Some(body))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

/// Encrypts a stream into the vault and computes its digests on the way. When this answers, the bytes are durable, or, up to
/// `inline_bytes_max` of them, at hand for [`keep_staged`].
pub(crate) async fn stage(
    cx: &Call,
    bucket: &Bucket,
    key: &DataKey,
    source: BoxStream<'static, Result<Bytes, BodyError>>,
    inline_bytes_max: u64,
    mut digests: Digests,
) -> Result<Staged, ApiError> {
    let mut size = 0_u64;
    let vault = vault(cx)?;
    let stored = {
        let seen = source.map(|item| {
            let bytes = item?;
            size = size.saturating_add(bytes.len() as u64);
            if size > UPLOAD_BYTES_MAX {
                return Err(BodyError::TooLarge(UPLOAD_BYTES_MAX));
            }
            digests.update(&bytes);
            Ok(bytes)
        });
        vault.put(key, &context(&bucket.id), inline_bytes_max, seen).await
    };
    match stored {
        Ok(stored) => Ok(Staged {
            blob: stored.name.as_str().to_owned(),
            inline: stored.inline,
            size: stored.plaintext_length,
            digested: digests.finish(),
        }),
        Err(ObjectError::Source(cause)) => Err(match cause.downcast::<BodyError>() {
            Ok(error) if matches!(*error, BodyError::TooLarge(_)) => entity_too_large(size, UPLOAD_BYTES_MAX),
            Ok(error) => body_error(&error),
            Err(cause) => ApiError::internal(&cause),
        }),
        Err(error) => Err(ApiError::internal(&error)),
    }
}

/// Deletes staged bytes that were refused. What is left when this fails is found by the sweep.
pub(crate) async fn discard(cx: &Call, staged: &Staged) {
    if staged.inline.is_some() {
        return;
    }
    let deleted = async {
        let name = ObjectName::parse(&staged.blob).map_err(|error| ApiError::internal(&error))?;
        vault(cx)?.delete(&name).await.map_err(|error| ApiError::internal(&error))
    };
    if let Err(error) = deleted.await {
        tracing::warn!(%error, blob = staged.blob, "refused bytes are left to the sweep");
    }
}

/// The one piece of an object that was staged whole; bytes at hand go into the transaction.
pub(crate) fn keep_staged(cx: &mut Call, bucket: &Bucket, staged: &Staged) -> Result<Piece, ApiError> {
    if let Some(sealed) = &staged.inline {
        cx.tx.put(&InlineBlob::key(bucket, &staged.blob), &InlineBlob { sealed: sealed.clone() })?;
    }
    Ok(Piece { blob: staged.blob.clone(), size: staged.size, number: 1, checksum: None, inline: staged.inline.is_some() })
}

/// Notes in the transaction that the bytes of a piece are in use.
pub(crate) fn keep_piece(cx: &mut Call, bucket: &Bucket, piece: &Piece) -> Result<(), ApiError> {
    if piece.inline { Ok(()) } else { keep(cx, bucket, &piece.blob) }
}

/// Gives the bytes of a piece up. See [`release`].
pub(crate) fn release_piece(cx: &mut Call, bucket: &Bucket, piece: &Piece) -> Result<(), ApiError> {
    if !piece.inline {
        return release(cx, bucket, &piece.blob);
    }
    cx.tx.delete::<InlineBlob>(&InlineBlob::key(bucket, &piece.blob));
    Ok(())
}

/// Notes in the transaction that a blob is in use.
pub(crate) fn keep(cx: &mut Call, bucket: &Bucket, blob: &str) -> Result<(), ApiError> {
    cx.tx.put(&UsedBlob::key(&bucket.region, blob), &UsedBlob { bucket_id: bucket.id.clone() })
}

/// Notes in the transaction that a blob is no longer in use. Its key goes with the record that held it, so nobody can read it from now on;
/// the sweep deletes the bytes.
pub(crate) fn release(cx: &mut Call, bucket: &Bucket, blob: &str) -> Result<(), ApiError> {
    cx.tx.delete::<UsedBlob>(&UsedBlob::key(&bucket.region, blob));
    cx.tx.put(&UnusedBlob::key(&bucket.region, blob), &UnusedBlob { since_ms: cx.now.0 })
}

/// The bytes of `range` of an object, decrypted as they are read. The first of them are authenticated before this answers, so that a small
/// damaged object is an error and not a broken connection.
pub(crate) async fn read(
    cx: &mut Call,
    bucket: &Bucket,
    key: DataKey,
    pieces: &[Piece],
    range: Range<u64>,
) -> Result<BoxStream<'static, Result<Bytes, BodyError>>, ApiError> {
    let mut plan = plan(pieces, range).into_iter().map(|(piece, range)| (piece, range, None)).collect::<Vec<_>>();
    for (piece, _, sealed) in plan.iter_mut().filter(|(piece, ..)| piece.inline) {
        *sealed = Some(inline(cx, bucket, piece).await?);
    }
    let (vault, key, bucket_id) = (vault(cx)?, Arc::new(key), bucket.id.clone());
    let opened = stream::iter(plan).map(Ok::<_, ObjectError>).and_then(move |(piece, range, sealed)| {
        let (vault, key, context) = (vault.clone(), Arc::clone(&key), context(&bucket_id));
        async move {
            let name = ObjectName::parse(&piece.blob)?;
            let source = sealed.map_or(Source::Named(&name), Source::Inline);
            vault.get(&key, &context, source, piece.size, range).await.map(StreamExt::boxed)
        }
    });
    let mut bytes = opened.try_flatten().boxed();
    let first = bytes.next().await.transpose().map_err(|error| unreadable(&error))?;
    let rest = bytes.map_err(|error| {
        tracing::error!(%error, "an object broke off while it was sent");
        BodyError::Other("the object is damaged".to_owned())
    });
    Ok(stream::iter(first.map(Ok)).chain(rest).boxed())
}

/// As [`read`], as a reply's body. An object in the store is opened whole: it has one chunk, and a stream of it would cost more than opening it.
pub(crate) async fn read_body(cx: &mut Call, bucket: &Bucket, key: DataKey, pieces: &[Piece], range: Range<u64>) -> Result<Body, ApiError> {
    let [piece] = pieces else { return Ok(body(read(cx, bucket, key, pieces, range).await?)) };
    if !piece.inline {
        return Ok(body(read(cx, bucket, key, pieces, range).await?));
    }
    let sealed = inline(cx, bucket, piece).await?;
    let opened = ObjectVault::open_inline(&key, &context(&bucket.id), &sealed, piece.size, range);
    Ok(plane::body::full(opened.map_err(|error| unreadable(&error))?))
}

/// The ciphertext of a piece that the store holds.
async fn inline(cx: &mut Call, bucket: &Bucket, piece: &Piece) -> Result<Bytes, ApiError> {
    let found = cx.tx.get::<InlineBlob>(&InlineBlob::key(bucket, &piece.blob)).await?;
    found.map(|blob| blob.sealed).ok_or_else(|| unreadable(&ObjectError::Missing(piece.blob.clone())))
}

fn unreadable(error: &ObjectError) -> ApiError {
    tracing::error!(%error, "an object cannot be read");
    ApiError::new("InternalError", "We encountered an internal error. Please try again.").with_status(500)
}

/// Which part of which piece makes up the range.
fn plan(pieces: &[Piece], range: Range<u64>) -> Vec<(Piece, Range<u64>)> {
    let mut start = 0_u64;
    let mut plan = Vec::new();
    for piece in pieces {
        let end = start.saturating_add(piece.size);
        let within = range.start.clamp(start, end) - start..range.end.clamp(start, end) - start;
        // Reading an empty object still authenticates that it is empty.
        if !within.is_empty() || (piece.size == 0 && range.is_empty() && pieces.len() == 1) {
            plan.push((piece.clone(), within));
        }
        start = end;
    }
    plan
}

/// Bytes as a reply's body.
fn body(bytes: BoxStream<'static, Result<Bytes, BodyError>>) -> Body {
    StreamedBody { bytes: Mutex::new(bytes) }.boxed()
}

/// Bodies must be `Sync`, streams of the vault are only `Send`; the lock is never contended, because polling has the body for itself.
struct StreamedBody {
    bytes: Mutex<BoxStream<'static, Result<Bytes, BodyError>>>,
}

impl http_body::Body for StreamedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let bytes = self.bytes.get_mut().unwrap_or_else(PoisonError::into_inner);
        bytes.as_mut().poll_next(cx).map(|item| item.map(|result| result.map(Frame::data)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(blob: &str, size: u64) -> Piece {
        Piece { blob: blob.to_owned(), size, number: 1, checksum: None, inline: false }
    }

    #[test]
    fn a_range_is_made_of_parts_of_pieces() {
        let pieces = [piece("a", 10), piece("b", 0), piece("c", 5)];
        let shown = |range| plan(&pieces, range).into_iter().map(|(piece, range)| (piece.blob, range)).collect::<Vec<_>>();
        assert_eq!(shown(0..15), vec![("a".to_owned(), 0..10), ("c".to_owned(), 0..5)]);
        assert_eq!(shown(9..11), vec![("a".to_owned(), 9..10), ("c".to_owned(), 0..1)]);
        assert_eq!(shown(10..12), vec![("c".to_owned(), 0..2)]);
        assert_eq!(plan(&[piece("e", 0)], 0..0).len(), 1);
    }
}
