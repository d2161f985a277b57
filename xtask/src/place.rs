//! Where the sources are and where everything that is built goes.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// The two folders every verb works with.
pub(crate) struct Place {
    /// Root of the clone.
    pub(crate) repo: PathBuf,
    /// `$AXONEME_CACHE`: tools, objects and build output.
    pub(crate) cache: PathBuf,
}

impl Place {
    /// Finds both: the clone from where this program was compiled, the cache from the environment.
    pub(crate) fn find() -> Result<Place> {
        let repo = match std::env::var_os("CARGO_MANIFEST_DIR") {
            Some(dir) => PathBuf::from(dir),
            None => PathBuf::from(env!("CARGO_MANIFEST_DIR")),
        };
        let repo = repo
            .parent()
            .context("xtask has no parent folder")?
            .to_path_buf();
        let cache = crate::ebpf::cache_folder().map_err(anyhow::Error::msg)?;
        Ok(Place { repo, cache })
    }

    /// The programs that set-up compiled.
    pub(crate) fn tools(&self) -> PathBuf {
        self.cache.join("tools")
    }
}
