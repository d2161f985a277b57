//! The release before this one, built from the clone's own history: what `./x full upgrade` changes from and back to.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::place::Place;
use crate::process::{answer, run, typed};

/// Its commit. Nothing is released yet; this is the last one before layouts had numbers. Whoever releases sets it.
const PREVIOUS: &str = "7c9feb4de3801587c019e45d6f0a93891b2d4ab1";
const PROGRAMS: [&str; 2] = ["axoneme-agent", "axoneme-cni"];

/// The folder of its agent and plugin. The first time they are built, which takes as long as a build of all from nothing.
pub(crate) fn programs(place: &Place) -> Result<PathBuf> {
    let folder = place.cache.join("previous").join(PREVIOUS);
    if PROGRAMS.iter().all(|name| folder.join(name).is_file()) {
        return Ok(folder);
    }
    let (source, target) = (folder.join("source"), folder.join("target"));
    check_out(place, &source)?;
    println!("building agent and plugin of {PREVIOUS}");
    run(crate::cargo::cargo(place)
        .current_dir(&source)
        .args([
            "build",
            "--locked",
            "--bins",
            "--package",
            "agent",
            "--package",
            "cni",
        ])
        .env("CARGO_TARGET_DIR", &target))?;
    for name in PROGRAMS {
        let built = target.join("debug").join(name);
        fs::rename(&built, folder.join(name)).with_context(|| built.display().to_string())?;
    }
    for folder in [source, target] {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    Ok(folder)
}

/// The commit's files, without touching the clone.
fn check_out(place: &Place, to: &PathBuf) -> Result<()> {
    let repo = place.repo.to_string_lossy();
    let commit = format!("{PREVIOUS}^{{commit}}");
    if answer("git", &["-C", &repo, "cat-file", "-e", &commit]).is_none() {
        bail!(
            "commit {PREVIOUS}, the previous release, is not in this clone's history: get it with 'git fetch --unshallow'"
        );
    }
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    let mut archive = Command::new("git");
    archive
        .args(["-C", &repo, "archive", PREVIOUS])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut writer = archive
        .spawn()
        .with_context(|| format!("cannot start '{}'", typed(&archive)))?;
    let output = writer.stdout.take().context("git has no output")?;
    let mut unpack = Command::new("tar");
    unpack.arg("-x").arg("-C").arg(to).stdin(output);
    let unpacked = unpack.status().context("cannot start tar")?;
    if !writer.wait()?.success() || !unpacked.success() {
        bail!("'{}' failed", typed(&archive));
    }
    Ok(())
}
