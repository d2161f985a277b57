//! Builds the web interface from its sources when they changed; std only, so that `hubble`'s build script includes this file too.
//!
//! npm works in a copy of the sources in the cache folder, so that nothing is built in the clone. The result lies under a folder
//! named by a hash of all that it is made from: compressed files, which `axoneme-relay` has inside.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use crate::ebpf::{Fnv, clone, files};

/// Where the sources lie, and what of them the result is made from.
pub(crate) const FOLDER: &str = "ui";
const INPUTS: &[&str] = &[
    ".npmrc",
    "index.html",
    "package-lock.json",
    "package.json",
    "public",
    "src",
    "tsconfig.json",
    "vite.config.ts",
];

/// Which packages npm installs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packages {
    /// Those that the build needs.
    Build,
    /// Those that tests need as well.
    Tests,
}

/// The files and folders whose change makes another interface; for `rerun-if-changed`.
pub(crate) fn inputs(repo: &Path) -> Vec<PathBuf> {
    let folder = repo.join(FOLDER);
    INPUTS.iter().map(|input| folder.join(input)).collect()
}

/// The folder of the interface, built now unless it lies there already. The error is one sentence about what is missing, or
/// what npm said.
pub(crate) fn bundle(repo: &Path, cache: &Path) -> Result<PathBuf, String> {
    let name = name(repo).map_err(|error| format!("sources of the web interface: {error}"))?;
    let bundle = cache.join("ui").join(&name);
    if bundle.exists() {
        return Ok(bundle);
    }
    let work = Work::new(repo, cache)?;
    work.install(Packages::Build)?;
    npm(&work.folder, &["run", "--silent", "build"])?;
    let placed = fs::rename(work.folder.join("dist"), &bundle);
    // Another build of the same sources may have been quicker.
    if placed.is_err() && !bundle.exists() {
        return Err(format!("{}: {placed:?}", bundle.display()));
    }
    Ok(bundle)
}

fn name(repo: &Path) -> io::Result<String> {
    let mut hash = Fnv::new();
    for file in files(&inputs(repo))? {
        let relative = file.strip_prefix(repo).unwrap_or(&file);
        hash.add(relative.as_os_str().as_encoded_bytes());
        hash.add(&fs::read(&file)?);
    }
    Ok(format!("{:016x}", hash.0))
}

/// A copy of the sources of one clone, in which npm works; of nobody else while this lives.
pub(crate) struct Work {
    pub(crate) folder: PathBuf,
    _lock: fs::File,
}

impl Work {
    pub(crate) fn new(repo: &Path, cache: &Path) -> Result<Work, String> {
        let folder = cache.join("ui/work").join(clone(repo));
        let failed = |error: io::Error| format!("{}: {error}", folder.display());
        fs::create_dir_all(&folder).map_err(failed)?;
        let lock = fs::File::create(folder.join("lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let source = repo.join(FOLDER);
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let kept = ["lock", "node_modules", "installed"];
            if path
                .file_name()
                .is_some_and(|name| kept.iter().any(|of| name == *of))
            {
                continue;
            }
            let removed = if path.is_dir() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            removed.map_err(failed)?;
        }
        copy(&source, &folder).map_err(failed)?;
        Ok(Work {
            folder,
            _lock: lock,
        })
    }

    /// Installs what the lock file names, unless it is there.
    pub(crate) fn install(&self, packages: Packages) -> Result<(), String> {
        let mut hash = Fnv::new();
        for file in ["package-lock.json", ".npmrc"] {
            let path = self.folder.join(file);
            hash.add(&fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?);
        }
        let stamp = self.folder.join("installed");
        let has = fs::read_to_string(&stamp).unwrap_or_default();
        let wanted = |of: Packages| format!("{:016x} {of:?}", hash.0);
        // What tests need has what the build needs.
        if has == wanted(packages) || has == wanted(Packages::Tests) {
            return Ok(());
        }
        let words: &[&str] = match packages {
            Packages::Build => &["ci", "--silent", "--omit=dev"],
            Packages::Tests => &["ci", "--silent"],
        };
        npm(&self.folder, words)?;
        fs::write(&stamp, wanted(packages)).map_err(|error| format!("{}: {error}", stamp.display()))
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        // Those of who works in the clone itself.
        if name == "node_modules" || name == "dist" {
            continue;
        }
        let target = to.join(name);
        if path.is_dir() {
            fs::create_dir_all(&target)?;
            copy(&path, &target)?;
        } else {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}

fn npm(folder: &Path, words: &[&str]) -> Result<(), String> {
    let run = Command::new("npm")
        .current_dir(folder)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| {
            format!("the web interface cannot be built without npm ({error}): run './x setup'")
        })?;
    if run.status.success() {
        return Ok(());
    }
    Err(format!(
        "npm {}:\n{}{}",
        words.join(" "),
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr).trim_end()
    ))
}
