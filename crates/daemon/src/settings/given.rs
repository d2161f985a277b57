//! What was given: values by key, before any of it is understood.

use std::collections::BTreeMap;
use std::path::Path;

use clap::ArgMatches;

use super::{Error, Keys};

/// Values by key; names are written with dashes.
#[derive(Clone, Debug, Default)]
pub struct Given(BTreeMap<String, String>);

impl Given {
    /// Values given by hand, for tests and embedding.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut given = Self::default();
        for (key, value) in pairs {
            given.set(key, value);
        }
        given
    }

    /// Takes a value in the place of an earlier one.
    pub fn set(&mut self, key: &str, value: &str) {
        self.0
            .insert(key.replace('_', "-"), value.trim().to_owned());
    }

    /// What was given for `key`, if anything.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// All keys for which something was given.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// One file per key; names beginning with a dot are the mount's own business (Kubernetes' `..data`).
    fn read_directory(&mut self, directory: &Path) -> Result<(), Error> {
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
            self.set(name, &value);
        }
        Ok(())
    }
}

/// Gathers values from the directory, the environment (`CILIUM_<KEY>`, `AXONEME_<KEY>`), and flags, later ones winning.
/// `K8S_NODE_NAME` stands in for `k8s-node-name`.
pub fn gather(
    keys: Keys,
    matches: &ArgMatches,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Given, Error> {
    let mut given = Given::default();
    if let Some(directory) = matches.get_one::<String>("config-dir") {
        given.read_directory(Path::new(directory))?;
    }
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
