//! Builds the eBPF object from its sources when they or the toolchain changed; std only, so that `kernel`'s build script includes this file too.
//!
//! The object is built with the distribution's compiler, because that one comes with `core` for the bpf target.
//! It lies under a folder named by a hash of all that it is made from, and is never committed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

/// The compiler and cargo of the distribution's packages `rustc-web` and `cargo-web`.
pub(crate) const RUSTC: &str = "/usr/bin/rustc";
const CARGO: &str = "/usr/bin/cargo";
/// `core` for the target, from the package `libstd-rust-web-dev-bpf`.
pub(crate) const CORE: &str = "/usr/lib/rustlib/bpfel-unknown-none/lib";
const TARGET: &str = "bpfel-unknown-none";
/// The crate, which is no member of the workspace: it has its own target, profile and lock file.
const CRATE: &str = "crates/datapath-ebpf";
/// Everything the object is made from, relative to the root of the clone.
const INPUTS: &[&str] = &[
    "crates/datapath-ebpf/Cargo.toml",
    "crates/datapath-ebpf/Cargo.lock",
    "crates/datapath-ebpf/src",
    "crates/datapath/Cargo.toml",
    "crates/datapath/src",
];

/// `$AXONEME_CACHE`, or `axoneme` in the person's cache folder.
pub(crate) fn cache_folder() -> Result<PathBuf, String> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(folder) = set("AXONEME_CACHE") {
        return Ok(folder.into());
    }
    if let Some(folder) = set("XDG_CACHE_HOME") {
        return Ok(PathBuf::from(folder).join("axoneme"));
    }
    let home = set("HOME").ok_or("neither AXONEME_CACHE, XDG_CACHE_HOME nor HOME is set")?;
    Ok(PathBuf::from(home).join(".cache/axoneme"))
}

/// The files and folders whose change makes another object; for `rerun-if-changed`.
pub(crate) fn inputs(repo: &Path) -> Vec<PathBuf> {
    INPUTS.iter().map(|input| repo.join(input)).collect()
}

/// The object's path, built now unless it lies there already. The error is one sentence about what is missing,
/// or what the compiler said.
pub(crate) fn object(repo: &Path, cache: &Path) -> Result<PathBuf, String> {
    if !repo.join(CRATE).join("Cargo.toml").exists() {
        return Err(format!(
            "the eBPF object cannot be built: there is no {CRATE}"
        ));
    }
    let linker = cache.join("tools/bin/bpf-linker");
    missing(&linker)?;
    // An editor may save a file while the compiler runs: the name must be that of what was compiled.
    for _ in 0..3 {
        let name = name(repo, &linker)?;
        let object = cache.join("ebpf").join(&name).join("datapath");
        if object.exists() {
            return Ok(object);
        }
        let built = compile(repo, cache)?;
        if self::name(repo, &linker)? == name {
            place(&built, &object).map_err(|error| format!("{}: {error}", object.display()))?;
            return Ok(object);
        }
    }
    Err("the eBPF sources change faster than they compile".into())
}

/// Says in one sentence which part of the toolchain is not there.
fn missing(linker: &Path) -> Result<(), String> {
    let parts = [
        (Path::new(RUSTC), "package rustc-web"),
        (Path::new(CARGO), "package cargo-web"),
        (Path::new(CORE), "package libstd-rust-web-dev-bpf"),
        (linker, "bpf-linker"),
    ];
    for (path, what) in parts {
        if !path.exists() {
            return Err(format!(
                "the eBPF object cannot be built without {what} ({}): run './x setup'",
                path.display()
            ));
        }
    }
    Ok(())
}

/// A hash of sources, compiler and linker, as the name of a folder.
fn name(repo: &Path, linker: &Path) -> Result<String, String> {
    let mut hash = Fnv::new();
    for file in files(&inputs(repo)).map_err(|error| format!("eBPF sources: {error}"))? {
        let text = fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let relative = file.strip_prefix(repo).unwrap_or(&file);
        hash.add(relative.as_os_str().as_encoded_bytes());
        hash.add(&text);
    }
    for path in [Path::new(RUSTC), linker] {
        let data = fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let changed = data
            .modified()
            .ok()
            .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        hash.add(&data.len().to_le_bytes());
        hash.add(&changed.map_or(0, |time| time.as_nanos()).to_le_bytes());
    }
    for flag in flags(repo) {
        hash.add(flag.as_bytes());
    }
    Ok(format!("{:016x}", hash.0))
}

