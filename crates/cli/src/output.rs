//! How answers are shown: aligned tables, JSON, YAML, single fields, and colours where a person looks.

mod jsonpath;
mod table;

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::str::FromStr;

use serde_json::Value;

pub(crate) use jsonpath::JsonPath;
pub(crate) use table::Table;

/// What `-o` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// JSON, indented.
    Json,
    /// YAML.
    Yaml,
    /// The fields that a path leads to.
    JsonPath(JsonPath),
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=').unwrap_or((text, "")) {
            ("json", "") => Ok(Self::Json),
            ("yaml", "") => Ok(Self::Yaml),
            ("jsonpath", path) => path.parse().map(Self::JsonPath),
            _ => Err("use json, yaml or jsonpath='{.field}'".to_owned()),
        }
    }
}

impl Format {
    /// Writes a value in this format.
    pub(crate) fn write(&self, out: &mut dyn Write, value: &Value) -> anyhow::Result<()> {
        match self {
            Self::Json => writeln!(out, "{}", serde_json::to_string_pretty(value)?)?,
            Self::Yaml => write!(out, "{}", serde_yaml_ng::to_string(value)?)?,
            Self::JsonPath(path) => writeln!(out, "{}", path.select(value))?,
        }
        Ok(())
    }
}

/// The flag `-o` of commands that list or get.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct OutputArgs {
    /// json, yaml, or jsonpath='{.field}'
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
}

/// What others wrote, without what would steer a terminal: control characters become escapes, `\u{1b}`.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Colours of a terminal, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// Nobody would see them.
    Plain,
    /// ANSI sequences.
    Colored,
}

impl Paint {
    /// Colours if standard output is a terminal and `NO_COLOR` is not set.
    pub(crate) fn of_stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if io::stdout().is_terminal() && !refused {
            Self::Colored
        } else {
            Self::Plain
        }
    }

    fn with(self, code: u8, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colored => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }

    /// What is well.
    pub(crate) fn good(self, text: &str) -> String {
        self.with(32, text)
    }

    /// What is not.
    pub(crate) fn bad(self, text: &str) -> String {
        self.with(31, text)
    }

    /// What needs a look.
    pub(crate) fn warn(self, text: &str) -> String {
        self.with(33, text)
    }

    /// A heading.
    pub(crate) fn bold(self, text: &str) -> String {
        self.with(1, text)
    }
}

#[cfg(test)]
mod tests;
