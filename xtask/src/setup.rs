//! Installs what is missing to build and test: the distribution's packages and bpf-linker. Does nothing when all is there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{fs, os::unix::fs::symlink};

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
pub(crate) struct Part {
    pub(crate) file: &'static str,
    pub(crate) package: &'static str,
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

/// Parts of the toolchain that user space is built with, beside its cargo: file, Debian's package, rustup's component.
const COMPONENTS: &[(&str, &str, &str)] = &[
    ("cargo-fmt", "rustfmt-web", "rustfmt"),
    ("cargo-clippy", "rust-web-clippy", "clippy"),
];

const LINKER_VERSION: &str = "0.13.0";

/// Makes sure that all of it is there; quick when it is.
pub(crate) fn ensure(place: &Place) -> Result<()> {
    let mut packages = missing(PARTS);
    let components = missing_components();
    let has_rustup = std::env::var_os("RUSTUP_TOOLCHAIN").is_some();
    if !has_rustup {
        packages.extend(components.iter().map(|(package, _)| package));
    }
    if answer("npm", &["--version"]).is_none() {
        packages.extend(["nodejs", "npm"]);
    }
    if !packages.is_empty() {
        install(&packages)?;
    }
    if has_rustup && !components.is_empty() {
        let names = components.iter().map(|(_, component)| component);
        run(Command::new("rustup")
            .args(["component", "add"])
            .args(names))?;
    }
    if linker_version(place).is_none_or(|version| version != LINKER_VERSION) {
        install_linker(place)?;
    }
    Ok(())
}

/// Makes sure of what only some verbs need.
pub(crate) fn need(parts: &[Part]) -> Result<()> {
    match missing(parts).as_slice() {
        [] => Ok(()),
        packages => install(packages),
    }
}

fn missing(parts: &[Part]) -> Vec<&'static str> {
    parts
        .iter()
        .filter(|part| !Path::new(part.file).exists())
        .map(|part| part.package)
        .collect()
}

/// Package and component of each program that should lie beside the cargo that runs us, and does not.
fn missing_components() -> Vec<(&'static str, &'static str)> {
    let cargo = std::env::var_os("CARGO").unwrap_or_default();
    let Some(folder) = Path::new(&cargo).parent() else {
        return Vec::new();
    };
    COMPONENTS
        .iter()
        .filter(|(program, _, _)| !folder.join(program).exists())
        .map(|(_, package, component)| (*package, *component))
        .collect()
}

/// Installs packages, or says in one sentence why it cannot.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
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
    // Hundreds of lines of unpacking help nobody; what goes wrong is said on the other stream.
    run(Command::new("apt-get")
        .stdout(Stdio::null())
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
    println!("compiling bpf-linker {LINKER_VERSION} (once; 1 to 5 minutes)");
    let begun = Instant::now();
    let mut command = Command::new("/usr/bin/cargo");
    command
        .args(["install", "bpf-linker", "--quiet", "--locked", "--force"])
        .args(["--version", LINKER_VERSION])
        .args(["--no-default-features", "--features", "llvm-22", "--root"])
        .arg(place.tools())
        .env("PATH", "/usr/bin:/bin")
        .env("RUSTC", ebpf::RUSTC)
        .env("LLVM_PREFIX", llvm_prefix(place)?)
        .env("CARGO_TARGET_DIR", place.cache.join("tools/target"))
        .env_remove("RUSTUP_TOOLCHAIN");
    run(&mut command).context("bpf-linker")?;
    // Hundreds of megabytes that nobody reads again.
    fs::remove_dir_all(place.cache.join("tools/target"))?;
    println!("compiled in {:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// A folder whose `lib` holds the compiler's own LLVM under the name the linker looks for. That library comes with the
/// compiler; the development package would bring the same, its headers and 400 MB more.
fn llvm_prefix(place: &Place) -> Result<PathBuf> {
    let libraries = Path::new("/usr/lib").join(format!("{}-linux-gnu", std::env::consts::ARCH));
    let llvm = libraries.join("libLLVM.so.22.1");
    if !llvm.exists() {
        bail!(
            "{} is missing: rustc-web here is not built on LLVM 22",
            llvm.display()
        );
    }
    let prefix = place.tools().join("llvm");
    let link = prefix.join("lib/libLLVM.so");
    fs::create_dir_all(prefix.join("lib"))?;
    if fs::symlink_metadata(&link).is_ok() {
        fs::remove_file(&link)?;
    }
    symlink(&llvm, &link).with_context(|| link.display().to_string())?;
    Ok(prefix)
}
