//! Entering namespaces of another process. The caller has one thread: a mount namespace is not entered by one of several.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use rustix::thread::{LinkNameSpaceType as Kind, move_into_link_name_space};

use super::Enter;
use crate::dbg::context::Outcome;

/// Moves this process into the mount and control group namespaces of process 1 under `proc`.
pub(super) fn enter_host(proc: &Path) -> anyhow::Result<()> {
    let of = |name: &str| proc.join("1/ns").join(name);
    enter(&[
        (of("cgroup").as_path(), Kind::ControlGroup),
        (of("mnt").as_path(), Kind::Mount),
    ])
}

/// All files are opened before the first is entered: afterwards their paths may mean something else.
fn enter(namespaces: &[(&Path, Kind)]) -> anyhow::Result<()> {
    let opened: Vec<(File, &Path, Kind)> = namespaces
        .iter()
        .map(|(path, kind)| {
            let file = File::open(path).with_context(|| path.display().to_string())?;
            Ok((file, *path, *kind))
        })
        .collect::<anyhow::Result<_>>()?;
    for (file, path, kind) in opened {
        move_into_link_name_space(file.as_fd(), Some(kind))
            .with_context(|| format!("enter {}", path.display()))?;
    }
    Ok(())
}

/// Becomes the program, in the namespaces.
pub(super) fn exec(args: &Enter) -> anyhow::Result<Outcome> {
    // Mount last: the files of the others are looked up before.
    let namespaces: Vec<(&Path, Kind)> = [
        (&args.cgroup, Kind::ControlGroup),
        (&args.net, Kind::Network),
        (&args.mount, Kind::Mount),
    ]
    .into_iter()
    .filter_map(|(path, kind)| Some((path.as_deref()?, kind)))
    .collect();
    enter(&namespaces)?;
    let (program, words) = args.program.split_first().context("no program is named")?;
    let error = Command::new(program).args(words).exec();
    Err(error).with_context(|| program.to_string_lossy().into_owned())
}
