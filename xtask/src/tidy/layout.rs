//! Rules on files: names, sizes, first lines, and what must not be committed.

use super::{Finding, Source};

/// Lines a file may have without its tests.
const MOST_LINES: usize = 500;

/// Tables that may be longer, because a table in two files is harder to read than one long one.
const LONG_TABLES: &[&str] = &[];

/// Words that say nothing of what a thing does.
const EMPTY_WORDS: &[&str] = &[
    "util", "utils", "helper", "helpers", "common", "misc", "manager", "handler2", "new2",
];

/// Where such a word is the field's own: beginning of the path, word.
const OWN_WORDS: &[(&str, &str)] = &[
    // What the kernel calls the functions that it offers to eBPF programs.
    ("crates/kernel/", "helper"),
    ("crates/datapath-ebpf/", "helper"),
    // Types of the REST API, named as upstream names them.
    ("crates/local-api/", "manager"),
];

/// First folders that exist on one machine only.
const MACHINE_FOLDERS: &[&str] = &["work", "root", "home", "farm"];

pub(super) fn check(source: &Source, findings: &mut Vec<Finding>) {
    names(source, findings);
    leftovers(source, findings);
    machine_paths(source, findings);
    if source.is_rust() {
        size(source, findings);
        first_line(source, findings);
    }
}

fn names(source: &Source, findings: &mut Vec<Finding>) {
    if source.path.ends_with("/mod.rs") {
        findings.push(Finding::new(
            source,
            1,
            "no-mod-rs",
            "name the module's file after it: x.rs beside x/",
        ));
    }
    for part in source.path.split('/') {
        let stem = part.split('.').next().unwrap_or(part);
        if let Some(word) = empty_word(source, stem) {
            let why = format!("'{word}' does not say what is in it");
            findings.push(Finding::new(source, 1, "names", why));
        }
    }
}

/// The first word in a snake, kebab or camel case name that says nothing.
pub(super) fn empty_word(source: &Source, name: &str) -> Option<&'static str> {
    let mut words = vec![String::new()];
    for character in name.chars() {
        if !character.is_alphanumeric() || character.is_uppercase() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| character.is_alphanumeric()) {
            word.extend(character.to_lowercase());
        }
    }
    let own = |word: &str| {
        let mut owners = OWN_WORDS.iter().filter(|(_, own)| *own == word);
        owners.any(|(start, _)| source.path.starts_with(start))
    };
    EMPTY_WORDS
        .iter()
        .find(|empty| words.iter().any(|word| word == *empty) && !own(empty))
        .copied()
}

/// Built things, and test output that nobody has looked at yet.
fn leftovers(source: &Source, findings: &mut Vec<Finding>) {
    if source.text.starts_with("\u{7f}ELF") {
        findings.push(Finding::new(
            source,
            1,
            "no-built-files",
            "objects are built, never committed",
        ));
    }
    if source.path.ends_with(".snap.new") || source.path.ends_with(".pending-snap") {
        findings.push(Finding::new(
            source,
            1,
            "fresh-golden-files",
            "accept or reject this snapshot",
        ));
    }
}

fn machine_paths(source: &Source, findings: &mut Vec<Finding>) {
    let scratch = !source.is_test() && source.is_rust();
    let end = if source.is_rust() {
        source.lines_before_tests()
    } else {
        usize::MAX
    };
    for (index, line) in source.text.lines().enumerate() {
        let folder = MACHINE_FOLDERS.iter().find(|folder| has_path(line, folder));
        // Where upstream's chart has the settings of a container: the same on every machine.
        let own = line.replace("/tmp/cilium/", "");
        let scratch = (scratch && index < end && has_path(&own, "tmp")).then_some(&"tmp");
        if let Some(folder) = folder.or(scratch) {
            let why = format!("/{folder} is a path of one machine");
            findings.push(Finding::new(source, index + 1, "no-machine-paths", why));
        }
    }
}

/// Whether an absolute path through `/folder/` begins in the line; `x/folder/` is a relative one, `~/folder/` and URLs too.
fn has_path(line: &str, folder: &str) -> bool {
    let path = format!("/{folder}/");
    line.match_indices(&path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|before| !before.is_alphanumeric() && !"~.}/_-*".contains(before))
    })
}

fn size(source: &Source, findings: &mut Vec<Finding>) {
    let lines = source.lines_before_tests();
    if lines > MOST_LINES && !source.is_test() && !LONG_TABLES.contains(&source.path.as_str()) {
        let why = format!("{lines} lines without tests, {MOST_LINES} are the most");
        findings.push(Finding::new(source, MOST_LINES + 1, "file-size", why));
    }
}

fn first_line(source: &Source, findings: &mut Vec<Finding>) {
    // Unit tests say what they are by where they lie.
    let unit_tests = source.path.contains("/src/") && source.path.contains("/tests");
    if !unit_tests && !source.text.starts_with("//!") {
        findings.push(Finding::new(
            source,
            1,
            "first-line",
            "begin with `//!` and what the module is for",
        ));
    }
}
