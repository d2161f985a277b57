//! Sysctls under `/proc/sys`, per network namespace.
//!
//! `/proc/sys/net` shows the namespace of the thread that opens it, so the functions with a namespace work on a thread in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::error::{Error, Result};
use crate::namespace::Namespace;

static PROCFS: OnceLock<PathBuf> = OnceLock::new();

/// Takes sysctls from another proc file system than `/proc` from now on, for the whole process: in a container that is not
/// privileged `/proc/sys` is read-only, and the node's own is mounted elsewhere. The first call counts.
pub fn use_procfs(root: &Path) {
    PROCFS.get_or_init(|| root.to_owned());
}

/// Reads a sysctl such as `net.ipv4.ip_forward` in the calling thread's namespace, without its newline.
///
/// Device names may contain dots, so a name with slashes (`net/ipv4/conf/eth0.5/forwarding`) is taken as a path.
pub fn read(name: &str) -> Result<String> {
    let path = path(name)?;
    let text = fs::read_to_string(path).map_err(|e| Error::from_io("read sysctl", name, &e))?;
    Ok(text.trim_end().to_owned())
}

/// Writes a sysctl in the calling thread's namespace.
pub fn write(name: &str, value: &str) -> Result<()> {
    let path = path(name)?;
    fs::write(path, value)
        .map_err(|e| Error::from_io("write sysctl", format!("{name} = {value}"), &e))
}

/// Reads a sysctl of `namespace`.
pub fn read_in(namespace: &Namespace, name: &str) -> Result<String> {
    namespace.run(|| read(name))?
}

/// Writes sysctls of `namespace` in order, stops at the first error.
pub fn write_in(namespace: &Namespace, settings: &[(&str, &str)]) -> Result<()> {
    namespace.run(|| {
        settings
            .iter()
            .try_for_each(|(name, value)| write(name, value))
    })?
}

fn path(name: &str) -> Result<PathBuf> {
    let relative = if name.contains('/') {
        name.to_owned()
    } else {
        name.replace('.', "/")
    };
    let plain = !relative.starts_with('/')
        && relative
            .split('/')
            .all(|part| !matches!(part, "" | "." | ".."));
    if plain {
        let root = PROCFS.get().map_or(Path::new("/proc"), PathBuf::as_path);
        Ok(root.join("sys").join(relative))
    } else {
        Err(Error::new("name sysctl", format!("{name:?}"), libc::EINVAL))
    }
}
