//! The server's certificate: from files, or made once and kept in the data directory.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::TlsSource;

/// TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read.
    #[error("{flag} {path}: {why}")]
    File {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// Certificate and key do not work together.
    #[error("--tls-cert and --tls-key: {0}")]
    Pair(#[from] rustls::Error),
    /// No certificate could be made.
    #[error("a certificate could not be made: {0}")]
    Make(#[from] rcgen::Error),
    /// The made certificate could not be kept.
    #[error("{path} could not be written: {source}")]
    Keep {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// What the listeners need, and what clients must trust.
pub(crate) struct Identity {
    /// For the listeners.
    pub(crate) config: Arc<ServerConfig>,
    /// PEM of the certificate chain.
    pub(crate) cert_pem: String,
}

/// Loads or makes the certificate.
pub(crate) fn identity(
    source: &TlsSource,
    data_dir: &Path,
    listen: &[SocketAddr],
) -> Result<Identity, TlsError> {
    let (cert, key) = match source {
        TlsSource::Files { cert, key } => (cert.clone(), key.clone()),
        TlsSource::SelfMade => {
            let (cert, key) = (data_dir.join("tls.crt"), data_dir.join("tls.key"));
            if !cert.exists() || !key.exists() {
                make(&cert, &key, listen)?;
            }
            (cert, key)
        }
    };
    let fault = |flag, path: &Path, why: String| TlsError::File {
        flag,
        path: path.to_owned(),
        why,
    };
    let cert_pem = std::fs::read_to_string(&cert)
        .map_err(|error| fault("--tls-cert", &cert, error.to_string()))?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(cert_pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| fault("--tls-cert", &cert, error.to_string()))?;
    let private = PrivateKeyDer::from_pem_file(&key)
        .map_err(|error| fault("--tls-key", &key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Identity {
        config: Arc::new(config),
        cert_pem,
    })
}

/// A certificate for this machine's names and the addresses listened on.
fn make(cert: &Path, key: &Path, listen: &[SocketAddr]) -> Result<(), TlsError> {
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    names.extend(
        listen
            .iter()
            .filter(|address| !address.ip().is_unspecified())
            .map(|address| address.ip().to_string()),
    );
    if let Ok(host) = std::fs::read_to_string("/proc/sys/kernel/hostname") {
        names.push(host.trim().to_owned());
    }
    names.sort();
    names.dedup();
    let made = rcgen::generate_simple_self_signed(names)?;
    write(key, made.signing_key.serialize_pem().as_bytes(), 0o600)?;
    write(cert, made.cert.pem().as_bytes(), 0o644)
}

/// Writes a file with these permissions from its first moment on.
pub(crate) fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), TlsError> {
    let keep = |source| TlsError::Keep {
        path: path.to_owned(),
        source,
    };
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(keep(error));
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(keep)?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .map_err(keep)
}
