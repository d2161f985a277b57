//! Runs every text case on hash maps, and holds the list of drop sites against them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use datapath::{
    Drop, Verdict,
    world::{World, check, random, run_case},
};

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

fn cases() -> Vec<PathBuf> {
    let mut cases = files(&random::cases(), "txt");
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

/// A place that can drop: the file, the stages that it names, and the reason.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Site {
    file: String,
    stages: BTreeSet<String>,
    reason: String,
}

/// What follows each occurrence of `mark` in code, up to the first character that no name has.
fn names(text: &str, mark: &str) -> BTreeSet<String> {
    let code = text.lines().map(|line| line.split("//").next().unwrap());
    let code: Vec<&str> = code.collect();
    let code = code.join("\n");
    let rests = code.split(mark).skip(1);
    let name = |rest: &str| -> String {
        let is_name = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '_';
        rest.chars().take_while(is_name).collect()
    };
    rests.map(name).collect()
}

/// Every place that can drop, from the source: each `Drop::Name` that is a reason, in every file of the paths.
fn drop_sites() -> BTreeSet<Site> {
    let reasons: BTreeSet<String> = Drop::ALL.iter().map(|one| format!("{one:?}")).collect();
    let source = random::cases().join("../../src");
    let mut sites = BTreeSet::new();
    for path in files(&source, "rs") {
        let file = path.strip_prefix(&source).unwrap().display().to_string();
        if file.starts_with("world") || file.starts_with("abi") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for reason in names(&text, "Drop::").intersection(&reasons) {
            sites.insert(Site {
                file: file.clone(),
                stages: names(&text, ".stage(\""),
                reason: reason.clone(),
            });
        }
    }
    sites
}

/// Reasons with the stages of a packet that met them.
fn drops_seen() -> Vec<(String, BTreeSet<String>)> {
    let mut seen = Vec::new();
    for path in cases() {
        let text = fs::read_to_string(path).unwrap();
        for outcome in run_case(&text, &mut World::default()) {
            let stages = outcome.stages.into_iter().flatten().map(str::to_owned);
            if let Some(Verdict::Drop(reason)) = outcome.verdict {
                seen.push((format!("{reason:?}"), stages.collect()));
            }
        }
    }
    seen
}

/// Places that no case reaches, and why.
const NO_CASE: &[(&str, &str, &str)] = &[
    (
        "stages/answer.rs",
        "UnknownSender",
        "the endpoint's row went between two look-ups of one packet",
    ),
    (
        "stages/source.rs",
        "UnknownSender",
        "the endpoint's row went between two look-ups of one packet",
    ),
    (
        "stages/source.rs",
        "UnsupportedL2Protocol",
        "the Ethernet header was read before",
    ),
    (
        "stages/source.rs",
        "NoMatchingLocalContainerFound",
        "the receiver's check names no stage; drops/nowhere.txt has it",
    ),
    (
        "stages/reject.rs",
        "InvalidPacketDropped",
        "what is quoted was read before",
    ),
];

#[test]
fn every_place_that_can_drop_has_a_case() {
    let (sites, seen) = (drop_sites(), drops_seen());
    assert!(sites.len() > 60, "the sources were not read");
    let has_case = |site: &Site| {
        seen.iter().any(|(reason, stages)| {
            *reason == site.reason && (site.stages.is_empty() || !site.stages.is_disjoint(stages))
        })
    };
    let excused = |site: &Site| {
        NO_CASE
            .iter()
            .any(|(file, reason, _)| *file == site.file && *reason == site.reason)
    };
    let missing: Vec<_> = sites
        .iter()
        .filter(|site| !has_case(site) && !excused(site))
        .collect();
    assert!(missing.is_empty(), "no case for {missing:#?}");
    let needless: Vec<_> = sites
        .iter()
        .filter(|site| has_case(site) && excused(site))
        .collect();
    assert!(needless.is_empty(), "has a case after all: {needless:#?}");
}
