//! Lists the files of the chart, so that the program carries them: `install` needs no download.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let variable = |name: &str| env::var_os(name).map(PathBuf::from).unwrap_or_default();
    let chart = variable("CARGO_MANIFEST_DIR").join("../../deploy/chart");
    println!("cargo::rerun-if-changed={}", chart.display());
    let mut files = Vec::new();
    if chart.is_dir() {
        collect(&chart, &mut files)?;
    }
    files.sort();
    let mut table = "&[\n".to_owned();
    for file in &files {
        let name = file.strip_prefix(&chart).unwrap_or(file);
        let path = file.canonicalize()?;
        let text = |path: &Path| path.to_str().map(str::to_owned);
        let (Some(name), Some(path)) = (text(name), text(&path)) else {
            return Err(io::Error::other(format!("{} is not UTF-8", path.display())));
        };
        // Writing to a string cannot fail.
        let _ = writeln!(table, "    ({name:?}, include_bytes!({path:?})),");
    }
    table.push_str("]\n");
    fs::write(variable("OUT_DIR").join("chart.in"), table)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    println!("cargo::rerun-if-changed={}", folder.display());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
