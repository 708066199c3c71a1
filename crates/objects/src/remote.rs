//! Objects in any store that the crate `object_store` can reach (S3-compatible clusters, memory).

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{BoxStream, StreamExt as _};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _, PutPayload};

use crate::{Backend, Listed, ObjectError, ObjectName, Reader, Upload};

/// S3 wants parts of at least 5 MiB; all but the last have this size.
const PART_BYTES: usize = 8 * 1024 * 1024;

/// Objects under a prefix of a remote store. Durable as far as the remote store's answers are.
#[derive(Clone, Debug)]
pub struct RemoteBackend {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

fn failed(error: object_store::Error) -> ObjectError {
    match error {
        object_store::Error::NotFound { path, .. } => ObjectError::Missing(path),
        other => ObjectError::Unavailable(other.to_string()),
    }
}

impl RemoteBackend {
    pub fn new(store: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        Self { store, prefix: Path::from(prefix) }
    }

    fn path(&self, name: &ObjectName) -> Path {
        self.prefix.clone().join(name.folder()).join(name.as_str())
    }
}

#[async_trait]
impl Backend for RemoteBackend {
    async fn start(&self, name: &ObjectName) -> Result<Box<dyn Upload>, ObjectError> {
        Ok(Box::new(RemoteUpload { store: self.store.clone(), path: self.path(name), parts: None, buffer: BytesMut::new() }))
    }

    async fn open(&self, name: &ObjectName) -> Result<Box<dyn Reader>, ObjectError> {
        let path = self.path(name);
        let length = self.store.head(&path).await.map_err(failed)?.size;
        Ok(Box::new(RemoteReader { store: self.store.clone(), path, length }))
    }

    async fn delete(&self, name: &ObjectName) -> Result<(), ObjectError> {
        match self.store.delete(&self.path(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    async fn exists(&self, name: &ObjectName) -> Result<bool, ObjectError> {
        match self.store.head(&self.path(name)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    fn list(&self) -> BoxStream<'static, Result<Listed, ObjectError>> {
        let listed = self.store.list(Some(&self.prefix)).filter_map(|entry| async move {
            match entry {
                Ok(meta) => {
                    let name = meta.location.filename().and_then(|name| ObjectName::parse(name).ok())?;
                    Some(Ok(Listed { name, length: meta.size }))
                }
                Err(error) => Some(Err(failed(error))),
            }
        });
        listed.boxed()
    }
}

struct RemoteUpload {
    store: Arc<dyn ObjectStore>,
    path: Path,
    /// `None` until the first part is full: a small object is one request.
    parts: Option<Box<dyn MultipartUpload>>,
    buffer: BytesMut,
}

#[async_trait]
impl Upload for RemoteUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), ObjectError> {
        self.buffer.extend_from_slice(&bytes);
        while self.buffer.len() >= PART_BYTES {
            let part = self.buffer.split_to(PART_BYTES).freeze();
            let parts = match &mut self.parts {
                Some(parts) => parts,
                None => self.parts.insert(self.store.put_multipart(&self.path).await.map_err(failed)?),
            };
            parts.put_part(PutPayload::from(part)).await.map_err(failed)?;
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<(), ObjectError> {
        let rest = PutPayload::from(self.buffer.split().freeze());
        match &mut self.parts {
            None => self.store.put(&self.path, rest).await.map(|_| ()).map_err(failed),
            Some(parts) => {
                parts.put_part(rest).await.map_err(failed)?;
                parts.complete().await.map(|_| ()).map_err(failed)
            }
        }
    }

    async fn abort(mut self: Box<Self>) {
        if let Some(mut parts) = self.parts.take()
            && let Err(error) = parts.abort().await
        {
            tracing::warn!(%error, "an abandoned upload could not be aborted");
        }
    }
}

struct RemoteReader {
    store: Arc<dyn ObjectStore>,
    path: Path,
    length: u64,
}

#[async_trait]
impl Reader for RemoteReader {
    fn length(&self) -> u64 {
        self.length
    }

    async fn read(&self, range: Range<u64>) -> Result<Vec<u8>, ObjectError> {
        // No copy when nobody else holds the bytes.
        self.store.get_range(&self.path, range).await.map(Vec::from).map_err(failed)
    }
}
