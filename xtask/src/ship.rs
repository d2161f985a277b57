//! `./x image`: our programs as a container image that containerd imports, made without a container engine.
//!
//! Without words they are static and built for release; with `--dev` they are those of the test profile, with their shared
//! libraries, so that a test cluster needs no second build.

mod sbom;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::image::{Image, Packing, Written};
use crate::place::Place;
use crate::process::{answer, run};
use crate::setup::Part;
use crate::{Verb, cargo, ebpf, setup};

pub(crate) const VERB: Verb = Verb {
    name: "image",
    about: "pack our programs into an image; with --dev, those of the test profile",
    run: |place, words| {
        let build = match words {
            [] => Build::Release,
            [word] if word == "--dev" => Build::Dev,
            _ => bail!("usage: ./x image [--dev]"),
        };
        let begun = std::time::Instant::now();
        let (path, written) = make(place, build)?;
        println!(
            "{}: {} ({}), {} MB, in {:.0} s",
            path.display(),
            reference(place)?,
            written.digest,
            written.layer_bytes / 1_000_000,
            begun.elapsed().as_secs_f64(),
        );
        Ok(())
    },
};

/// Where programs run that are shipped: their allocator gives back at once what it does not need. After a minute of churn within a
/// thousand nodes agents hold 140 MiB with it (144 after five) and 160 without, at the same cost.
pub(crate) const ENVIRONMENT: [(&str, &str); 2] = [
    ("MIMALLOC_PURGE_DELAY", "0"),
    ("MIMALLOC_PAGE_FULL_RETAIN", "0"),
];

/// How the programs in the image were built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Build {
    /// The test profile, dynamic: for clusters on this machine.
    Dev,
    /// Static, optimised: for everybody else.
    Release,
}

/// A program of ours: package, what cargo calls it, and where it lies in the image.
struct Program {
    package: &'static str,
    binary: &'static str,
    inside: &'static str,
}

const PROGRAMS: &[Program] = &[
    Program {
        package: "agent",
        binary: "axoneme-agent",
        inside: "/usr/bin/axoneme-agent",
    },
    Program {
        package: "cli",
        binary: "axoneme",
        inside: "/usr/bin/axoneme",
    },
    Program {
        package: "cni",
        binary: "axoneme-cni",
        inside: "/opt/cni/bin/cilium-cni",
    },
    Program {
        package: "hubble",
        binary: "axoneme-relay",
        inside: "/usr/bin/axoneme-relay",
    },
    Program {
        package: "operator",
        binary: "axoneme-operator",
        inside: "/usr/bin/axoneme-operator",
    },
];

/// Upstream's names for them, as its chart and its users call them.
const LINKS: &[(&str, &str)] = &[
    // Paths below it are those of the node, which has this link.
    ("/var/run", "/run"),
    ("/usr/bin/axoneme-cni", "/opt/cni/bin/cilium-cni"),
    ("/usr/bin/cilium-cni", "/opt/cni/bin/cilium-cni"),
    ("/opt/cni/bin/loopback", "cilium-cni"),
    ("/usr/bin/cilium-agent", "axoneme-agent"),
    ("/usr/bin/cilium", "axoneme"),
    ("/usr/bin/cilium-dbg", "axoneme"),
    ("/usr/bin/cilium-bugtool", "axoneme"),
    ("/usr/bin/cilium-health", "axoneme"),
    ("/usr/bin/cilium-mount", "axoneme"),
    ("/usr/bin/cilium-sysctlfix", "axoneme"),
    ("/usr/bin/hubble", "axoneme"),
    ("/usr/bin/hubble-relay", "axoneme-relay"),
    ("/usr/bin/nsenter", "axoneme"),
    ("/usr/bin/cilium-operator", "axoneme-operator"),
    ("/usr/bin/cilium-operator-generic", "axoneme-operator"),
];

/// The shell of init steps, static, under the names that upstream's chart has for it. Busybox's own has no `bash`, and prefers its applets
/// (an `nsenter` that knows no control groups) to what is on the path.
const SHELL: Part = Part {
    file: "/bin/mksh-static",
    package: "mksh",
};

