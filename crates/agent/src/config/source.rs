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
    /// Keys in the configuration directory that nobody knows.
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
        let known =
            KEYS.iter().any(|k| k.name == key) || UNSUPPORTED.iter().any(|(name, _)| *name == key);
        if known {
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
    pub fn value(&self, key: &str) -> String {
        self.explicit(key)
            .or_else(|| KEYS.iter().find(|k| k.name == key).map(|k| k.default))
            .unwrap_or_default()
            .to_owned()
    }

    /// All keys with the value in force.
    pub fn effective(&self) -> Vec<(String, String)> {
        KEYS.iter()
            .map(|k| (k.name.to_owned(), self.value(k.name)))
            .collect()
    }
}

/// The command line: `--config-dir`, and every key as a flag.
pub fn command() -> Command {
    let mut command = Command::new("axoneme-agent")
        .version(env!("CARGO_PKG_VERSION"))
        .about("The node agent: pod networking, services, policy and flows on eBPF")
        .arg(
            Arg::new("config-dir")
                .long("config-dir")
                .value_name("DIR")
                .help("Directory with one file per key"),
        );
    for key in KEYS {
        let help = if key.default.is_empty() {
            key.help.to_owned()
        } else {
            format!("{} [default: {}]", key.help, key.default)
        };
        command = command.arg(flag(key.name).help(help));
    }
    let accepted: Vec<_> = UNSUPPORTED
        .iter()
        .filter(|(name, _)| KEYS.iter().all(|key| key.name != *name))
        .collect();
    for (name, _) in accepted {
        command = command.arg(flag(name).hide(true));
    }
    command
}

fn flag(name: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("VALUE")
        .num_args(0..=1)
        .require_equals(false)
        .default_missing_value("true")
        .action(ArgAction::Set)
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
    let names = KEYS
        .iter()
        .map(|key| key.name)
        .chain(UNSUPPORTED.iter().map(|(name, _)| *name));
    for name in names {
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
        && let Some(name) = environment("K8S_NODE_NAME").or_else(host_name)
    {
        given.take("k8s-node-name", &name);
    }
    Ok(given)
}

fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
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
        given.take(
            name,
            &std::fs::read_to_string(&path).map_err(failed(&path))?,
        );
    }
    Ok(())
}
