//! Finds or builds the web interface and lists its files for the relay.

use std::path::Path;

#[allow(dead_code, reason = "xtask uses the rest of the file")]
#[path = "../../xtask/src/ui/bundle.rs"]
mod bundle;
#[allow(dead_code, reason = "only what is said of files is used here")]
#[path = "../../xtask/src/ebpf.rs"]
mod ebpf;

fn main() {
    // As cargo says it now: the script may have been compiled for another clone that shares the target folder.
    let crate_folder = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    let Some(repo) = Path::new(&crate_folder).ancestors().nth(2) else {
        fail("the hubble crate does not lie in the workspace");
    };
    for input in bundle::inputs(repo) {
        println!("cargo::rerun-if-changed={}", input.display());
    }
    println!("cargo::rerun-if-changed=../../xtask/src/ebpf.rs");
    println!("cargo::rerun-if-changed=../../xtask/src/ui/bundle.rs");
    println!("cargo::rerun-if-env-changed=AXONEME_CACHE");
    println!("cargo::rerun-if-env-changed=CARGO_MANIFEST_DIR");
    let built = ebpf::cache_folder().and_then(|cache| bundle::bundle(repo, &cache));
    let listed = built.and_then(|folder| list(&folder));
    if let Err(sentence) = listed {
        fail(&sentence);
    }
}

/// Writes the path, on the listener and on disk, of each file of the interface.
fn list(folder: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut rows = vec!["&[".to_owned()];
    for file in ebpf::files(&[folder.to_owned()]).map_err(failed)? {
        let path = file.strip_prefix(folder).unwrap_or(&file).display();
        let path = path.to_string();
        let Some(path) = path.strip_suffix(".gz") else {
            return Err(format!("{path} of the web interface is not compressed"));
        };
        let place = file.display().to_string();
        rows.push(format!("(\"/{path}\", include_bytes!({place:?})),"));
    }
    rows.push("]\n".to_owned());
    let out = std::env::var_os("OUT_DIR").unwrap_or_default();
    std::fs::write(Path::new(&out).join("ui.rs"), rows.join("\n")).map_err(failed)
}

fn fail(sentence: &str) -> ! {
    println!("cargo::error={sentence}");
    std::process::exit(1)
}
