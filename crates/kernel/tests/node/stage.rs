//! What the tests play on: a bpffs, namespaces and pods that vanish with the test.

use std::ffi::CString;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use datapath::abi::Address;
use datapath::abi::node::Features;
use datapath::abi::service::{Backend, Frontend, FrontendKey, SlotKey};
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
            eprintln!("skipped: needs root");
            return None;
        }
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let directory =
            std::env::temp_dir().join(format!("axt-{}-{name}-{number}", std::process::id()));
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
    pub(crate) fn config() -> Config {
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
            capture: 1,
            nodeport_min: 30000,
            nodeport_max: 32767,
            snat_min: 32768,
            snat_max: 65535,
            ..Features::default()
        }
    }

    /// Loads the object.
    pub(crate) fn load(&self) -> Kernel {
        Kernel::load(&self.bpffs, &Self::config(), Self::features()).expect("load")
    }
}

impl Stage {
    /// A cgroup of the test's own, below the cgroup2 mount.
    pub(crate) fn cgroup(&self) -> Cgroup {
        let mounts = std::fs::read_to_string("/proc/self/mounts").expect("mounts");
        let mount = mounts
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .find(|fields| fields.get(2) == Some(&"cgroup2"))
            .and_then(|fields| fields.get(1).map(PathBuf::from))
            .expect("cgroup2 is mounted");
        let name = self.directory.file_name().expect("name");
        let path = mount.join(name);
        std::fs::create_dir(&path).expect("cgroup");
        Cgroup { path }
    }

    /// A service on port 80 of `address`, TCP and UDP, with one backend.
    pub(crate) fn service(kernel: &Kernel, address: [u8; 4], backend: SocketAddr) {
        for (protocol, id) in [(6, 1), (17, 2)] {
            let row = Backend {
                address: backend.ip().into(),
                port: backend.port().to_be(),
                protocol,
                state: 0,
            };
            kernel.maps.backends.set(&id, &row).expect("backend");
            let slot = SlotKey {
                service: id,
                slot: 0,
            };
            kernel.maps.service_slots.set(&slot, &id).expect("slot");
            write_frontend(
                kernel,
                address,
                protocol,
                Frontend {
                    service: id,
                    slots: 1,
                    ..Frontend::default()
                },
            );
        }
    }

    /// A TCP service on port 80 without backends.
    pub(crate) fn service_without_backends(kernel: &Kernel, address: [u8; 4]) {
        write_frontend(
            kernel,
            address,
            6,
            Frontend {
                service: 9,
                ..Frontend::default()
            },
        );
    }
}

fn write_frontend(kernel: &Kernel, address: [u8; 4], protocol: u8, row: Frontend) {
    let key = FrontendKey {
        address: Address::v4(address),
        port: 80u16.to_be(),
        protocol,
        scope: 0,
    };
    kernel.maps.frontends.set(&key, &row).expect("frontend");
}

/// A cgroup that goes with the test.
pub(crate) struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs one test of this binary as a process in the cgroup.
    pub(crate) fn run_test(
        &self,
        name: &str,
        environment: &[(&str, &str)],
    ) -> std::process::Output {
        let processes = self.path.join("cgroup.procs");
        let mut command = std::process::Command::new(std::env::current_exe().expect("binary"));
        command
            .args(["--exact", name, "--nocapture"])
            .envs(environment.iter().copied());
        // SAFETY: between fork and exec only one file is opened and written.
        unsafe {
            command.pre_exec(move || std::fs::write(&processes, "0"));
        }
        command.output().expect("child")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The last process may still be on its way out.
        for _ in 0..100 {
            if std::fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
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
