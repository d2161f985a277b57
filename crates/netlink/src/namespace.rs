//! Network namespaces: open, compare, enter, make, remove.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::handle::Handle;

/// Where named namespaces are mounted, as `ip netns` does it.
pub const DIRECTORY: &str = "/run/netns";

const NSFS_MAGIC: i128 = 0x6e73_6673;

/// What tells two namespaces apart: equal exactly when they are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamespaceId {
    /// Device of the namespace file system.
    pub device: u64,
    /// Inode, as in `net:[4026531840]`.
    pub inode: u64,
}

/// An open network namespace; the descriptor keeps it alive.
#[derive(Debug)]
pub struct Namespace {
    fd: OwnedFd,
    path: PathBuf,
}

impl Namespace {
    /// The calling thread's namespace.
    pub fn current() -> Result<Self> {
        Self::open("/proc/thread-self/ns/net")
    }

    /// The namespace behind a path such as `/run/netns/x` or `/proc/PID/ns/net`; anything else is refused.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let fail =
            |e: &io::Error| Error::from_io("open network namespace", path.display().to_string(), e);
        // Opening a FIFO must not wait for a writer.
        let file = File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
            .map_err(|e| fail(&e))?;
        // A plain file opens too; entering it would fail later with a bare EINVAL.
        if !is_namespace(&file).map_err(|e| fail(&e))? {
            return Err(
                fail(&io::Error::from_raw_os_error(libc::EINVAL)).with_detail("not a namespace")
            );
        }
        Ok(Self {
            fd: file.into(),
            path: path.to_owned(),
        })
    }

    /// A new one without a name: it lives as long as somebody has it open, or a socket in it. Its loopback is down.
    pub fn unnamed() -> Result<Self> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                unshare().map_err(|e| Error::from_io("create network namespace", "unnamed", &e))?;
                Self::current()
            });
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// The namespace of a process.
    pub fn of_process(pid: u32) -> Result<Self> {
        Self::open(format!("/proc/{pid}/ns/net"))
    }

    /// The namespace mounted under [`DIRECTORY`] by that name.
    pub fn named(name: &str) -> Result<Self> {
        Self::open(path_of(name)?)
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Identity of the namespace.
    pub fn id(&self) -> Result<NamespaceId> {
        let metadata = self
            .fd
            .try_clone()
            .and_then(|fd| File::from(fd).metadata())
            .map_err(|e| {
                Error::from_io(
                    "stat network namespace",
                    self.path.display().to_string(),
                    &e,
                )
            })?;
        Ok(NamespaceId {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }

    /// Whether both are the same namespace.
    pub fn is_same(&self, other: &Self) -> Result<bool> {
        Ok(self.id()? == other.id()?)
    }

    /// The namespace's cookie, as `bpf_get_netns_cookie` returns it (`SO_NETNS_COOKIE`, Linux 5.14).
    pub fn cookie(&self) -> Result<u64> {
        Handle::open_in(self)?.namespace_cookie()
    }

    /// Runs `work` on a thread of its own inside this namespace; a panic in it is passed on.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| self.enter().map(|()| work()));
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread into this namespace, for good: for threads and processes that are made for it.
    pub fn enter(&self) -> Result<()> {
        // SAFETY: the descriptor is open; setns changes nothing but the calling thread's namespace.
        let result = unsafe { libc::setns(self.fd.as_raw_fd(), libc::CLONE_NEWNET) };
        if result == 0 {
            Ok(())
        } else {
            Err(Error::last_os(
                "enter network namespace",
                self.path.display().to_string(),
            ))
        }
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Namespace {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

fn is_namespace(file: &File) -> io::Result<bool> {
    let mut status = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the descriptor is open and `status` has room for the structure.
    let result = unsafe { libc::fstatfs(file.as_raw_fd(), status.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: fstatfs succeeded, so it filled the structure.
    Ok(i128::from(unsafe { status.assume_init() }.f_type) == NSFS_MAGIC)
}

/// The mount point of a name; names that are not one plain path component are refused before any file is touched.
fn path_of(name: &str) -> Result<PathBuf> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(Error::new(
            "name network namespace",
            format!("{name:?}"),
            libc::EINVAL,
        ));
    }
    Ok(Path::new(DIRECTORY).join(name))
}

/// A namespace made under [`DIRECTORY`], removed when dropped.
#[derive(Debug)]
pub struct NamedNamespace {
    namespace: Namespace,
    name: String,
    at_drop: AtDrop,
}

/// What becomes of a named namespace whose guard goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AtDrop {
    Delete,
    Keep,
}

impl NamedNamespace {
    /// Makes a namespace and mounts it at `/run/netns/<name>`; `EEXIST` when the name is taken. Its loopback is down.
    pub fn create(name: &str) -> Result<Self> {
        let path = path_of(name)?;
        let fail = |e: &io::Error| Error::from_io("create network namespace", name, e);
        fs::create_dir_all(DIRECTORY).map_err(|e| fail(&e))?;
        File::options()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|e| fail(&e))?;
        let mounted = std::thread::scope(|scope| {
            let thread = scope.spawn(|| unshare_and_mount(&path));
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        if let Err(error) = mounted {
            let _ = fs::remove_file(&path);
            return Err(fail(&error));
        }
        let namespace = Namespace::open(&path).inspect_err(|_| {
            let _ = delete_named(name);
        })?;
        Ok(Self {
            namespace,
            name: name.to_owned(),
            at_drop: AtDrop::Delete,
        })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        Path::new(DIRECTORY).join(&self.name)
    }

    /// Leaves the namespace in place when the guard goes, and returns it.
    pub fn persist(mut self) -> Result<Namespace> {
        self.at_drop = AtDrop::Keep;
        Namespace::open(self.path())
    }
}

impl std::ops::Deref for NamedNamespace {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.namespace
    }
}

impl Drop for NamedNamespace {
    fn drop(&mut self) {
        if self.at_drop == AtDrop::Delete {
            let _ = delete_named(&self.name);
        }
    }
}

/// Unmounts and removes a named namespace; the kernel destroys it when its last user is gone. Gone already is fine.
pub fn delete_named(name: &str) -> Result<()> {
    let path = path_of(name)?;
    let text = c_path(&path).map_err(|e| Error::from_io("delete network namespace", name, &e))?;
    // SAFETY: `text` is a NUL-terminated path that lives across the call.
    let unmounted = unsafe { libc::umount2(text.as_ptr(), libc::MNT_DETACH) };
    if unmounted != 0 {
        let error = io::Error::last_os_error();
        // EINVAL: the file is there but nothing is mounted on it, as after a kill between the two steps of create.
        if !matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOENT)) {
            return Err(Error::from_io("delete network namespace", name, &error));
        }
    }
    match fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(Error::from_io("delete network namespace", name, &e))
        }
        _ => Ok(()),
    }
}

/// Moves the calling thread, which is made for that, into a new namespace.
fn unshare() -> io::Result<()> {
    // SAFETY: only the calling, dedicated thread changes its namespace.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn unshare_and_mount(target: &Path) -> io::Result<()> {
    let target = c_path(target)?;
    unshare()?;
    // SAFETY: both paths are NUL-terminated and live across the call; type and data may be null for a bind mount.
    let result = unsafe {
        libc::mount(
            c"/proc/thread-self/ns/net".as_ptr(),
            target.as_ptr(),
            std::ptr::null(),
            libc::MS_BIND,
            std::ptr::null(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn c_path(path: &Path) -> io::Result<std::ffi::CString> {
    use std::os::unix::ffi::OsStrExt;
    std::ffi::CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}
