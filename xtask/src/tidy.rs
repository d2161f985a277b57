//! `./x tidy`: the invariants of the layout that no compiler checks. One line for each finding: `path:line: rule: why`.

use std::fmt;

use anyhow::{Result, bail};

use crate::Verb;
use crate::place::Place;

mod code;
mod layout;
mod lexer;
mod manifests;
#[cfg(test)]
mod tests;
mod tree;

use tree::{Source, Tree};

pub(crate) const VERB: Verb = Verb {
    name: "tidy",
    about: "check the invariants of the layout",
    run: |place, _| {
        let findings = findings(place)?;
        for finding in &findings {
            println!("{finding}");
        }
        match findings.len() {
            0 => Ok(()),
            number => bail!("{number} findings"),
        }
    },
};

/// What is wrong, where, and why that matters.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    rule: &'static str,
    why: String,
}

impl Finding {
    fn new(source: &Source, line: usize, rule: &'static str, why: impl Into<String>) -> Finding {
        Finding {
            path: source.path.clone(),
            line,
            rule,
            why: why.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{}:{}: {}: {}",
            self.path, self.line, self.rule, self.why
        )
    }
}

/// Every finding in the clone, sorted by place.
pub(crate) fn findings(place: &Place) -> Result<Vec<Finding>> {
    Ok(check(&Tree::read(&place.repo)?))
}

fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.files {
        layout::check(source, &mut findings);
        if source.is_rust() {
            code::check(source, &mut findings);
        }
        if source.path.ends_with("Cargo.toml") {
            manifests::check(source, &mut findings);
        }
    }
    findings.sort();
    findings
}
