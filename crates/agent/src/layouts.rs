//! Which layout the files in the state directory have: a number for each kind, written down beside them.
//!
//! A number is raised by whoever changes what a kind of file means to its reader. The numbers are read before anything is
//! changed. Files of a release that knew no numbers are those of layout 1.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Every kind of file that outlives a run: directory or file, number of the layout. Those of endpoints say theirs themselves
/// ([`model::endpoint::saved`]).
const LAYOUTS: [(&str, u32); 7] = [
    ("deleteQueue", 1),
    ("etcd-leases", 1),
    ("labels-in-use.json", 1),
    ("last-good", 1),
    ("masquerade-list", 1),
    ("pool-ranges", 1),
    ("sysctls-before.json", 1),
];
const FILE: &str = "layouts.json";

/// Why a state directory cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The numbers cannot be read or written.
    #[error("{path}: {error}")]
    Io {
        /// Of the file with the numbers.
        path: PathBuf,
        /// What is wrong.
        error: io::Error,
    },
    /// Files of another release.
    #[error("{path} has layout {found}, this release has layout {wanted}; nothing was touched")]
    Other {
        /// The file or directory.
        path: PathBuf,
        /// Its number.
        found: u32,
        /// The number here.
        wanted: u32,
    },
}

/// Refuses files of another layout. Changes nothing.
pub fn check(state_dir: &Path) -> Result<(), LayoutError> {
    let found = read(state_dir)?;
    for (name, wanted) in LAYOUTS {
        let found = found.get(name).copied().unwrap_or(1);
        if found != wanted {
            let path = state_dir.join(name);
            return Err(LayoutError::Other {
                path,
                found,
                wanted,
            });
        }
    }
    Ok(())
}

/// Writes the numbers down, before the first file is written.
pub fn record(state_dir: &Path) -> Result<(), LayoutError> {
    let ours: BTreeMap<String, u32> = LAYOUTS
        .iter()
        .map(|(name, number)| ((*name).to_owned(), *number))
        .collect();
    if read(state_dir)? == ours {
        return Ok(());
    }
    let path = state_dir.join(FILE);
    let temporary = path.with_extension("new");
    let written = serde_json::to_vec_pretty(&ours)
        .map_err(io::Error::from)
        .and_then(|text| std::fs::write(&temporary, text))
        .and_then(|()| std::fs::rename(&temporary, &path));
    written.map_err(|error| LayoutError::Io { path, error })
}

fn read(state_dir: &Path) -> Result<BTreeMap<String, u32>, LayoutError> {
    let path = state_dir.join(FILE);
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| LayoutError::Io {
            path,
            error: error.into(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(LayoutError::Io { path, error }),
    }
}

#[cfg(test)]
mod tests;
