//! Files of certificates: read, and read anew when they change.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use thiserror::Error;

/// A file that cannot be used.
#[derive(Debug, Error)]
#[error("TLS file {}: {reason}", path.display())]
pub struct TlsError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl TlsError {
    pub(crate) fn new(path: &Path, reason: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}

/// Size and time of each file; `None` for one that is not there.
type Stamps = Vec<Option<(u64, SystemTime)>>;

/// What settings are made of.
pub(crate) trait Files {
    /// The settings.
    type Settings;
    /// All files.
    fn paths(&self) -> Vec<&Path>;
    /// The settings of the files as they are now.
    fn load(&self) -> Result<Self::Settings, TlsError>;
}

/// Settings that follow their files.
pub(crate) struct Followed<F: Files> {
    files: F,
    // Only touched when a connection is made; a table would need a task that watches files.
    loaded: Mutex<(Stamps, Arc<F::Settings>)>,
}

impl<F: Files> Followed<F> {
    pub(crate) fn new(files: F) -> Result<Self, TlsError> {
        let loaded = (stamps(&files), Arc::new(files.load()?));
        Ok(Self {
            files,
            loaded: Mutex::new(loaded),
        })
    }

    /// The settings for the next connection: those of the files as they are now, or the last good ones.
    pub(crate) fn settings(&self) -> Arc<F::Settings> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let now = stamps(&self.files);
        if now != loaded.0 {
            match self.files.load() {
                Ok(settings) => {
                    loaded.1 = Arc::new(settings);
                    tracing::info!(files = ?self.files.paths(), "certificates read anew");
                }
                Err(error) => tracing::error!(%error, "the former certificates stay in use"),
            }
            loaded.0 = now;
        }
        loaded.1.clone()
    }
}

fn stamps(files: &impl Files) -> Stamps {
    let stamp = |path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.len(), metadata.modified().ok()?))
    };
    files.paths().into_iter().map(stamp).collect()
}

pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| TlsError::new(path, error.to_string()))?;
    match certificates.len() {
        0 => Err(TlsError::new(path, "there is no certificate in it")),
        _ => Ok(certificates),
    }
}

pub(crate) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| TlsError::new(path, error.to_string()))
}

pub(crate) fn authorities(paths: &[PathBuf]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for path in paths {
        for certificate in certificates(path)? {
            roots
                .add(certificate)
                .map_err(|error| TlsError::new(path, error.to_string()))?;
        }
    }
    Ok(roots)
}
