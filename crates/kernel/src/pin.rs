//! Pins: where they lie, and whether what lies there is what this release would make.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::layout::MapSpec;
use crate::sys;

/// What is wrong with the pins.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The file system refused.
    #[error("cannot {operation} {path}: {source}")]
    Io {
        /// What was attempted.
        operation: &'static str,
        /// Where.
        path: PathBuf,
        /// The answer.
        #[source]
        source: io::Error,
    },
    /// A map of another shape lies under the name.
    #[error(
        "pinned map {path} has {property} {found}, this release needs {wanted}; nothing was touched"
    )]
    Shape {
        /// Where.
        path: PathBuf,
        /// Which property differs.
        property: &'static str,
        /// Its value in the kernel.
        found: u64,
        /// Its value here.
        wanted: u64,
    },
    /// A map that other programs would need is not there.
    #[error("no map is pinned at {path}: no agent has run on this node, or it was cleaned up")]
    Missing {
        /// Where.
        path: PathBuf,
    },
}

/// The directory of one layout version on a bpffs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinDirectory {
    root: PathBuf,
}

/// Name of the map that holds [`crate::layout::TYPES_HASH`].
const LAYOUT_MAP: &str = "layout";
const ARRAY: u32 = 2;

impl PinDirectory {
    /// `<bpffs>/axoneme/abi-N`, for the layout of this release.
    pub fn new(bpffs: &Path) -> Self {
        let version = format!("abi-{}", datapath::abi::VERSION);
        Self {
            root: bpffs.join("axoneme").join(version),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Pin of a map.
    pub fn map(&self, name: &str) -> PathBuf {
        self.root.join("maps").join(name)
    }

    /// Pin of a link, by interface (or `cgroup`) and program.
    pub fn link(&self, target: &str, program: &str) -> PathBuf {
        self.root.join("links").join(format!("{target}-{program}"))
    }

    /// Pin of a program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.root.join("programs").join(name)
    }

    /// Makes the directories; those that exist are left alone.
    pub fn create(&self) -> Result<(), PinError> {
        for name in ["maps", "links", "programs"] {
            let path = self.root.join(name);
            fs::create_dir_all(&path).map_err(|source| PinError::Io {
                operation: "create",
                path,
                source,
            })?;
        }
        Ok(())
    }

    /// Opens a pin; `None` if there is none.
    pub(crate) fn open(path: &Path) -> Result<Option<OwnedFd>, PinError> {
        sys::open_pin(path).map_err(|source| PinError::Io {
            operation: "open pin",
            path: path.to_owned(),
            source,
        })
    }

    /// Opens the map of `spec` if it is pinned and has that shape.
    pub(crate) fn open_map(&self, spec: &MapSpec) -> Result<Option<OwnedFd>, PinError> {
        let path = self.map(spec.name);
        let Some(fd) = Self::open(&path)? else {
            return Ok(None);
        };
        check(&path, fd.as_fd(), spec)?;
        Ok(Some(fd))
    }

    /// Number of entries that a pinned map holds.
    pub(crate) fn capacity(&self, name: &str) -> Result<u32, PinError> {
        let path = self.map(name);
        let Some(fd) = Self::open(&path)? else {
            return Err(PinError::Missing { path });
        };
        let info = sys::map_info(fd.as_fd()).map_err(|source| PinError::Io {
            operation: "inspect",
            path,
            source,
        })?;
        Ok(info.max_entries)
    }

    /// Checks that the types of the pinned maps are ours, or writes down that they are where nothing is pinned yet.
    pub(crate) fn check_types(&self, hash: u64) -> Result<(), PinError> {
        let path = self.map(LAYOUT_MAP);
        let io = |operation| {
            let path = path.clone();
            move |source| PinError::Io {
                operation,
                path,
                source,
            }
        };
        let Some(fd) = Self::open(&path)? else {
            let fd = sys::map_create(LAYOUT_MAP, ARRAY, 4, 8, 1).map_err(io("create"))?;
            sys::update(
                fd.as_fd(),
                &0u32.to_ne_bytes(),
                &hash.to_ne_bytes(),
                sys::ANY,
            )
            .map_err(io("write"))?;
            return sys::pin(fd.as_fd(), &path).map_err(io("pin"));
        };
        let mut found = [0u8; 8];
        sys::lookup(fd.as_fd(), &0u32.to_ne_bytes(), &mut found).map_err(io("read"))?;
        let found = u64::from_ne_bytes(found);
        if found != hash {
            return Err(PinError::Shape {
                path,
                property: "hash of types",
                found,
                wanted: hash,
            });
        }
        Ok(())
    }

    /// Pins under a temporary name and renames, so that whoever looks finds the old object or the new one.
    pub(crate) fn replace(fd: BorrowedFd<'_>, path: &Path) -> Result<(), PinError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        // A dot is not allowed in names of a bpffs.
        name.push("-new");
        let part = path.with_file_name(name);
        let io = |operation, source| PinError::Io {
            operation,
            path: path.to_owned(),
            source,
        };
        match fs::remove_file(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io("remove the leftover of", error));
            }
            _ => (),
        }
        sys::pin(fd, &part).map_err(|error| io("pin", error))?;
        fs::rename(&part, path).map_err(|error| io("rename to", error))
    }

    /// Removes one pin; none is fine.
    pub(crate) fn remove(path: &Path) -> Result<(), PinError> {
        match fs::remove_file(path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(PinError::Io {
                operation: "remove pin",
                path: path.to_owned(),
                source,
            }),
            _ => Ok(()),
        }
    }

    /// Names of the pinned links.
    pub fn links(&self) -> Result<Vec<String>, PinError> {
        let path = self.root.join("links");
        let read = |source| PinError::Io {
            operation: "list",
            path: path.clone(),
            source,
        };
        let mut names = Vec::new();
        for entry in fs::read_dir(&path).map_err(read)? {
            names.push(
                entry
                    .map_err(read)?
                    .file_name()
                    .to_string_lossy()
                    .into_owned(),
            );
        }
        names.sort();
        Ok(names)
    }

    /// Removes every pin of this layout: links (which detaches), programs, maps. For the uninstall.
    pub fn remove_all(&self) -> Result<(), PinError> {
        match fs::remove_dir_all(&self.root) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(PinError::Io {
                operation: "remove",
                path: self.root.clone(),
                source,
            }),
            _ => Ok(()),
        }
    }
}

fn check(path: &Path, fd: BorrowedFd<'_>, spec: &MapSpec) -> Result<(), PinError> {
    let info = sys::map_info(fd).map_err(|source| PinError::Io {
        operation: "inspect",
        path: path.to_owned(),
        source,
    })?;
    let pairs = [
        ("type", info.map_type, spec.kind as u32),
        ("key size", info.key_size, spec.key_size),
        ("value size", info.value_size, spec.value_size),
        ("capacity", info.max_entries, spec.max_entries),
    ];
    for (property, found, wanted) in pairs {
        if found != wanted {
            return Err(PinError::Shape {
                path: path.to_owned(),
                property,
                found: found.into(),
                wanted: wanted.into(),
            });
        }
    }
    Ok(())
}
