//! `prepare`: the plugin, then the mounts and what systemd is told.

use std::io::Write;
use std::path::Path;

use anyhow::Context as _;
use rustix::mount::{MountFlags, mount};

use super::{Prepare, namespaces};
use crate::dbg::context::Outcome;

/// Where the image has the plugins.
const PLUGINS: &str = "/opt/cni/bin";
/// Ours, which is replaced by the one of this version.
const PLUGIN: &str = "cilium-cni";
/// Containerd needs it for the pod's `lo`; another vendor's stays.
const LOOPBACK: &str = "loopback";

/// `f_type` of the file systems (linux/magic.h).
const BPF_MAGIC: i64 = 0xcafe_4a11;
const CGROUP2_MAGIC: i64 = 0x6367_7270;

/// A directory that systemd has where it is process 1 (sd_booted(3)).
const SYSTEMD: &str = "run/systemd/system";
/// Read last of its directory.
const SYSCTL_FILE: &str = "etc/sysctl.d/99-zzz-override_cilium.conf";
/// systemd sets these again for each device that appears, so for each pod.
const SYSCTLS: &str = "\
# Written by Axoneme: reverse path filtering would drop what eBPF delivers.
-net.ipv4.conf.lxc*.rp_filter = 0
-net.ipv4.conf.cilium_*.rp_filter = 0
net.ipv4.conf.all.rp_filter = 0
";

pub(super) fn run(args: &Prepare, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    if let Some(to) = &args.plugins {
        install(Path::new(PLUGINS), to, out)?;
    }
    if let Some(proc) = &args.host_proc {
        namespaces::enter_host(proc)?;
    }
    if let Some(at) = &args.mount_bpf {
        ensure_mounted("bpf", BPF_MAGIC, at, out)?;
    }
    if let Some(at) = &args.mount_cgroup {
        ensure_mounted("cgroup2", CGROUP2_MAGIC, at, out)?;
    }
    if args.sysctls {
        tell_systemd(Path::new("/"), out)?;
    }
    Ok(Outcome::Good)
}

/// Installs the plugins of `from` into `to`, each one whole or not at all: a pod may be made at any moment.
pub(super) fn install(from: &Path, to: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    std::fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for name in [PLUGIN, LOOPBACK] {
        let target = to.join(name);
        if name == LOOPBACK && target.exists() {
            continue;
        }
        let temporary = to.join(format!(".{name}.new"));
        // Copies what a link points to, and its mode.
        std::fs::copy(from.join(name), &temporary)
            .and_then(|_| std::fs::rename(&temporary, &target))
            .with_context(|| format!("install {}", target.display()))?;
        writeln!(out, "installed {}", target.display())?;
    }
    Ok(())
}

fn ensure_mounted(kind: &str, magic: i64, at: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let attempted = || format!("mount {kind} at {}", at.display());
    std::fs::create_dir_all(at).with_context(attempted)?;
    let there = rustix::fs::statfs(at).with_context(attempted)?;
    if there.f_type == magic {
        return Ok(());
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount(kind, at, kind, flags, None).with_context(attempted)?;
    writeln!(out, "mounted {kind} at {}", at.display())?;
    Ok(())
}

/// Writes the file for systemd, where there is one to read it.
pub(super) fn tell_systemd(root: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let file = root.join(SYSCTL_FILE);
    let told = std::fs::read_to_string(&file).is_ok_and(|text| text == SYSCTLS);
    if told || !root.join(SYSTEMD).exists() {
        return Ok(());
    }
    let attempted = || format!("write {}", file.display());
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory).with_context(attempted)?;
    }
    let temporary = file.with_extension("new");
    std::fs::write(&temporary, SYSCTLS)
        .and_then(|()| std::fs::rename(&temporary, &file))
        .with_context(attempted)?;
    writeln!(out, "wrote {}", file.display())?;
    Ok(())
}
