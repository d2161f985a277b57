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
    /// A map of another layout lies under the name.
    #[error(
        "map '{map}' is pinned in {directory} with layout {found}, this release has layout {wanted}; nothing was touched, \
         and the programs of the other release go on"
    )]
    Layout {
        /// Name of the map.
        map: &'static str,
        /// Where.
        directory: PathBuf,
        /// Number of the layout in the kernel.
        found: u32,
        /// The number here.
        wanted: u32,
    },
    /// Another arrangement of pins lies beside ours.
    #[error(
        "{path} has pins of another release, this one pins in '{wanted}'; nothing was touched, and the programs of the other \
         release go on"
    )]
    Arrangement {
        /// Where.
        path: PathBuf,
        /// Name of our directory.
        wanted: String,
    },
    /// A table that is to shrink holds too much.
    #[error(
        "map '{map}' has capacity {found} and {entries} entries, too many for the capacity {wanted} that is asked for; \
         nothing was touched"
    )]
    Full {
        /// Name of the map.
        map: &'static str,
        /// Its capacity in the kernel.
        found: u32,
        /// Entries in it.
        entries: u32,
        /// The capacity that is asked for.
        wanted: u32,
    },
    /// A map that other programs would need is not there.
    #[error("no map is pinned at {path}: no agent has run on this node, or it was cleaned up")]
    Missing {
        /// Where.
        path: PathBuf,
    },
}

/// The directory of our pins on a bpffs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinDirectory {
    root: PathBuf,
}

impl PinDirectory {
    /// `<bpffs>/axoneme/abi-N`, for the arrangement of pins of this release.
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

    /// Pin of a map: its name, followed by the number of its layout from the second on. So a map and its number cannot part,
    /// and a layout has its map beside that of the one before.
    pub fn map(&self, spec: &MapSpec) -> PathBuf {
        let maps = self.root.join("maps");
        match spec.layout {
            1 => maps.join(spec.name),
            layout => maps.join(format!("{}-{layout}", spec.name)),
        }
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
        let path = self.map(spec);
        let Some(fd) = Self::open(&path)? else {
            return Ok(None);
        };
        check(&path, fd.as_fd(), spec)?;
        Ok(Some(fd))
    }

    /// Number of entries that a pinned map can hold.
    pub(crate) fn capacity(&self, spec: &MapSpec) -> Result<u32, PinError> {
        let info = self.info(spec)?;
        let info = info.ok_or_else(|| PinError::Missing {
            path: self.map(spec),
        })?;
        Ok(info.max_entries)
    }

    /// What the kernel says of a pinned map.
    pub(crate) fn info(&self, spec: &MapSpec) -> Result<Option<sys::MapInfo>, PinError> {
        let path = self.map(spec);
        let fd = Self::open(&path)?;
        fd.map(|fd| inspect(&path, fd.as_fd())).transpose()
    }

    /// Refuses maps of these names with another layout, and pins that are arranged in another way.
    pub(crate) fn check_layouts(&self, specs: &[MapSpec]) -> Result<(), PinError> {
        for path in list(self.root.parent().unwrap_or(&self.root))? {
            let other = path != self.root && path.is_dir();
            if other && !list(&path)?.is_empty() {
                let wanted = self.root.file_name().unwrap_or_default();
                let wanted = wanted.to_string_lossy().into_owned();
                return Err(PinError::Arrangement { path, wanted });
            }
        }
        let directory = self.root.join("maps");
        for path in list(&directory)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let (name, found) = split(&name);
            let spec = specs.iter().find(|spec| spec.name == name);
            let Some(spec) = spec.filter(|spec| spec.layout != found) else {
                continue;
            };
            return Err(PinError::Layout {
                map: spec.name,
                directory,
                found,
                wanted: spec.layout,
            });
        }
        Ok(())
    }

    /// Where something is pinned until it takes the place of `path`.
    pub(crate) fn unfinished(path: &Path) -> PathBuf {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        // A dot is not allowed in names of a bpffs.
        name.push("-new");
        path.with_file_name(name)
    }

    /// Pins under a temporary name and renames, so that whoever looks finds the old object or the new one.
    pub(crate) fn replace(fd: BorrowedFd<'_>, path: &Path) -> Result<(), PinError> {
        let part = Self::unfinished(path);
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
        Self::finish(path)
    }

    /// What is pinned under the temporary name takes the place of `path`.
    pub(crate) fn finish(path: &Path) -> Result<(), PinError> {
        fs::rename(Self::unfinished(path), path).map_err(|source| PinError::Io {
            operation: "rename to",
            path: path.to_owned(),
            source,
        })
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
        let names = |path: PathBuf| Some(path.file_name()?.to_string_lossy().into_owned());
        let links = list(&self.root.join("links"))?;
        Ok(links.into_iter().filter_map(names).collect())
    }

    /// Removes every pin: links (which detaches), programs, maps. For the uninstall.
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

/// What lies in a directory, sorted; one that is not there is empty.
fn list(directory: &Path) -> Result<Vec<PathBuf>, PinError> {
    let failed = |source| PinError::Io {
        operation: "list",
        path: directory.to_owned(),
        source,
    };
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let paths = entries.map(|entry| Ok(entry.map_err(failed)?.path()));
    let mut paths = paths.collect::<Result<Vec<_>, PinError>>()?;
    paths.sort();
    Ok(paths)
}

/// Name and layout of the map that has this pin.
fn split(pin: &str) -> (&str, u32) {
    let numbered = pin.rsplit_once('-').and_then(|(name, layout)| {
        let layout = layout.parse().ok()?;
        Some((name, layout))
    });
    numbered.unwrap_or((pin, 1))
}

fn inspect(path: &Path, fd: BorrowedFd<'_>) -> Result<sys::MapInfo, PinError> {
    sys::map_info(fd).map_err(|source| PinError::Io {
        operation: "inspect",
        path: path.to_owned(),
        source,
    })
}

fn check(path: &Path, fd: BorrowedFd<'_>, spec: &MapSpec) -> Result<(), PinError> {
    let info = inspect(path, fd)?;
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
