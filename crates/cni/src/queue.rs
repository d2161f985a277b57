//! Deletes that the agent could not be told about, as files in `<state-dir>/deleteQueue`.
//!
//! One file per attachment, `<SHA-256 of the attachment>.delete`, holding the JSON body of `DELETE /v1/endpoint`
//! ([`EndpointBatchDeleteRequest`]); so a repeated DEL adds nothing. At most [`LIMIT`] files.
//!
//! Whoever adds holds `lockfile` shared. The agent holds it exclusively while it replays and removes the files, before it
//! accepts any new endpoint, and listens before it lets go; a plugin that gets the lock therefore asks the agent once
//! more before it writes. Files written while a living agent failed are replayed on its timer.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use local_api::endpoint::EndpointBatchDeleteRequest;

use crate::attachment::Attachment;

/// Most deletes that wait.
pub const LIMIT: usize = 256;
/// Below the state directory.
pub const DIRECTORY: &str = "deleteQueue";
/// In the queue's directory.
pub const LOCK: &str = "lockfile";
/// How the files' names end.
pub const EXTENSION: &str = "delete";

const LOCK_PATIENCE: Duration = Duration::from_millis(500);
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The queue; locked, an agent that starts replays what is added before anybody finds it.
pub(crate) struct Queue {
    directory: std::path::PathBuf,
    _lock: Option<File>,
}

impl Queue {
    /// Makes the directory if need be and takes the lock. An agent that keeps it, because it has much to replay, finds the file
    /// later, when it looks again.
    pub(crate) fn open(state: &Path) -> io::Result<Self> {
        let directory = state.join(DIRECTORY);
        fs::create_dir_all(&directory)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(directory.join(LOCK))?;
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match lock.try_lock_shared() {
                Ok(()) => {
                    return Ok(Self {
                        directory,
                        _lock: Some(lock),
                    });
                }
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(TryLockError::WouldBlock) => {
                    return Ok(Self {
                        directory,
                        _lock: None,
                    });
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// Adds a delete; `QuotaExceeded` when [`LIMIT`] others wait.
    pub(crate) fn add(
        &self,
        attachment: &Attachment,
        body: &EndpointBatchDeleteRequest,
    ) -> io::Result<()> {
        let name = format!("{}.{EXTENSION}", attachment.digest());
        let path = self.directory.join(&name);
        if !path.exists() && self.len()? >= LIMIT {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        // A rename, so that nobody ever reads half a file.
        let unfinished = self
            .directory
            .join(format!("{name}.{}", std::process::id()));
        fs::write(&unfinished, serde_json::to_vec(body)?)?;
        fs::rename(&unfinished, &path)
    }

    fn len(&self) -> io::Result<usize> {
        let is_delete = |entry: &fs::DirEntry| {
            Path::new(&entry.file_name())
                .extension()
                .is_some_and(|e| e == EXTENSION)
        };
        Ok(fs::read_dir(&self.directory)?
            .filter_map(Result::ok)
            .filter(is_delete)
            .count())
    }
}
