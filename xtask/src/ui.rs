//! `./x ui`: builds the web interface, checks its types, runs its unit tests, and walks through its pages in a browser, which
//! a relay over made-up rows serves.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::place::Place;
use crate::process::run;
use crate::setup::{self, Part};
use crate::{Verb, cargo};

pub(crate) mod bundle;

use bundle::{Packages, Work};

pub(crate) const VERB: Verb = Verb {
    name: "ui",
    about: "build and test the web interface; with --shots FOLDER, pictures of it",
    run: ui,
};

/// What only the browser tests need.
const BROWSER: &[Part] = &[Part {
    file: "/usr/bin/chromium",
    package: "chromium",
}];

fn ui(place: &Place, words: &[String]) -> Result<()> {
    setup::ensure(place)?;
    setup::need(BROWSER)?;
    {
        let work = Work::new(&place.repo, &place.cache).map_err(anyhow::Error::msg)?;
        work.install(Packages::Tests).map_err(anyhow::Error::msg)?;
        for script in ["check", "unit"] {
            step(script, || {
                run(Command::new("npm")
                    .current_dir(&work.folder)
                    .args(["run", "--silent", script]))
            })?;
        }
    }
    // As building `hubble` does; here its time is seen.
    step("bundle", || {
        let bundle = bundle::bundle(&place.repo, &place.cache).map_err(anyhow::Error::msg)?;
        println!("{}", bundle.display());
        Ok(())
    })?;
    step("relay and command", || {
        run(cargo::cargo(place).args([
            "build",
            "--package",
            "hubble",
            "--example",
            "relay_over_rows",
            "--package",
            "cli",
            "--bin",
            "axoneme",
        ]))
    })?;
    let us = std::env::current_exe().context("where is xtask?")?;
    let relay = us.with_file_name("examples").join("relay_over_rows");
    let command = us.with_file_name("axoneme");
    // The bundle was built in the same folder, and what tests need is still there.
    let work = Work::new(&place.repo, &place.cache).map_err(anyhow::Error::msg)?;
    step("browser", || {
        run(Command::new("npm")
            .current_dir(&work.folder)
            .args(["run", "--silent", "browser", "--"])
            .args(words)
            .env("AXONEME_RELAY_OVER_ROWS", &relay)
            .env("AXONEME_COMMAND", &command))
    })
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let begun = Instant::now();
    work()?;
    println!("{name}: {:.1} s", begun.elapsed().as_secs_f64());
    Ok(())
}
