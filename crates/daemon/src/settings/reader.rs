//! From texts to typed values, one key after the other; the first error ends it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::{Error, Given, Keys};

/// What was given, as the keys of a program understand it.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    keys: Keys,
    given: &'a Given,
}

impl<'a> Reader<'a> {
    /// Reads `given` by `keys`; refuses by name what asks for something we lack.
    pub fn new(keys: Keys, given: &'a Given) -> Result<Self, Error> {
        for (key, accepted) in keys.lacking {
            let Some(value) = given.get(key).filter(|value| !value.is_empty()) else {
                continue;
            };
            let mut all = accepted.split('|');
            if !all.any(|one| one.eq_ignore_ascii_case(value)) {
                return Err(Error::Unsupported {
                    key: (*key).to_owned(),
                    value: value.to_owned(),
                    off: accepted.split('|').next().unwrap_or_default().to_owned(),
                });
            }
        }
        Ok(Self { keys, given })
    }

    /// Keys that were given and that nobody knows.
    pub fn unknown(&self) -> Vec<String> {
        let known = |name: &str| {
            self.keys.names().any(|known| known == name) || self.keys.elsewhere.contains(&name)
        };
        let given = self.given.keys();
        given
            .filter(|name| !known(name))
            .map(str::to_owned)
            .collect()
    }

    /// All keys that are understood, with the value in force.
    pub fn effective(&self) -> Vec<(String, String)> {
        let keys = self.keys.understood.iter();
        keys.map(|key| (key.name.to_owned(), self.text(key.name).to_owned()))
            .collect()
    }

    /// The value in force: given, or the default.
    pub fn text(&self, key: &str) -> &'a str {
        let default = || self.keys.understood(key).map(|key| key.default);
        self.given.get(key).or_else(default).unwrap_or_default()
    }

    /// The error of a key whose value is not what was `expected`.
    pub fn invalid(&self, key: &str, expected: &str) -> Error {
        Error::invalid(key, self.text(key), expected)
    }

    /// Anything that can be parsed.
    pub fn parse<T: FromStr>(&self, key: &str, expected: &str) -> Result<T, Error> {
        let value = self.text(key).parse();
        value.map_err(|_| self.invalid(key, expected))
    }

    /// Anything that can be parsed; nothing is none.
    pub fn optional<T: FromStr>(&self, key: &str, expected: &str) -> Result<Option<T>, Error> {
        match self.text(key) {
            "" => Ok(None),
            _ => self.parse(key, expected).map(Some),
        }
    }

    /// Yes or no; nothing is no.
    pub fn flag(&self, key: &str) -> Result<bool, Error> {
        match self.text(key).to_ascii_lowercase().as_str() {
            "true" | "1" | "t" => Ok(true),
            "false" | "0" | "f" | "" => Ok(false),
            _ => Err(self.invalid(key, "true or false")),
        }
    }

    /// A path; nothing is none.
    pub fn path(&self, key: &str) -> Option<PathBuf> {
        Some(self.text(key))
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    }

    /// Words between commas or spaces.
    pub fn list(&self, key: &str) -> Vec<String> {
        let parts = self.text(key).split([',', ' ']).map(str::trim);
        parts
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// A duration with units.
    pub fn duration(&self, key: &str) -> Result<Duration, Error> {
        let span: jiff::SignedDuration = self.parse(key, "a duration like 5m or 30s")?;
        Duration::try_from(span).map_err(|_| self.invalid(key, "a duration that is not negative"))
    }

    /// A duration with units, or a number of seconds, as which upstream writes some.
    pub fn duration_or_seconds(&self, key: &str) -> Result<Duration, Error> {
        match self.text(key).parse() {
            Ok(seconds) => Ok(Duration::from_secs(seconds)),
            Err(_) => self.duration(key),
        }
    }

    /// Where to listen: `ADDRESS:PORT`, or `:PORT` for all addresses of both families.
    pub fn address(&self, key: &str) -> Result<SocketAddr, Error> {
        let value = self.text(key);
        let full = if value.starts_with(':') {
            format!("[::]{value}")
        } else {
            value.replacen("localhost:", "127.0.0.1:", 1)
        };
        full.parse()
            .map_err(|_| self.invalid(key, "ADDRESS:PORT or :PORT"))
    }

    /// Where to listen; nothing is nowhere.
    pub fn optional_address(&self, key: &str) -> Result<Option<SocketAddr>, Error> {
        match self.text(key) {
            "" => Ok(None),
            _ => self.address(key).map(Some),
        }
    }
}
