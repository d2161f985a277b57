//! The configuration file of the family, and the command that shows and changes it.

use std::{
    collections::BTreeMap,
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_yaml_ng::Value;

use super::{
    connect::{ConnectArgs, DEFAULT_SERVER},
    time,
};

/// Arguments of `config`.
#[derive(Args, Debug)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: Option<ConfigCommand>,
}

#[derive(Subcommand, Debug)]
enum ConfigCommand {
    /// Print one setting
    Get {
        /// Name of the setting, as its flag
        key: String,
    },
    /// Print all settings
    View,
    /// Change one setting in the file
    Set {
        /// Name of the setting, as its flag
        key: String,
        /// Its value; nothing takes it out of the file
        value: Option<String>,
    },
    /// Take one setting, or all, out of the file
    Reset {
        /// Name of the setting, as its flag
        key: Option<String>,
    },
}

/// Settings that a file can have, with the values they have without one.
const KEYS: [(&str, &str); 16] = [
    ("basic-auth-password", "\"\""),
    ("basic-auth-username", "\"\""),
    ("kube-context", "\"\""),
    ("kube-namespace", "kube-system"),
    ("kubeconfig", "\"\""),
    ("port-forward", "false"),
    ("port-forward-port", "4245"),
    ("request-timeout", "12s"),
    ("server", DEFAULT_SERVER),
    ("timeout", "5s"),
    ("tls", "false"),
    ("tls-allow-insecure", "false"),
    ("tls-ca-cert-files", "[]"),
    ("tls-client-cert-file", "\"\""),
    ("tls-client-key-file", "\"\""),
    ("tls-server-name", "\"\""),
];

/// What the configuration file says.
#[derive(Debug, Default)]
pub(super) struct Settings {
    path: Option<PathBuf>,
    values: BTreeMap<String, Value>,
    /// Local address that leads to the server, whichever one is named.
    pub(super) forwarded: Option<String>,
}

