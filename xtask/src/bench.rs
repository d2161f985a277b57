//! `./x bench`: builds what is measured as it is shipped, and becomes `axoneme-bench`.

use std::os::unix::process::CommandExt;

use anyhow::{Context, Result, bail};

use crate::place::Place;
use crate::process::answer;
use crate::{Verb, cargo, ebpf, machine, setup};

pub(crate) const VERB: Verb = Verb {
    name: "bench",
    about: "measure beside the kernel's own ways; --rows PATTERN, --rounds N, --quick, --json FILE",
    run,
};

fn run(place: &Place, words: &[String]) -> Result<()> {
    if let Some(why) = machine::refuses_ebpf() {
        bail!("the bench cannot run: {why}");
    }
    setup::ensure(place)?;
    ebpf::object(&place.repo, &place.cache).map_err(anyhow::Error::msg)?;
    let mut command = cargo::release_program(place, "axoneme-bench")?;
    command
        .arg("--page")
        .arg(place.repo.join("docs/benchmarks.md"))
        .args(["--commit", &commit(place)])
        .args(words);
    // Not a child: Ctrl-C and the exit code are the bench's own.
    Err(command.exec()).context("axoneme-bench")
}

/// The commit, and whether the sources are those of the commit.
fn commit(place: &Place) -> String {
    let repo = place.repo.to_string_lossy();
    let git = |words: &[&str]| answer("git", &[&["-C", &repo], words].concat());
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".into();
    };
    let changed = git(&["status", "--porcelain"]).is_none_or(|text| !text.trim().is_empty());
    let changed = if changed { ", with changes" } else { "" };
    format!("{}{changed}", commit.trim())
}
