//! `./x fuzz`: builds the fuzz targets with the compiler's counters, and runs them.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::gate::counted;
use crate::place::Place;
use crate::process::run;
use crate::{Verb, cargo, setup};

pub(crate) const VERB: Verb = Verb {
    name: "fuzz",
    about: "run the fuzz targets, or those named, for AXONEME_FUZZ_SECONDS each",
    run: |place, words| {
        setup::ensure(place)?;
        let mut command = program(place)?;
        let count = counted(command.args(words))?.count;
        if count.failed > 0 {
            bail!("{} targets failed", count.failed);
        }
        Ok(())
    },
};

/// LLVM's pass that counts the edges a program goes through; a stable compiler takes it.
const COUNTERS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=3 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters";

/// The program of all targets, built now if something changed. The counters are in every crate that is linked, and not in
/// build scripts and macros, which is what naming the target is for.
pub(crate) fn program(place: &Place) -> Result<Command> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    run(cargo::cargo(place)
        .args([
            "build",
            "--package",
            "fuzz",
            "--bin",
            "axoneme-fuzz",
            "--target",
            &target,
        ])
        .env("RUSTFLAGS", COUNTERS))?;
    let output = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| place.cache.join("target"), PathBuf::from);
    let mut command = Command::new(output.join(target).join("debug/axoneme-fuzz"));
    command.env("AXONEME_CACHE", &place.cache);
    // Where its seeds are: what was compiled may be of another checkout that is gone.
    command.env("CARGO_MANIFEST_DIR", place.repo.join("fuzz"));
    Ok(command)
}
