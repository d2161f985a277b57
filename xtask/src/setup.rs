//! Installs what is missing to build and test: the distribution's packages and bpf-linker. Does nothing when all is there.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::place::Place;
use crate::process::{answer, run};
use crate::{Verb, ebpf, machine};

pub(crate) const VERB: Verb = Verb {
    name: "setup",
    about: "install what is missing: the distribution's packages and bpf-linker",
    run: |place, _| ensure(place),
};

pub(crate) const EBPF: Verb = Verb {
    name: "ebpf",
    about: "build the eBPF object, if its sources changed, and print its path",
    run: |place, _| {
        ensure(place)?;
        let object = ebpf::object(&place.repo, &place.cache).map_err(anyhow::Error::msg)?;
        println!("{}", object.display());
        Ok(())
    },
};

/// A file that must be there, and the Debian package that brings it.
struct Part {
    file: &'static str,
    package: &'static str,
}

/// What every build and test needs.
const PARTS: &[Part] = &[
    Part {
        file: "/usr/bin/cc",
        package: "gcc",
    },
    Part {
        file: "/usr/include/stdio.h",
        package: "libc6-dev",
    },
    Part {
        file: "/usr/bin/git",
        package: "git",
    },
    Part {
        file: "/etc/ssl/certs/ca-certificates.crt",
        package: "ca-certificates",
    },
    Part {
        file: ebpf::RUSTC,
        package: "rustc-web",
    },
    Part {
        file: "/usr/bin/cargo",
        package: "cargo-web",
    },
    Part {
        file: ebpf::CORE,
        package: "libstd-rust-web-dev-bpf",
    },
    Part {
        file: "/usr/bin/ip",
        package: "iproute2",
    },
];

/// What only compiling bpf-linker needs.
const LINKER_PARTS: &[Part] = &[
    Part {
        file: "/usr/lib/llvm-22/bin/llvm-config",
        package: "llvm-22-dev",
    },
    Part {
        file: "/usr/lib/llvm-22/lib/libPolly.a",
        package: "libpolly-22-dev",
    },
    Part {
        file: "/usr/include/zstd.h",
        package: "libzstd-dev",
    },
    Part {
        file: "/usr/include/zlib.h",
        package: "zlib1g-dev",
    },
];

const LINKER_VERSION: &str = "0.13.0";

/// Makes sure that all of it is there; quick when it is.
pub(crate) fn ensure(place: &Place) -> Result<()> {
    let have_linker = linker_version(place).is_some_and(|version| version == LINKER_VERSION);
    let mut parts: Vec<&Part> = PARTS.iter().collect();
    if !have_linker {
        parts.extend(LINKER_PARTS);
    }
    let missing: BTreeSet<&str> = parts
        .iter()
        .filter(|part| !Path::new(part.file).exists())
        .map(|part| part.package)
        .collect();
    if !missing.is_empty() {
        install(&missing.into_iter().collect::<Vec<_>>())?;
    }
    if !have_linker {
        install_linker(place)?;
    }
    Ok(())
}

/// Installs packages, or says in one sentence why it cannot.
fn install(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    if !machine::has_apt() {
        bail!(
            "{} has no apt-get; what Debian 12 calls {list} is missing",
            machine::distribution()
        );
    }
    if !machine::is_root() {
        bail!("installing {list} needs root: run './x setup' as root once");
    }
    println!("installing {list}");
    let begun = Instant::now();
    // The package lists may be old, and another apt may be at work: both are cured by waiting and asking again.
    let mut waits = [0, 5, 15, 30, 60].into_iter();
    loop {
        let Some(wait) = waits.next() else {
            bail!("apt-get could not install {list}");
        };
        sleep(Duration::from_secs(wait));
        let attempt = apt(&["update", "-qq"]).and_then(|()| {
            let mut words = vec!["install", "-y", "-qq", "--no-install-recommends"];
            words.extend(packages);
            apt(&words)
        });
        match attempt {
            Ok(()) => break,
            Err(error) => eprintln!("x: {error:#}; trying again"),
        }
    }
    println!("installed in {:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}

fn apt(words: &[&str]) -> Result<()> {
    run(Command::new("apt-get")
        .args(["-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0"])
        .args(words)
        .env("DEBIAN_FRONTEND", "noninteractive"))
}

fn linker_version(place: &Place) -> Option<String> {
    let program = place.tools().join("bin/bpf-linker");
    let text = answer(program.to_str()?, &["--version"])?;
    text.split_whitespace().nth(1).map(str::to_owned)
}

/// Compiles bpf-linker against the LLVM that the distribution's compiler uses, so that both speak the same bitcode.
fn install_linker(place: &Place) -> Result<()> {
    println!("compiling bpf-linker {LINKER_VERSION} (once; 1 to 3 minutes)");
    let begun = Instant::now();
    let mut command = Command::new("/usr/bin/cargo");
    command
        .args([
            "install",
            "bpf-linker",
            "--quiet",
            "--locked",
            "--version",
            LINKER_VERSION,
        ])
        .args([
            "--no-default-features",
            "--features",
            "llvm-22",
            "--force",
            "--root",
        ])
        .arg(place.tools())
        .env("PATH", "/usr/lib/llvm-22/bin:/usr/bin:/bin")
        .env("RUSTC", ebpf::RUSTC)
        .env("RUSTFLAGS", "-L native=/usr/lib/llvm-22/lib")
        .env("CARGO_TARGET_DIR", place.cache.join("tools/target"))
        .env_remove("RUSTUP_TOOLCHAIN");
    run(&mut command).context("bpf-linker")?;
    println!("compiled in {:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}
