//! Fuzzing of everything that reads what others wrote: packets, objects, events, requests, files.
//!
//! `axoneme-fuzz [TARGET…]` runs targets for `AXONEME_FUZZ_SECONDS` each; `axoneme-fuzz --input TARGET FILE` runs one
//! input. Inputs are changed by chance ([`mutate`]); what reaches code that no input before reached is kept and changed
//! further ([`coverage`], [`engine`]). A panic, 3 s of processor time for one input, 1 GiB of memory or a stack of 2 MiB
//! that does not do are failures ([`supervisor`]).
#![allow(clippy::print_stdout, reason = "a command line tool talks to a person")]

mod coverage;
mod dice;
mod engine;
mod mutate;
mod supervisor;
mod targets;
#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, bail};
use targets::Target;

/// Exit code of a child whose input took too long.
const TOO_SLOW: i32 = 3;

fn main() -> anyhow::Result<ExitCode> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--child", name, current, seconds] => {
            let limit = Duration::from_secs(seconds.parse()?);
            supervisor::child(target(name)?, current.as_ref(), limit)
        }
        ["--input", name, file] => {
            let input = fs::read(file).with_context(|| (*file).to_owned())?;
            (target(name)?.run)(&input);
            Ok(ExitCode::SUCCESS)
        }
        [] => supervisor::run(targets::ALL, seconds()?),
        names => {
            let chosen: Vec<Target> = names
                .iter()
                .map(|name| target(name))
                .collect::<anyhow::Result<_>>()?;
            supervisor::run(&chosen, seconds()?)
        }
    }
}

fn seconds() -> anyhow::Result<Duration> {
    let text = env::var("AXONEME_FUZZ_SECONDS").unwrap_or_else(|_| "10".into());
    let seconds = text.parse().context("AXONEME_FUZZ_SECONDS is no number")?;
    Ok(Duration::from_secs(seconds))
}

fn target(name: &str) -> anyhow::Result<Target> {
    let known = targets::ALL.iter().chain(targets::PLANTED);
    let Some(target) = known.into_iter().find(|target| target.name == name) else {
        let names: Vec<_> = targets::ALL.iter().map(|target| target.name).collect();
        bail!("no target '{name}'; there are {}", names.join(", "));
    };
    Ok(*target)
}
