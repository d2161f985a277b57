//! Finds or builds the eBPF object and tells the crate where it lies.

use std::collections::BTreeMap;
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
    match definitions(&abi) {
        Ok(definitions) => write_types(&definitions),
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

/// The struct definitions in the ABI's sources by name, without comments and white space: what pinned maps hold is
/// described by them, while functions and documentation may change freely.
fn definitions(abi: &Path) -> std::io::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for file in std::fs::read_dir(abi)? {
        let path = file?.path();
        if !path.is_file() {
            continue;
        }
        let text = std::fs::read_to_string(path)?;
        let code: Vec<&str> = text
            .lines()
            .map(|line| line.split("//").next().unwrap_or_default().trim())
            .collect();
        found.extend(structs(&code));
    }
    Ok(found)
}

/// Name and text of each `pub struct` up to its end, white space removed.
fn structs(code: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = code.iter();
    while let Some(line) = rest.next() {
        let Some(after) = line.strip_prefix("pub struct ") else {
            continue;
        };
        let name = words(after).next().unwrap_or_default().to_owned();
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
        found.push((name, definition));
    }
    found
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    let inside = |character: char| character.is_alphanumeric() || character == '_';
    text.split(move |character| !inside(character))
}

/// A definition with those of the types it is made of.
fn whole(name: &str, all: &BTreeMap<String, String>) -> String {
    let Some(definition) = all.get(name) else {
        return String::new();
    };
    // White space is gone, so that `pubstructName` is one word, and a type does not contain itself.
    let parts = words(definition).map(|word| whole(word.strip_prefix("pub").unwrap_or(word), all));
    let parts: String = parts.collect();
    definition.clone() + &parts
}

fn write_types(all: &BTreeMap<String, String>) {
    let Some(out) = std::env::var_os("OUT_DIR") else {
        fail("OUT_DIR is not set");
    };
    let rows = all.keys().map(|name| {
        // FNV-1a: the number is written down, so it must be the same from every compiler.
        let hash = whole(name, all)
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
        format!("(\"{name}\", 0x{hash:016x}_u64), ")
    });
    let path = Path::new(&out).join("types.rs");
    if let Err(error) = std::fs::write(&path, format!("&[{}]", rows.collect::<String>())) {
        fail(&format!("{}: {error}", path.display()));
    }
}

fn fail(sentence: &str) -> ! {
    println!("cargo::error={sentence}");
    std::process::exit(1)
}
