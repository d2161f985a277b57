//! Runs every text case on hash maps, and holds the list of drop sites against them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use datapath::world::{actual, check};

fn files(under: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(under).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path
            .extension()
            .is_some_and(|extension| extension == ending)
        {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn cases() -> Vec<PathBuf> {
    let mut cases = files(&root().join("tests/cases"), "txt");
    cases.retain(|path| path.file_name().is_some_and(|name| name != "topology.txt"));
    cases
}

#[test]
fn every_case_ends_as_it_is_written() {
    let failures: Vec<String> = cases()
        .iter()
        .filter_map(|path| check(path).err())
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Reasons that the paths can give, from their source: each `Drop::Name` in `stages`, `paths` and `family`.
fn drop_sites() -> BTreeMap<String, PathBuf> {
    let mut sites = BTreeMap::new();
    let mut sources = files(&root().join("src/stages"), "rs");
    sources.extend(files(&root().join("src/paths"), "rs"));
    sources.extend(["family.rs", "paths.rs"].map(|name| root().join("src").join(name)));
    for path in sources {
        let text = fs::read_to_string(&path).unwrap();
        for rest in text.split("Drop::").skip(1) {
            let name: String = rest
                .chars()
                .take_while(char::is_ascii_alphanumeric)
                .collect();
            sites.entry(name).or_insert_with(|| path.clone());
        }
    }
    sites
}

/// What only a kernel that fails can bring about: tested by injected faults in `tests/random.rs`.
const BY_FAULT: &[&str] = &["ErrorWritingToPacket"];

#[test]
fn every_reason_that_a_path_can_give_has_a_case() {
    let seen: BTreeSet<String> = cases()
        .iter()
        .flat_map(|path| actual(&fs::read_to_string(path).unwrap()).1)
        .map(|reason| format!("{reason:?}"))
        .collect();
    let missing: Vec<_> = drop_sites()
        .into_iter()
        .filter(|(name, _)| !seen.contains(name) && !BY_FAULT.contains(&name.as_str()))
        .collect();
    assert!(missing.is_empty(), "no case drops with {missing:#?}");
}
