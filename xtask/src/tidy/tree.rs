//! The files that git knows or would add, as the rules of `tidy` read them.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::lexer;

/// All text files of the clone.
#[derive(Default)]
pub(crate) struct Tree {
    pub(crate) files: Vec<Source>,
}

/// One file.
pub(crate) struct Source {
    /// Relative to the root of the clone, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The same lines without comments and without what stands in quotes; empty unless it is Rust.
    pub(crate) code: String,
}

impl Tree {
    /// Reads what is tracked and what is new; ignored files are nobody's business.
    pub(crate) fn read(repo: &Path) -> Result<Tree> {
        let output = Command::new("git")
            .current_dir(repo)
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .output()
            .context("cannot start git")?;
        if !output.status.success() {
            bail!("git ls-files: {}", String::from_utf8_lossy(&output.stderr));
        }
        let mut tree = Tree::default();
        for path in String::from_utf8_lossy(&output.stdout).split_terminator('\0') {
            // A file that was removed and not yet committed is listed and gone; one that is no text has no lines.
            if let Ok(bytes) = fs::read(repo.join(path)) {
                tree.files
                    .push(Source::new(path, &String::from_utf8_lossy(&bytes)));
            }
        }
        Ok(tree)
    }
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Source {
        let code = if is_rust(path) {
            lexer::code(text)
        } else {
            String::new()
        };
        Source {
            path: path.into(),
            text: text.into(),
            code,
        }
    }

    pub(crate) fn is_rust(&self) -> bool {
        is_rust(&self.path)
    }

    /// The crate's folder name: `model` for `crates/model/src/lib.rs`.
    pub(crate) fn member(&self) -> &str {
        match self.path.strip_prefix("crates/") {
            Some(rest) => rest.split('/').next().unwrap_or_default(),
            None => self.path.split('/').next().unwrap_or_default(),
        }
    }

    /// Whether nothing of it runs outside tests.
    pub(crate) fn is_test(&self) -> bool {
        let folders = ["/tests/", "/benches/", "/examples/"];
        self.path.ends_with("/tests.rs")
            || self.path.starts_with("fuzz/")
            || folders.iter().any(|folder| self.path.contains(folder))
            || self.member() == "testkit"
    }

    /// Number of lines before the first test module that is written in the file itself.
    pub(crate) fn lines_before_tests(&self) -> usize {
        let mut test_attribute = false;
        for (index, line) in self.code.lines().enumerate() {
            if test_attribute && line.starts_with("mod ") && line.trim_end().ends_with('{') {
                return index - 1;
            }
            test_attribute = line.trim() == "#[cfg(test)]";
        }
        self.text.lines().count()
    }

    /// Line numbers and lines of code that runs outside tests.
    pub(crate) fn running_code(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = if self.is_test() {
            0
        } else {
            self.lines_before_tests()
        };
        self.code
            .lines()
            .take(end)
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }
}

fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|end| end == "rs")
}