impl Settings {
    /// Reads the named file, or the first of the usual ones that is there.
    pub(super) fn load(named: Option<&Path>) -> anyhow::Result<Self> {
        let path = match named {
            Some(path) => Some(path.to_owned()),
            None => usual_paths().find(|path| path.is_file()),
        };
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        let values = match serde_yaml_ng::from_str(&text) {
            Ok(Value::Null) => BTreeMap::new(),
            Ok(values) => serde_yaml_ng::from_value(values)
                .with_context(|| format!("{}: not a map of settings", path.display()))?,
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        Ok(Self {
            path: Some(path),
            values,
            forwarded: None,
        })
    }

    pub(super) fn text(&self, key: &str) -> anyhow::Result<Option<String>> {
        match self.values.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Bool(value)) => Ok(Some(value.to_string())),
            Some(Value::Number(value)) => Ok(Some(value.to_string())),
            Some(_) => bail!("{}: {key}: not a text", self.name()),
        }
    }

    fn name(&self) -> String {
        self.path
            .as_ref()
            .map_or_else(|| "configuration".into(), |path| path.display().to_string())
    }

    fn duration(&self, key: &str) -> anyhow::Result<Option<Duration>> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        let value = time::duration(&text)
            .map_err(|error| anyhow::anyhow!("{}: {key}: {error}", self.name()))?;
        Ok(Some(value))
    }

    pub(super) fn switch(&self, key: &str) -> anyhow::Result<Option<bool>> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => bail!("{}: {key}: {text:?} is neither true nor false", self.name()),
        }
    }

    fn paths(&self, key: &str) -> anyhow::Result<Vec<PathBuf>> {
        match self.values.get(key) {
            Some(Value::Sequence(items)) => items
                .iter()
                .map(|item| match item {
                    Value::String(path) => Ok(PathBuf::from(path)),
                    _ => bail!("{}: {key}: not a list of texts", self.name()),
                })
                .collect(),
            _ => Ok(self
                .text(key)?
                .map(|text| text.split(',').map(PathBuf::from).collect())
                .unwrap_or_default()),
        }
    }

    /// Fills in what neither flags nor environment gave.
    pub(super) fn complete(&self, mut args: ConnectArgs) -> anyhow::Result<ConnectArgs> {
        let server = args.server.or(self.text("server")?);
        args.server = self.forwarded.clone().or(server);
        args.timeout = args.timeout.or(self.duration("timeout")?);
        args.request_timeout = args.request_timeout.or(self.duration("request-timeout")?);
        args.tls = args.tls.or(self.switch("tls")?);
        args.tls_allow_insecure = args
            .tls_allow_insecure
            .or(self.switch("tls-allow-insecure")?);
        if args.tls_ca_cert_files.is_empty() {
            args.tls_ca_cert_files = self.paths("tls-ca-cert-files")?;
        }
        let path = |key| self.text(key).map(|path| path.map(PathBuf::from));
        args.tls_client_cert_file = args.tls_client_cert_file.or(path("tls-client-cert-file")?);
        args.tls_client_key_file = args.tls_client_key_file.or(path("tls-client-key-file")?);
        args.tls_server_name = args.tls_server_name.or(self.text("tls-server-name")?);
        args.basic_auth_username = args
            .basic_auth_username
            .or(self.text("basic-auth-username")?);
        args.basic_auth_password = args
            .basic_auth_password
            .or(self.text("basic-auth-password")?);
        Ok(args)
    }

    /// Environment, then file, then what holds without both.
    fn shown(&self, key: &str) -> anyhow::Result<String> {
        let default = KEYS
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, default)| *default)
            .with_context(|| unknown(key))?;
        let variable = format!("HUBBLE_{}", key.to_ascii_uppercase().replace('-', "_"));
        let set = match env::var(variable) {
            Ok(text) => Some(text),
            Err(_) if key == "tls-ca-cert-files" => {
                let paths = self.paths(key)?;
                let paths: Vec<_> = paths
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect();
                (!paths.is_empty()).then(|| format!("[{}]", paths.join(", ")))
            }
            Err(_) => self.text(key)?,
        };
        Ok(set.unwrap_or_else(|| default.to_owned()))
    }

    fn save(&self) -> anyhow::Result<()> {
        let path = match &self.path {
            Some(path) => path.clone(),
            None => usual_paths()
                .last()
                .context("neither XDG_CONFIG_HOME nor HOME is set")?,
        };
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        }
        let text = serde_yaml_ng::to_string(&self.values)?;
        fs::write(&path, text).with_context(|| path.display().to_string())
    }
}

fn unknown(key: &str) -> String {
    format!(
        "unknown key: {key} (known: {})",
        KEYS.map(|(name, _)| name).join(", ")
    )
}

/// `config.yaml` here, then `~/.hubble`, then in the user's configuration directory; a new file goes to the last one.
fn usual_paths() -> impl Iterator<Item = PathBuf> {
    let home = env::var_os("HOME").map(PathBuf::from);
    let user = env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| home.clone().map(|home| home.join(".config")));
    [
        Some(PathBuf::from("config.yaml")),
        home.map(|home| home.join(".hubble/config.yaml")),
        user.map(|user| user.join("hubble/config.yaml")),
    ]
    .into_iter()
    .flatten()
}

/// Runs `config`.
pub(super) fn run(
    args: &ConfigArgs,
    mut file: Settings,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    match args.command.as_ref().unwrap_or(&ConfigCommand::View) {
        ConfigCommand::View => {
            for (key, _) in KEYS {
                writeln!(out, "{key}: {}", file.shown(key)?)?;
            }
        }
        ConfigCommand::Get { key } => writeln!(out, "{}", file.shown(key)?.trim_matches('"'))?,
        ConfigCommand::Set { key, value } => {
            file.shown(key)?;
            match value {
                Some(value) => file
                    .values
                    .insert(key.clone(), Value::String(value.clone())),
                None => file.values.remove(key),
            };
            file.complete(ConnectArgs::default())?;
            file.save()?;
        }
        ConfigCommand::Reset { key: Some(key) } => {
            file.shown(key)?;
            file.values.remove(key);
            file.save()?;
        }
        ConfigCommand::Reset { key: None } => {
            file.values.clear();
            file.save()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
