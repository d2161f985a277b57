//! What this machine is and allows: distribution, root, eBPF, and whether somebody watches.

use std::fs;
use std::path::Path;

use crate::process::answer;

/// Whether packages can be installed as on Debian 12.
pub(crate) fn has_apt() -> bool {
    Path::new("/usr/bin/apt-get").exists()
}

/// The distribution's own name for itself.
pub(crate) fn distribution() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map_or_else(
            || "this distribution".into(),
            |name| name.trim_matches('"').into(),
        )
}

/// Whether we are the superuser.
pub(crate) fn is_root() -> bool {
    answer("id", &["-u"]).is_some_and(|uid| uid.trim() == "0")
}

/// Whether this is a run with nobody watching, where nothing may be left out.
pub(crate) fn nobody_watches() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// Why eBPF programs, namespaces and their tests cannot run here, in half a sentence; nothing if they can.
pub(crate) fn refuses_ebpf() -> Option<String> {
    if !is_root() {
        return Some("it needs root".into());
    }
    // CAP_NET_ADMIN 12, CAP_SYS_ADMIN 21, CAP_BPF 39: a container's root often has none of them.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .unwrap_or(0);
    for (bit, name) in [
        (12, "CAP_NET_ADMIN"),
        (21, "CAP_SYS_ADMIN"),
        (39, "CAP_BPF"),
    ] {
        if effective & (1 << bit) == 0 {
            return Some(format!("root lacks {name} here"));
        }
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    match kernel_version(&release) {
        Some(version) if version >= OLDEST_KERNEL => None,
        _ => Some(format!("the kernel {} is older than 6.6", release.trim())),
    }
}

/// tcx and netkit-era hooks: 6.6.
const OLDEST_KERNEL: (u32, u32) = (6, 6);

/// Major and minor of a release such as `6.18.44-amd64`.
fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(['.', '-']);
    let major = numbers.next()?.trim().parse().ok()?;
    let minor = numbers.next()?.trim().parse().ok()?;
    Some((major, minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_release_gives_major_and_minor() {
        assert_eq!(kernel_version("6.18.44-amd64\n"), Some((6, 18)));
        assert_eq!(kernel_version("6.6-rc1"), Some((6, 6)));
        assert_eq!(kernel_version("strange"), None);
    }
}