/// What init steps, probes and people call, all of busybox.
const BUSYBOX: Part = Part {
    file: "/bin/busybox",
    package: "busybox-static",
};
const APPLETS: &[&str] = &[
    "awk", "basename", "cat", "chmod", "cp", "date", "df", "dirname", "du", "env", "false", "find",
    "grep", "gunzip", "gzip", "head", "hostname", "id", "kill", "less", "ln", "ls", "mkdir",
    "mount", "mv", "nc", "netstat", "nslookup", "ping", "printf", "ps", "readlink", "rm", "sed",
    "seq", "sleep", "sort", "stat", "tail", "tar", "tee", "test", "top", "touch", "tr", "true",
    "umount", "uname", "uniq", "vi", "wc", "wget", "xargs",
];

const SCRIPTS: &[&str] = &["cni-uninstall.sh", "init-container.sh", "install-plugin.sh"];

/// Where it lies in the cache.
pub(crate) const ARCHIVE: &str = "image/axoneme.tar";

/// Name and tag of the image.
pub(crate) fn reference(place: &Place) -> Result<String> {
    Ok(format!("axoneme.io/axoneme:{}", version(&place.repo)?))
}

/// Builds what is packed and writes the archive.
pub(crate) fn make(place: &Place, build: Build) -> Result<(PathBuf, Written)> {
    setup::ensure(place)?;
    setup::need(&[BUSYBOX, SHELL])?;
    let has = answer(BUSYBOX.file, &["--list"]).context("busybox does not tell its applets")?;
    if let Some(name) = absent(&has) {
        bail!("this machine's busybox has no '{name}', and the image would have a link to it");
    }
    ebpf::object(&place.repo, &place.cache).map_err(anyhow::Error::msg)?;
    let folder = match build {
        Build::Dev => compile_dev(place)?,
        Build::Release => compile_release(place)?,
    };
    let image = contents(place, &folder, build)?;
    let to = place.cache.join(ARCHIVE);
    let written = image.write(&to)?;
    Ok((to, written))
}

/// The first applet that a list of busybox's lacks: a link of its name would end with "applet not found".
fn absent(list: &str) -> Option<&'static str> {
    let has: BTreeSet<&str> = list.lines().map(str::trim).collect();
    APPLETS.iter().copied().find(|name| !has.contains(name))
}

/// The programs whose sources are there.
fn programs(repo: &Path) -> impl Iterator<Item = &'static Program> {
    PROGRAMS
        .iter()
        .filter(move |program| repo.join("crates").join(program.package).exists())
}

fn packages(repo: &Path) -> Vec<&'static str> {
    programs(repo)
        .flat_map(|program| ["--package", program.package])
        .collect()
}

/// What lies in the image, with programs out of a folder.
fn contents(place: &Place, folder: &Path, build: Build) -> Result<Image> {
    let version = version(&place.repo)?;
    let mut image = Image::named(&[&format!("axoneme.io/axoneme:{version}")]);
    let mut links = LINKS.to_vec();
    for program in programs(&place.repo) {
        let from = folder.join(program.binary);
        match build {
            Build::Dev => image.program(&stripped(&from)?, program.inside, Path::new("/"))?,
            Build::Release => image.file(&from, program.inside),
        };
    }
    // A link whose program is not built yet would say "not found" of a name that is there.
    links.retain(|(_, target)| {
        !target.starts_with("axoneme-") || image.files.contains_key(&format!("/usr/bin/{target}"))
    });
    image.folders.push("/run".to_owned());
    image.file(Path::new(BUSYBOX.file), "/bin/busybox");
    image.file(Path::new(SHELL.file), "/bin/mksh");
    for name in ["/bin/bash", "/bin/sh"] {
        image.links.insert(name.to_owned(), "mksh".to_owned());
    }
    let applets = APPLETS
        .iter()
        .map(|name| (format!("/bin/{name}"), "busybox".to_owned()));
    let links = links
        .into_iter()
        .map(|(name, target)| (name.to_owned(), target.to_owned()));
    image.links.extend(applets.chain(links));
    for name in SCRIPTS {
        image.file(
            &place.repo.join("deploy/image").join(name),
            &format!("/{name}"),
        );
    }
    image.file(
        &place.repo.join("LICENSE"),
        "/usr/share/doc/axoneme/LICENSE",
    );
    for (name, text) in texts() {
        image.texts.insert(name.to_owned(), text.to_owned());
    }
    if build == Build::Release {
        let bill = sbom::of(place, &packages(&place.repo), &version)?;
        std::fs::create_dir_all(place.cache.join("image"))?;
        std::fs::write(place.cache.join("image/axoneme.cdx.json"), &bill)?;
        image
            .texts
            .insert("/usr/share/doc/axoneme/sbom.cdx.json".into(), bill);
        image.packing = Packing::Gzip;
    }
    describe(&mut image, &version);
    Ok(image)
}

