//! Objects in a local folder: `ab/abcd...` with staged ones in `staging/`.
//!
//! The crate `object_store` could do this too, but it leaves abandoned uploads between the objects, where nothing lists them; here they
//! stand in one folder that is emptied when the backend is opened. Order of a put: data synced (`fdatasync`), renamed, folder synced.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};

use crate::{Backend, Listed, ObjectError, ObjectName, Reader, Upload};

const STAGING: &str = "staging";

/// A folder that one process at a time uses.
#[derive(Clone, Debug)]
pub struct LocalBackend {
    root: Arc<PathBuf>,
}

fn unavailable(path: &Path, error: &std::io::Error) -> ObjectError {
    ObjectError::Unavailable(format!("`{}`: {error}", path.display()))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, ObjectError> + Send + 'static) -> Result<T, ObjectError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| ObjectError::Unavailable(error.to_string()))?
}

fn sync_folder(path: &Path) -> Result<(), ObjectError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|error| unavailable(path, &error))
}

fn create_folder(path: &Path) -> Result<(), ObjectError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| unavailable(path, &error))
}

impl LocalBackend {
    /// Opens the folder, makes what is missing in it, and throws away what earlier runs left unfinished.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, ObjectError> {
        let root = root.into();
        create_folder(&root)?;
        let staging = root.join(STAGING);
        match std::fs::remove_dir_all(&staging) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(unavailable(&staging, &error));
            }
            _ => create_folder(&staging)?,
        }
        for folder in 0..=255u8 {
            create_folder(&root.join(hex::encode([folder])))?;
        }
        sync_folder(&root)?;
        Ok(Self { root: Arc::new(root) })
    }

    fn path(&self, name: &ObjectName) -> PathBuf {
        self.root.join(name.folder()).join(name.as_str())
    }
}

#[async_trait]
impl Backend for LocalBackend {
    async fn start(&self, name: &ObjectName) -> Result<Box<dyn Upload>, ObjectError> {
        let (staged, path) = (self.root.join(STAGING).join(name.as_str()), self.path(name));
        blocking(move || {
            let mut options = std::fs::OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let file = options.open(&staged).map_err(|error| unavailable(&staged, &error))?;
            Ok(Box::new(LocalUpload { file: Some(file), staged: Staged(Some(staged)), path }) as Box<dyn Upload>)
        })
        .await
    }

    async fn open(&self, name: &ObjectName) -> Result<Box<dyn Reader>, ObjectError> {
        let (path, name) = (self.path(name), name.clone());
        blocking(move || {
            let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
            let (length, file) = opened.map_err(|error| match error.kind() {
                ErrorKind::NotFound => ObjectError::Missing(name.to_string()),
                _ => unavailable(&path, &error),
            })?;
            Ok(Box::new(LocalReader { file: Arc::new(Mutex::new(file)), length }) as Box<dyn Reader>)
        })
        .await
    }

    async fn delete(&self, name: &ObjectName) -> Result<(), ObjectError> {
        let path = self.path(name);
        blocking(move || match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(unavailable(&path, &error)),
            _ => Ok(()),
        })
        .await
    }

    async fn exists(&self, name: &ObjectName) -> Result<bool, ObjectError> {
        let path = self.path(name);
        blocking(move || path.try_exists().map_err(|error| unavailable(&path, &error))).await
    }

    fn list(&self) -> BoxStream<'static, Result<Listed, ObjectError>> {
        let root = self.root.clone();
        let folders = stream::iter(0..=255u8).then(move |folder| {
            let path = root.join(hex::encode([folder]));
            async move { blocking(move || list_folder(&path)).await }
        });
        let items = folders.map(|folder| match folder {
            Ok(listed) => stream::iter(listed.into_iter().map(Ok).collect::<Vec<_>>()),
            Err(error) => stream::iter(vec![Err(error)]),
        });
        items.flatten().boxed()
    }
}

fn list_folder(path: &Path) -> Result<Vec<Listed>, ObjectError> {
    let failed = |error: std::io::Error| unavailable(path, &error);
    let mut listed = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // Foreign files are none of our objects: they are neither listed nor swept.
        let Some(name) = entry.file_name().to_str().and_then(|name| ObjectName::parse(name).ok()) else {
            continue;
        };
        match entry.metadata() {
            Ok(metadata) => listed.push(Listed { name, length: metadata.len() }),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(listed)
}

/// Removes the staged file unless it was renamed.
struct Staged(Option<PathBuf>);

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            let _ = std::fs::remove_file(path);
        }
    }
}

struct LocalUpload {
    file: Option<File>,
    staged: Staged,
    path: PathBuf,
}

impl LocalUpload {
    fn file(&mut self) -> Result<File, ObjectError> {
        self.file.take().ok_or_else(|| ObjectError::Unavailable("an earlier write of this object failed".to_owned()))
    }
}

#[async_trait]
impl Upload for LocalUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), ObjectError> {
        let (mut file, path) = (self.file()?, self.path.clone());
        let written = blocking(move || {
            file.write_all(&bytes).map_err(|error| unavailable(&path, &error))?;
            Ok(file)
        });
        self.file = Some(written.await?);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<(), ObjectError> {
        let file = self.file()?;
        blocking(move || {
            let failed = |error: std::io::Error| unavailable(&self.path, &error);
            file.sync_data().map_err(failed)?;
            if let Some(staged) = &self.staged.0 {
                std::fs::rename(staged, &self.path).map_err(failed)?;
            }
            self.staged.0 = None;
            self.path.parent().map_or(Ok(()), sync_folder)
        })
        .await
    }

    async fn abort(self: Box<Self>) {
        let _ = blocking(move || {
            drop(self);
            Ok(())
        })
        .await;
    }
}

struct LocalReader {
    /// One open file: reads go on after a deletion, and see one object.
    file: Arc<Mutex<File>>,
    length: u64,
}

#[async_trait]
impl Reader for LocalReader {
    fn length(&self) -> u64 {
        self.length
    }

    async fn read(&self, range: Range<u64>) -> Result<Vec<u8>, ObjectError> {
        let file = self.file.clone();
        blocking(move || {
            let length = range.end.saturating_sub(range.start);
            let mut bytes = Vec::with_capacity(usize::try_from(length).map_err(|_| ObjectError::TooLong)?);
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            let read = file.seek(SeekFrom::Start(range.start)).and_then(|_| (&mut *file).take(length).read_to_end(&mut bytes));
            read.map_err(|error| ObjectError::Unavailable(error.to_string()))?;
            Ok(bytes)
        })
        .await
    }
}
