//! Where values come from: flags, then environment, then files, then defaults.

use std::collections::BTreeMap;
use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::Error;
use super::keys::{KEYS, UNSUPPORTED};

/// What was given, by key, before any of it is understood.
#[derive(Clone, Debug, Default)]
pub struct Given {
    values: BTreeMap<String, String>,
    /// Keys in the configuration directory that are not the operator's.
    pub unknown: Vec<String>,
}

impl Given {
    /// Values given by hand, for tests and embedding.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut given = Self::default();
        for (key, value) in pairs {
            given.take(key, value);
        }
        given
    }

    fn take(&mut self, key: &str, value: &str) {
        let key = key.replace('_', "-");
        if names().any(|name| name == key) {
            self.values.insert(key, value.trim().to_owned());
        } else if !self.unknown.contains(&key) {
            self.unknown.push(key);
        }
    }

    /// What was given for `key`, if anything.
    pub fn explicit(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// The value in force: given, or the default.
    pub fn value(&self, key: &str) -> &str {
        let default = || KEYS.iter().find(|of| of.name == key).map(|of| of.default);
        self.explicit(key).or_else(default).unwrap_or_default()
    }
}

/// Every name once.
fn names() -> impl Iterator<Item = &'static str> {
    let known = |name: &str| KEYS.iter().any(|key| key.name == name);
    let lacking = UNSUPPORTED.iter().map(|(name, _)| *name);
    let keys = KEYS.iter().map(|key| key.name);
    keys.chain(lacking.filter(move |name| !known(name)))
}

/// The command line of a program of this name: `--config-dir`, and every key as a flag.
pub fn command(name: &'static str) -> Command {
    let mut command = Command::new(name)
        .version(env!("CARGO_PKG_VERSION"))
        .about("The operator: CRDs, address ranges of nodes, collection of what nobody uses")
        .arg(
            Arg::new("config-dir")
                .long("config-dir")
                .value_name("DIR")
                .help("Directory with one file per key"),
        );
    for name in names() {
        let flag = Arg::new(name)
            .long(name)
            .value_name("VALUE")
            .num_args(0..=1)
            .default_missing_value("true")
            .action(ArgAction::Set);
        command = command.arg(match KEYS.iter().find(|key| key.name == name) {
            Some(key) if key.default.is_empty() => flag.help(key.help),
            Some(key) => flag.help(format!("{} [default: {}]", key.help, key.default)),
            None => flag.hide(true),
        });
    }
    command
}

/// Gathers values from the directory, the environment (`CILIUM_<KEY>`, `AXONEME_<KEY>`), and flags, later ones winning.
pub fn gather(
    matches: &ArgMatches,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Given, Error> {
    let mut given = Given::default();
    if let Some(directory) = matches.get_one::<String>("config-dir") {
        read_directory(Path::new(directory), &mut given)?;
    }
    for name in names() {
        let variable = name.replace('-', "_").to_ascii_uppercase();
        for prefix in ["CILIUM_", "AXONEME_"] {
            if let Some(value) = environment(&format!("{prefix}{variable}")) {
                given.take(name, &value);
            }
        }
        if let Some(value) = matches.get_one::<String>(name) {
            given.take(name, value);
        }
    }
    if given.explicit("k8s-node-name").is_none()
        && let Some(name) = environment("K8S_NODE_NAME")
    {
        given.take("k8s-node-name", &name);
    }
    Ok(given)
}

/// One file per key; names beginning with a dot are the mount's own business (Kubernetes' `..data`).
fn read_directory(directory: &Path, given: &mut Given) -> Result<(), Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| Error::Directory { path, error }
    };
    for entry in std::fs::read_dir(directory).map_err(failed(directory))? {
        let path = entry.map_err(failed(directory))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if name.starts_with('.') || path.is_dir() {
            continue;
        }
        let value = std::fs::read_to_string(&path).map_err(failed(&path))?;
        given.take(name, &value);
    }
    Ok(())
}
