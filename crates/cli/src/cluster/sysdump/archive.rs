//! The archive: a tar.gz that only its owner may read, and that is there only when it is whole.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, Header};

use super::redact;

/// An archive that is being written.
pub(super) struct Archive {
    path: PathBuf,
    /// Where it is until it is whole.
    partial: PathBuf,
    builder: Builder<GzEncoder<BufWriter<File>>>,
    time: u64,
}

impl Archive {
    /// Begins one. A file of an earlier attempt is replaced.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial);
        let file = file.with_context(|| format!("cannot write {}", partial.display()))?;
        let encoder = GzEncoder::new(BufWriter::new(file), Compression::default());
        Ok(Self {
            path: path.to_owned(),
            partial,
            builder: Builder::new(encoder),
            time: jiff::Timestamp::now()
                .as_second()
                .try_into()
                .unwrap_or_default(),
        })
    }

    /// Adds a file. This is the only way in: what looks like a secret does not pass.
    pub(super) fn add(&mut self, name: &str, content: &[u8]) -> anyhow::Result<()> {
        let content = String::from_utf8_lossy(content);
        let text = redact::text(&content);
        let mut header = Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(self.time);
        self.builder
            .append_data(&mut header, name, text.as_bytes())
            .with_context(|| format!("cannot write {name}"))
    }

    /// Ends it.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        let mut file = self.builder.into_inner()?.finish()?;
        file.flush()?;
        fs::rename(&self.partial, &self.path)
            .with_context(|| format!("cannot write {}", self.path.display()))
    }
}
