//! Finds or builds the eBPF object and tells the crate where it lies.

use std::path::Path;

#[allow(dead_code, reason = "xtask uses the rest of the file")]
#[path = "../../xtask/src/ebpf.rs"]
mod ebpf;

fn main() {
    // As cargo says it now: the script may have been compiled for another clone that shares the target folder.
    let crate_folder = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    let Some(repo) = Path::new(&crate_folder).ancestors().nth(2) else {
        fail("the kernel crate does not lie in the workspace");
    };
    for input in ebpf::inputs(repo) {
        println!("cargo::rerun-if-changed={}", input.display());
    }
    println!("cargo::rerun-if-changed=../../xtask/src/ebpf.rs");
    println!("cargo::rerun-if-env-changed=AXONEME_CACHE");
    println!("cargo::rerun-if-env-changed=CARGO_MANIFEST_DIR");
    let abi = repo.join("crates/datapath/src/abi");
    match types_hash(&abi) {
        Ok(hash) => write_hash(hash),
        Err(error) => fail(&format!("{}: {error}", abi.display())),
    }
    match ebpf::cache_folder().and_then(|cache| ebpf::object(repo, &cache)) {
        Ok(object) => println!(
            "cargo::rustc-env=AXONEME_DATAPATH_OBJECT={}",
            object.display()
        ),
        Err(sentence) => fail(&sentence),
    }
}

/// A hash of the struct definitions in the ABI's sources, without comments and white space: what pinned maps hold is
/// described by it, while functions and documentation may change freely.
fn types_hash(abi: &Path) -> std::io::Result<u64> {
    let mut files: Vec<_> = std::fs::read_dir(abi)?.collect::<Result<_, _>>()?;
    files.retain(|file| file.path().is_file());
    files.sort_by_key(std::fs::DirEntry::file_name);
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for file in files {
        let text = std::fs::read_to_string(file.path())?;
        let code: Vec<&str> = text
            .lines()
            .map(|line| line.split("//").next().unwrap_or_default().trim())
            .collect();
        for definition in structs(&code) {
            // FNV-1a: the number is pinned, so it must be the same from every compiler.
            for byte in definition.bytes() {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
    }
    Ok(hash)
}

/// Each `pub struct` up to its end, white space removed.
fn structs(code: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = code.iter();
    while let Some(line) = rest.next() {
        if !line.starts_with("pub struct ") {
            continue;
        }
        let mut definition = (*line).to_owned();
        if !line.ends_with(';') {
            for line in rest.by_ref() {
                definition.push_str(line);
                if line.starts_with('}') {
                    break;
                }
            }
        }
        definition.retain(|character| !character.is_whitespace());
        found.push(definition);
    }
    found
}

fn write_hash(hash: u64) {
    let Some(out) = std::env::var_os("OUT_DIR") else {
        fail("OUT_DIR is not set");
    };
    let path = Path::new(&out).join("types_hash.rs");
    if let Err(error) = std::fs::write(&path, format!("0x{hash:016x}_u64")) {
        fail(&format!("{}: {error}", path.display()));
    }
}

fn fail(sentence: &str) -> ! {
    println!("cargo::error={sentence}");
    std::process::exit(1)
}
