//! The loaded object against the hash maps: every text case, and random packets, byte for byte.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says why it is left out, and what it measured"
)]

#[path = "loaded/backend.rs"]
mod backend;
#[path = "loaded/random.rs"]
mod random;

use std::fs;
use std::path::{Path, PathBuf};

use backend::Loaded;
use datapath::world::check_on;
use netlink::{Handle, NamedNamespace, link};

/// Interfaces of all cases; a program run needs a device of that index.
const INTERFACES: [u32; 9] = [2, 3, 4, 5, 6, 7, 8, 9, 65541];

/// A namespace with the interfaces of the cases, which the calling thread enters; `None` without root.
fn place(name: &str) -> Option<NamedNamespace> {
    // SAFETY: asks for a number.
    if unsafe { libc::geteuid() } != 0 {
        assert!(
            std::env::var_os("CI").is_none(),
            "needs root, and CI may leave nothing out"
        );
        eprintln!("skipped, needs root");
        return None;
    }
    let namespace =
        NamedNamespace::create(&format!("axt-{}-{name}", std::process::id())).expect("namespace");
    let handle = Handle::open_in(&namespace).expect("handle");
    for index in INTERFACES {
        handle
            .run(&link::create_bridge_at(&format!("case{index}"), index))
            .expect("interface");
    }
    Some(namespace)
}

fn cases(under: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(under).expect("cases") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            found.extend(cases(&path));
        } else if path.extension().is_some_and(|ending| ending == "txt") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Not cases: the rows that cases begin with, and frames shorter than an Ethernet header, which no kernel hands to a hook.
const LEFT_OUT: [&str; 2] = ["topology.txt", "no_header.txt"];

#[test]
fn every_case_ends_on_the_loaded_object_as_it_is_written() {
    let Some(namespace) = place("cases") else {
        return;
    };
    let root = datapath::world::random::cases();
    let failures = namespace
        .run(|| {
            let mut loaded = Loaded::new();
            let mut failures = Vec::new();
            let mut count = 0;
            for path in cases(&root) {
                if LEFT_OUT.iter().any(|name| path.ends_with(name)) {
                    continue;
                }
                loaded.reset();
                failures.extend(check_on(&path, &mut loaded).err());
                count += 1;
            }
            println!("{count} case files");
            assert!(count > 15, "the cases were not found");
            failures
        })
        .expect("enter");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn random_packets_end_on_the_loaded_object_as_on_hash_maps() {
    let Some(namespace) = place("random") else {
        return;
    };
    namespace.run(random::histories).expect("enter");
}
