//! What the tests play on: a bpffs, namespaces and pods that vanish with the test.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use datapath::abi::node::Features;
use kernel::{Config, Kernel};

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// One test's place: directory, bpffs, prefix of its namespaces.
pub(crate) struct Stage {
    directory: PathBuf,
    bpffs: PathBuf,
}

impl Stage {
    /// `None`, with the reason printed, where the machine does not allow it; a failure in CI.
    pub(crate) fn new(name: &str) -> Option<Self> {
        // SAFETY: asks for a number.
        if unsafe { libc::geteuid() } != 0 {
            assert!(
                std::env::var_os("CI").is_none(),
                "needs root, and CI may leave nothing out"
            );
            println!("skipped: needs root");
            return None;
        }
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let directory =
            std::env::temp_dir().join(format!("ax-{name}-{}-{number}", std::process::id()));
        let bpffs = directory.join("bpf");
        std::fs::create_dir_all(&bpffs).expect("directory");
        let target = CString::new(bpffs.to_str().expect("utf-8")).expect("path");
        // SAFETY: three strings that live over the call, and no data.
        let result = unsafe {
            libc::mount(
                c"bpf".as_ptr(),
                target.as_ptr(),
                c"bpf".as_ptr(),
                0,
                std::ptr::null(),
            )
        };
        assert_eq!(
            result,
            0,
            "mount bpffs: {}",
            std::io::Error::last_os_error()
        );
        Some(Self { directory, bpffs })
    }

    /// Where the bpffs is mounted.
    pub(crate) fn bpffs(&self) -> &Path {
        &self.bpffs
    }

    /// Small maps, because several tests run at once.
    pub(crate) fn config(&self) -> Config {
        Config {
            connections: 4096,
            openings: 4096,
            aliases: 4096,
            fragments: 1024,
            affinity: 1024,
            socket_peers: 1024,
            ..Config::default()
        }
    }

    /// Everything on, without overlay.
    pub(crate) fn features() -> Features {
        Features {
            hz: 250,
            ipv4: 1,
            ipv6: 1,
            allow_localhost: 1,
            services: 1,
            reject_no_backend: 1,
            events: 1,
            nodeport_min: 30000,
            nodeport_max: 32767,
            snat_min: 32768,
            snat_max: 65535,
            ..Features::default()
        }
    }

    /// Loads the object.
    pub(crate) fn load(&self) -> Kernel {
        Kernel::load(&self.bpffs, &self.config(), Self::features()).expect("load")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let target = CString::new(self.bpffs.to_str().expect("utf-8")).expect("path");
        // SAFETY: one string that lives over the call.
        unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) };
        std::fs::remove_dir_all(&self.directory).expect("remove");
    }
}
