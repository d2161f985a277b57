//! What was given: values by key, before any of it is understood.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use clap::ArgMatches;

use super::{Error, Keys};

/// Values by key; names are written with dashes.
#[derive(Clone, Debug, Default)]
pub struct Given {
    values: BTreeMap<String, String>,
    /// Keys whose value is not from a file.
    fixed: BTreeSet<String>,
}

fn with_dashes(key: &str) -> String {
    key.replace('_', "-")
}

impl Given {
    /// Values given by hand, for tests and embedding.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut given = Self::default();
        for (key, value) in pairs {
            given.set(key, value);
        }
        given
    }

    /// Values as they are in files, by the files' names.
    pub fn from_files<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let values = files
            .into_iter()
            .map(|(key, value)| (with_dashes(key), value.trim().to_owned()));
        Self {
            values: values.collect(),
            fixed: BTreeSet::new(),
        }
    }

    /// Takes a value in the place of an earlier one.
    pub fn set(&mut self, key: &str, value: &str) {
        self.values
            .insert(with_dashes(key), value.trim().to_owned());
        self.fixed.insert(with_dashes(key));
    }

    /// What was given for `key`, if anything.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// All keys for which something was given.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// Keys to which a start with these files in place of those that were read would give another value, in order of the
    /// names. What the environment and flags say stays, and what only another program reads does not count.
    pub fn changed_by(&self, keys: Keys, files: &Self) -> Vec<String> {
        let names: BTreeSet<&String> = self.values.keys().chain(files.values.keys()).collect();
        let value = |of: &Self, key: &str| {
            let default = || keys.understood(key).map(|of| of.default.to_owned());
            of.values.get(key).cloned().or_else(default)
        };
        let is_ours =
            |key: &String| !self.fixed.contains(key) && !keys.elsewhere.contains(&key.as_str());
        let changed = names
            .into_iter()
            .filter(|key| is_ours(key) && value(self, key) != value(files, key));
        changed.cloned().collect()
    }

    /// One file per key; names beginning with a dot are the mount's own business (Kubernetes' `..data`).
    fn read_directory(directory: &Path) -> Result<Self, Error> {
        let mut given = Self::default();
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error: std::io::Error| Error::Unreadable {
                flag: "config-dir",
                path,
                reason: error.to_string(),
            }
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
            given
                .values
                .insert(with_dashes(name), value.trim().to_owned());
        }
        Ok(given)
    }
}

/// Gathers values from the directory, the environment (`CILIUM_<KEY>`, `AXONEME_<KEY>`), and flags, later ones winning.
/// `K8S_NODE_NAME` stands in for `k8s-node-name`.
pub fn gather(
    keys: Keys,
    matches: &ArgMatches,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Given, Error> {
    let mut given = match matches.get_one::<String>("config-dir") {
        Some(directory) => Given::read_directory(Path::new(directory))?,
        None => Given::default(),
    };
    for name in keys.names() {
        let variable = name.replace('-', "_").to_ascii_uppercase();
        for prefix in ["CILIUM_", "AXONEME_"] {
            if let Some(value) = environment(&format!("{prefix}{variable}")) {
                given.set(name, &value);
            }
        }
        if let Some(value) = matches.get_one::<String>(name) {
            given.set(name, value);
        }
    }
    if given.get("k8s-node-name").is_none()
        && let Some(name) = environment("K8S_NODE_NAME")
    {
        given.set("k8s-node-name", &name);
    }
    Ok(given)
}