/// All files below `roots`, sorted, so that the order of a folder's entries is of no account.
pub(crate) fn files(roots: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = roots.to_vec();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            for entry in fs::read_dir(&path)? {
                open.push(entry?.path());
            }
        } else if path.exists() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Compiler flags: `--btf` keeps the type information the kernel wants; the prefixes make the object the same from every clone.
fn flags(repo: &Path) -> Vec<String> {
    let home = env::var_os("CARGO_HOME").map_or_else(
        || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cargo"),
        PathBuf::from,
    );
    vec![
        "-Clinker=bpf-linker".into(),
        "-Clink-arg=--btf".into(),
        // Clears and copies of known size become plain stores; as calls of a loop over octets they are slow, and the
        // verifier forgets what was cleared.
        "-Clink-arg=--disable-expand-memcpy-in-order".into(),
        "-Cdebuginfo=2".into(),
        format!("--remap-path-prefix={}=/axoneme", repo.display()),
        format!("--remap-path-prefix={}=/cargo", home.display()),
    ]
}

/// Each clone compiles into its own folder: cargo's lock is free again before the object is copied, and another clone's would be
/// taken for this one's.
pub(crate) fn clone(repo: &Path) -> String {
    let mut hash = Fnv::new();
    hash.add(repo.as_os_str().as_encoded_bytes());
    format!("{:016x}", hash.0)
}

fn compile(repo: &Path, cache: &Path) -> Result<PathBuf, String> {
    let output = cache.join("ebpf/target").join(clone(repo));
    let mut command = Command::new(CARGO);
    // A build script is called with cargo's own settings (wrappers, flags, features); none of them are for this compiler.
    for (key, _) in env::vars_os() {
        let key_text = key.to_string_lossy();
        let foreign = [
            "CARGO",
            "RUST",
            "TARGET",
            "HOST",
            "DEP_",
            "OUT_DIR",
            "MAKEFLAGS",
            "PROFILE",
        ];
        if foreign.iter().any(|start| key_text.starts_with(start)) && key_text != "CARGO_HOME" {
            command.env_remove(&key);
        }
    }
    let run = command
        .current_dir(repo.join(CRATE))
        .args(["build", "--quiet", "--release", "--target", TARGET])
        .env("PATH", search_path(cache)?)
        .env("RUSTC", RUSTC)
        // Inline assembly (aya-ebpf) and an atomic add (datapath) are not stable for this target; no other crate may use such features.
        .env("RUSTC_BOOTSTRAP", "aya_ebpf,datapath")
        .env("CARGO_TARGET_DIR", &output)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(repo).join("\u{1f}"))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot start {CARGO}: {error}"))?;
    if !run.status.success() {
        return Err(format!(
            "the eBPF object does not build:\n{}",
            String::from_utf8_lossy(&run.stderr).trim_end()
        ));
    }
    Ok(output.join(TARGET).join("release/datapath"))
}

/// Our linker first, then the distribution's programs only.
fn search_path(cache: &Path) -> Result<OsString, String> {
    let folders = [cache.join("tools/bin"), "/usr/bin".into(), "/bin".into()];
    env::join_paths(folders).map_err(|error| format!("{}: {error}", cache.display()))
}

/// Puts the object where others look for it, whole or not at all.
fn place(built: &Path, object: &Path) -> io::Result<()> {
    let folder = object.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let part = folder.join(format!("datapath.{}", std::process::id()));
    fs::copy(built, &part)?;
    fs::rename(&part, object)
}

/// FNV-1a: a name must be the same whichever compiler compiled this file, which std's hasher does not promise.
pub(crate) struct Fnv(pub(crate) u64);

impl Fnv {
    pub(crate) fn new() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    /// Adds the bytes and their number, so that two fields cannot run into each other.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for byte in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
