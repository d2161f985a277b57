//! What `./x` does. Each verb is one file that ends in a `VERB`, and one line in `VERBS`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool talks to a person"
)]

mod bench;
mod cargo;
mod chart;
mod cluster;
mod ebpf;
mod full;
mod fuzz;
mod gate;
mod image;
mod kafka;
mod machine;
mod place;
mod previous;
mod process;
mod setup;
mod ship;
mod tidy;
mod ui;

use std::process::ExitCode;

use anyhow::{Result, bail};
use place::Place;

/// One thing a person can ask `./x` for.
struct Verb {
    /// What is typed.
    name: &'static str,
    /// One line for the list of verbs.
    about: &'static str,
    /// Does it; gets the words after the verb.
    run: fn(&Place, &[String]) -> Result<()>,
}

const VERBS: &[Verb] = &[
    cargo::DEMO,
    gate::VERB,
    full::VERB,
    bench::VERB,
    cluster::VERB,
    fuzz::VERB,
    tidy::VERB,
    ui::VERB,
    setup::VERB,
    setup::EBPF,
    cargo::FMT,
    cargo::DOC,
    cargo::CRDS,
    ship::VERB,
    chart::VERB,
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("x: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<()> {
    let (name, rest) = words
        .split_first()
        .map_or(("help", words), |(name, rest)| (name.as_str(), rest));
    if matches!(name, "help" | "-h" | "--help") {
        list();
        return Ok(());
    }
    match VERBS.iter().find(|verb| verb.name == name) {
        Some(verb) => (verb.run)(&Place::find()?, rest),
        None => bail!("no verb '{name}'; './x help' lists them"),
    }
}

fn list() {
    println!("usage: ./x VERB\n");
    for verb in VERBS {
        println!("  {:<8} {}", verb.name, verb.about);
    }
}
