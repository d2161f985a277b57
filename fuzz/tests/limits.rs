//! A fault of each kind is found, called by its name, and its input is kept.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::process::Command;

/// What is printed about a planted fault, and the input that was kept for it.
fn found(name: &str) -> (String, Vec<u8>) {
    let cache = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_axoneme-fuzz"))
        .arg(name)
        .env("AXONEME_CACHE", cache.path())
        .env("AXONEME_FUZZ_SECONDS", "30")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success(), "{text}");
    assert!(text.ends_with("0 passed, 1 failed, 0 skipped\n"), "{text}");
    let input = fs::read(cache.path().join("fuzz").join(format!("{name}.failed"))).unwrap();
    assert_eq!(input.first(), Some(&b'!'), "{text}");
    (text, input)
}

#[test]
fn a_panic_is_found_and_its_input_made_small() {
    let (text, input) = found("planted-panic");
    assert!(text.contains("FAIL  planted-panic: panicked at"), "{text}");
    assert_eq!(input, b"!");
}

#[test]
fn an_input_that_takes_too_long_is_found() {
    let (text, _) = found("planted-loop");
    assert!(text.contains("more than 3 s of processor time"), "{text}");
}

#[test]
fn an_input_that_takes_too_much_memory_is_found() {
    let (text, _) = found("planted-memory");
    assert!(text.contains("memory allocation of"), "{text}");
}

#[test]
fn an_input_that_exhausts_the_stack_is_found() {
    let (text, _) = found("planted-recursion");
    assert!(text.contains("overflow"), "{text}");
}
