//! Settings of a program: what was given by flags, environment and files, and what its keys make of it.
//!
//! A program has one table of keys, under upstream's names. A key that asks for something we lack stops the start by
//! name, its off value is accepted, and a key that nobody knows is remembered.

mod given;
mod reader;
pub mod shared;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use clap::{Arg, ArgAction, Command};

pub use given::{Given, gather};
pub use reader::Reader;

/// One key that is understood.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Upstream's name; also the flag.
    pub name: &'static str,
    /// What holds when nothing is given.
    pub default: &'static str,
    /// One sentence.
    pub help: &'static str,
}

/// A row of a table of keys.
pub const fn key(name: &'static str, default: &'static str, help: &'static str) -> Key {
    Key {
        name,
        default,
        help,
    }
}

impl Key {
    /// The sentence, with the default.
    pub fn described(&self) -> String {
        match self.default {
            "" => self.help.to_owned(),
            default => format!("{} [default: {default}]", self.help),
        }
    }
}

/// All that a program says about names of keys.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    /// Keys that are understood.
    pub understood: &'static [Key],
    /// Keys that upstream has and we do not: the values that are accepted, separated by `|`, the first being the one to
    /// recommend. A key may be in both tables, where only some values are available.
    pub lacking: &'static [(&'static str, &'static str)],
    /// Keys without effect here that nobody is told of, because another program reads them.
    pub elsewhere: &'static [&'static str],
}

impl Keys {
    fn understood(&self, name: &str) -> Option<&'static Key> {
        self.understood.iter().find(|key| key.name == name)
    }

    /// Every name that is taken, once.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let lacking = self.lacking.iter().map(|(name, _)| *name);
        let others = lacking.filter(move |name| self.understood(name).is_none());
        self.understood.iter().map(|key| key.name).chain(others)
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The value of a key does not parse.
    #[error("{key}: {value:?} is not {expected}")]
    Invalid {
        /// Key as upstream names it.
        key: String,
        /// What was given.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// The key asks for something that is not there.
    #[error("{key}={value}: not available in this version; set it to {off} or remove it")]
    Unsupported {
        /// Key as upstream names it.
        key: String,
        /// What was given.
        value: String,
        /// The value that is accepted.
        off: String,
    },
    /// Two keys do not go together, or one is missing.
    #[error("{0}")]
    Conflict(String),
    /// A directory or file of settings cannot be read.
    #[error("{flag} {}: {reason}", path.display())]
    Unreadable {
        /// The flag that names it.
        flag: &'static str,
        /// The directory or file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl Error {
    /// `value` of `key` is not what was expected.
    pub fn invalid(key: &str, value: &str, expected: &str) -> Self {
        Self::Invalid {
            key: key.to_owned(),
            value: value.to_owned(),
            expected: expected.to_owned(),
        }
    }
}

/// The command line of a program: `--config-dir`, and every key as a flag.
pub fn command(name: &'static str, about: &'static str, keys: Keys) -> Command {
    let directory = Arg::new("config-dir")
        .long("config-dir")
        .value_name("DIR")
        .help("Directory with one file per key");
    let flags = keys.names().map(|name| {
        let flag = Arg::new(name)
            .long(name)
            .value_name("VALUE")
            .num_args(0..=1)
            .default_missing_value("true")
            .action(ArgAction::Set);
        match keys.understood(name) {
            Some(key) => flag.help(key.described()),
            None => flag.hide(true),
        }
    });
    Command::new(name)
        .version(env!("CARGO_PKG_VERSION"))
        .about(about)
        .arg(directory)
        .args(flags)
}
