//! The plugin's process: environment and standard input in, result or error object out.

use std::io::{Read, Write};

/// Bytes of network configuration that are read; a longer one is refused when parsed.
const STDIN_LIMIT: u64 = cni::input::STDIN_LIMIT as u64 + 1;

fn main() {
    let mut stdin = Vec::new();
    // What cannot be read is missing, and parsing says so.
    let _ = std::io::stdin()
        .lock()
        .take(STDIN_LIMIT)
        .read_to_end(&mut stdin);
    let outcome = cni::run(
        &|name| std::env::var(name).ok(),
        &stdin,
        cni::Limits::default(),
    );
    let written = std::io::stdout()
        .lock()
        .write_all(outcome.stdout.as_bytes());
    std::process::exit(if written.is_err() { 1 } else { outcome.exit });
}
