//! Where our own binaries are: beside the one that runs, or where `AXONEME_BIN_DIR` says.

use std::path::PathBuf;

use anyhow::{Context, ensure};

/// The path of one of our binaries, which must exist.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let directory = if let Some(directory) = std::env::var_os("AXONEME_BIN_DIR") {
        PathBuf::from(directory)
    } else {
        let exe = std::env::current_exe().context("find the running program")?;
        let beside = exe
            .parent()
            .context("the running program has no directory")?;
        // Test binaries lie one directory deeper.
        if beside.ends_with("deps") {
            beside.parent().unwrap_or(beside).to_owned()
        } else {
            beside.to_owned()
        }
    };
    let path = directory.join(name);
    ensure!(
        path.is_file(),
        "{} is not built: run cargo build first",
        path.display()
    );
    Ok(path)
}
