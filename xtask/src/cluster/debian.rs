//! Programs of the distribution, unpacked beside the system instead of installed into it: no service of theirs ever starts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};

use super::layout::Layout;
use crate::image::digest_of;
use crate::process::run;

/// What the nodes run, and what tests look for in their pods.
const PACKAGES: &[&str] = &[
    "bash",
    "bind9-dnsutils",
    "busybox-static",
    "conntrack",
    "containerd",
    "curl",
    "dash",
    "etcd-server",
    "iperf",
    "iproute2",
    "libc-bin",
    "netcat-openbsd",
    "runc",
    "socat",
    "tcpdump",
    "util-linux",
];

/// The root of a tree with all of them and all that they depend on.
pub(super) fn unpacked(layout: &Layout) -> Result<PathBuf> {
    let key = &digest_of(PACKAGES.join(" ").as_bytes())[..16];
    let folder = layout.built.join(format!("debian-{key}"));
    if folder.exists() {
        return Ok(folder);
    }
    let _alone = layout.alone("debian")?;
    if !folder.exists() {
        let begun = Instant::now();
        println!(
            "fetching {} packages of the distribution (once; about 80 MB)",
            PACKAGES.len()
        );
        fetch(&folder)?;
        println!("unpacked in {:.0} s", begun.elapsed().as_secs_f64());
    }
    Ok(folder)
}

/// Programs of the cluster itself among them.
const PROGRAMS: &[&str] = &[
    "usr/bin/containerd",
    "usr/bin/containerd-shim-runc-v2",
    "usr/bin/ctr",
    "usr/bin/etcd",
    "usr/sbin/runc",
];

/// Makes them programs of a cluster.
pub(super) fn link(layout: &Layout) -> Result<()> {
    let root = unpacked(layout)?;
    for path in PROGRAMS {
        let program = root.join(path);
        let name = program
            .file_name()
            .and_then(|name| name.to_str())
            .context("a program has a name")?;
        layout.link(&program, name)?;
    }
    Ok(())
}

fn fetch(folder: &Path) -> Result<()> {
    let unfinished = folder.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    let archives = unfinished.join("var/cache/apt/archives");
    fs::create_dir_all(archives.join("partial"))?;
    let status = unfinished.join("status");
    fs::write(&status, "")?;
    if download(&archives, &status).is_err() {
        run(Command::new("apt-get")
            .args(["update", "-qq"])
            .stdout(Stdio::null()))?;
        download(&archives, &status)?;
    }
    for entry in fs::read_dir(&archives)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg").arg("-x").arg(&path).arg(&unfinished))?;
        }
    }
    fs::remove_dir_all(&archives)?;
    fs::rename(&unfinished, folder).with_context(|| folder.display().to_string())
}

/// Asks as if nothing were installed, so that what the packages depend on comes too.
fn download(archives: &Path, status: &Path) -> Result<()> {
    let option = |name: &str, path: &Path| format!("{name}={}", path.display());
    run(Command::new("apt-get")
        .args([
            "install",
            "-qq",
            "-y",
            "--download-only",
            "--no-install-recommends",
        ])
        .args(["-o", &option("Dir::State::status", status)])
        .args(["-o", &option("Dir::Cache::archives", archives)])
        .args(["-o", "APT::Sandbox::User=root"])
        .args(PACKAGES)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout(Stdio::null()))
}