/// What starts in it, in which surroundings, and what people read of it.
fn describe(image: &mut Image, version: &str) {
    image.env = vec![
        // With this `cilium` is the node client; see `axoneme dbg`.
        "AXONEME_IMAGE=agent".into(),
        // In the agent's pod `hubble observe` asks the agent.
        "HUBBLE_SERVER=unix:///var/run/cilium/hubble.sock".into(),
    ];
    let environment = ENVIRONMENT.map(|(name, value)| format!("{name}={value}"));
    image.env.extend(environment);
    image.cmd = vec!["/usr/bin/axoneme-agent".into()];
    for (key, value) in [
        ("title", "Axoneme"),
        ("version", version),
        ("licenses", "Apache-2.0"),
    ] {
        let key = format!("org.opencontainers.image.{key}");
        image.labels.insert(key, value.to_owned());
    }
}

/// The program without the names of its lines, which are three quarters of it and which each node would have to be given.
fn stripped(program: &Path) -> Result<PathBuf> {
    let name = program.file_name().context("a program has a name")?;
    let folder = program.with_file_name("stripped");
    std::fs::create_dir_all(&folder)?;
    let to = folder.join(name);
    run(Command::new("strip")
        .args(["--strip-debug", "-o"])
        .args([&to, program]))?;
    Ok(to)
}

/// The users that the image knows: the superuser and the one that what needs no rights runs as.
fn texts() -> [(&'static str, &'static str); 2] {
    [
        (
            "/etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nnonroot:x:65532:65532:nonroot:/:/bin/false\n",
        ),
        ("/etc/group", "root:x:0:\nnonroot:x:65532:\n"),
    ]
}

/// The workspace's version.
pub(crate) fn version(repo: &Path) -> Result<String> {
    let text = std::fs::read_to_string(repo.join("Cargo.toml"))?;
    let manifest: toml::Table = text.parse().context("Cargo.toml")?;
    let version = manifest["workspace"]["package"]["version"].as_str();
    Ok(version.context("workspace.package.version")?.to_owned())
}

/// The test profile's programs lie beside us.
fn compile_dev(place: &Place) -> Result<PathBuf> {
    // With what the demo needs besides: other packages would mean other features, and all of it compiled once more.
    cargo::build_demo(place)?;
    let us = std::env::current_exe().context("where is xtask?")?;
    Ok(us.parent().context("xtask lies in a folder")?.to_owned())
}

/// The programs of the image.
fn compile_release(place: &Place) -> Result<PathBuf> {
    let mut command = cargo::cargo(place);
    command
        .args(["build", "--bins"])
        .args(packages(&place.repo));
    let folder = as_shipped(place, &mut command)?;
    run(&mut command)?;
    Ok(folder)
}

/// Makes cargo build static, optimised programs, on musl where there is a standard library for it, else on glibc; says where they
/// will lie.
pub(crate) fn as_shipped(place: &Place, command: &mut Command) -> Result<PathBuf> {
    let arch = std::env::consts::ARCH;
    let musl = format!("{arch}-unknown-linux-musl");
    let (triple, flags) = if has_std(&musl) {
        setup::need(&[Part {
            file: "/usr/bin/musl-gcc",
            package: "musl-tools",
        }])?;
        (musl, "")
    } else {
        (
            format!("{arch}-unknown-linux-gnu"),
            "-Ctarget-feature=+crt-static",
        )
    };
    // Paths of this machine are no part of what is built.
    let home = std::env::var("CARGO_HOME")
        .unwrap_or_else(|_| format!("{}/.cargo", std::env::var("HOME").unwrap_or_default()));
    let flags = format!(
        "{flags} --remap-path-prefix={}=axoneme --remap-path-prefix={home}=cargo",
        place.repo.display()
    );
    command
        .args(["--release", "--target", &triple])
        .env("RUSTFLAGS", flags.trim());
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| place.cache.join("target"), PathBuf::from);
    Ok(target.join(triple).join("release"))
}

/// Whether programs can be built for it; rustup is asked for the standard library once.
fn has_std(triple: &str) -> bool {
    let there = || {
        answer("rustc", &["--print", "target-libdir", "--target", triple])
            .is_some_and(|folder| Path::new(folder.trim()).exists())
    };
    there()
        || (std::env::var_os("RUSTUP_TOOLCHAIN").is_some()
            && answer("rustup", &["target", "add", triple]).is_some()
            && there())
}
