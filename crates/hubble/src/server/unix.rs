//! The unix socket of the local clients.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

use super::ServeError;

/// Readable and writable by the owner and the group, nobody else: flows tell who talks to whom.
const MODE: u32 = 0o660;

pub(super) struct Socket {
    pub(super) listener: UnixListener,
    pub(super) path: PathBuf,
}

impl Socket {
    /// Opens the socket, in the place of one that a former process left.
    pub(super) fn bind(path: PathBuf) -> Result<Self, ServeError> {
        let error = |source| ServeError::Listen {
            address: path.display().to_string(),
            source,
        };
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.file_type().is_socket() => {
                fs::remove_file(&path).map_err(error)?;
            }
            Ok(_) => return Err(error(io::Error::other("there is a file that is no socket"))),
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {}
            Err(other) => return Err(error(other)),
        }
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(error)?;
        }
        let listener = UnixListener::bind(&path).map_err(error)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(MODE)).map_err(error)?;
        Ok(Self { listener, path })
    }
}

/// Takes the socket's file away; a client then gets "no such file" and not a refused connection.
pub(super) fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::debug!(path = %path.display(), %error, "socket file not removed");
    }
}
