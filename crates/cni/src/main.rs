//! The plugin's process: environment and standard input in, result or error object out.

use std::io::{Read, Write};
use std::path::Path;

/// Bytes of network configuration that are read; a longer one is refused when parsed.
const STDIN_LIMIT: u64 = cni::input::STDIN_LIMIT as u64 + 1;

fn main() {
    let mut stdin = Vec::new();
    // What cannot be read is missing, and parsing says so.
    let _ = std::io::stdin()
        .lock()
        .take(STDIN_LIMIT)
        .read_to_end(&mut stdin);
    let variable = |name: &str| std::env::var(name).ok();
    let called = std::env::args_os().next().unwrap_or_default();
    let outcome = if Path::new(&called).file_name() == Some(cni::loopback::NAME.as_ref()) {
        cni::loopback::run(&variable, &stdin)
    } else {
        cni::run(&variable, &stdin, cni::Limits::default())
    };
    let written = std::io::stdout()
        .lock()
        .write_all(outcome.stdout.as_bytes());
    std::process::exit(if written.is_err() { 1 } else { outcome.exit });
}
