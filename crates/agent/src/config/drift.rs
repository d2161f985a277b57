//! With what the agent compares its settings while it runs.

use std::collections::BTreeSet;

use daemon::settings::{Error, Given, Reader};
use serde::de::DeserializeOwned;
use store::settings::{OVERRIDES, Overrides, SOURCES, Settings, Source, merge};

use super::keys::ALL;

/// Where the settings of this start came from, and what they were.
#[derive(Clone, Debug)]
pub struct Drift {
    /// Where from, the later overriding the earlier.
    pub sources: Vec<Source>,
    overrides: Overrides,
    ignored: BTreeSet<String>,
    given: Given,
}

impl Drift {
    /// Keys to which a start now would give another value, when the sources say this, in order of the names.
    pub fn changed_by(&self, layers: impl IntoIterator<Item = Settings>) -> Vec<String> {
        let (settings, _) = merge(layers, &self.overrides);
        let texts = settings
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()));
        let mut changed = self.given.changed_by(ALL, &Given::from_files(texts));
        changed.retain(|key| !self.ignored.contains(key));
        changed
    }
}

/// None where it is switched off, or where nobody said where the settings came from.
pub(super) fn drift(read: &Reader<'_>, given: &Given) -> Result<Option<Drift>, Error> {
    let (watched, compared) = (
        read.flag("enable-dynamic-config")?,
        read.flag("enable-drift-checker")?,
    );
    let sources: Vec<Source> = json(read, SOURCES, "a list of sources as JSON")?;
    let overrides = json(read, OVERRIDES, "lists of keys as JSON")?;
    let mut ignored: BTreeSet<String> = read
        .list("ignore-flags-drift-checker")
        .into_iter()
        .map(|key| key.replace('_', "-"))
        .collect();
    // Not of the sources, but of who read them.
    ignored.extend([SOURCES, OVERRIDES].map(str::to_owned));
    Ok((watched && compared && !sources.is_empty()).then(|| Drift {
        sources,
        overrides,
        ignored,
        given: given.clone(),
    }))
}

fn json<T: DeserializeOwned + Default>(
    read: &Reader<'_>,
    key: &str,
    expected: &str,
) -> Result<T, Error> {
    match read.text(key) {
        "" => Ok(T::default()),
        text => serde_json::from_str(text).map_err(|_| read.invalid(key, expected)),
    }
}
