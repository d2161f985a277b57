//! Last good versions: what stays in force while an object of the store is faulty, also over a restart of the agent.
//!
//! The store has only the newest version of an object. Each one that could be understood is therefore kept as a file named by
//! the object's uid, so that another object of the same name never inherits it. The file goes with its object.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::policy::Invalid;
use reconcile::{
    Fetched, Options, Reconciler, StatusReader, Step, Subscription, Table, TableWriter, Target,
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::inputs::Inputs;

const DIRECTORY: &str = "last-good";
const EXTENSION: &str = "json";
/// Longer than any uid that a server gives.
const LONGEST: usize = 64;
/// What the file does not need: others write it, or nobody reads it.
const LEFT_OUT: [&str; 2] = ["/status", "/metadata/managedFields"];

/// A version that could be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Good<T> {
    /// What it says.
    pub object: Arc<T>,
    /// Of which object.
    pub uid: Arc<str>,
    /// `metadata.generation` of this version, 0 if it has none.
    pub generation: i64,
    /// The object as JSON, without its status.
    pub text: Arc<str>,
}

/// An object as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged<T> {
    /// Why the newest version cannot be understood.
    pub fault: Option<Invalid>,
    /// The version in force: the newest that could be understood, if there was one.
    pub good: Option<Good<T>>,
}

impl<T> Judged<T> {
    /// What is wrong with the object, and what is in force instead.
    pub fn complaint(&self) -> Option<String> {
        let fault = self.fault.as_ref()?;
        let instead = match self.good {
            Some(_) => "the last good version stays in force",
            None => "no version of it is in force",
        };
        Some(format!("{fault}; {instead}"))
    }
}

/// The files.
#[derive(Clone, Debug)]
pub struct LastGood {
    directory: PathBuf,
}

impl LastGood {
    /// Those under the state directory.
    pub fn open(state_dir: &Path) -> io::Result<Self> {
        let directory = state_dir.join(DIRECTORY);
        std::fs::create_dir_all(&directory)?;
        Ok(Self { directory })
    }

    /// Reads an object that was `before` in its table; a faulty one keeps its last good version.
    pub fn judge<T: Clone>(
        &self,
        mut object: Value,
        before: Option<&Judged<T>>,
        read: impl Fn(&Value) -> Result<T, Invalid>,
    ) -> Judged<T> {
        let uid: Arc<str> = uid_of(&object).into();
        match read(&object) {
            Ok(good) => {
                for path in LEFT_OUT {
                    leave_out(&mut object, path);
                }
                let good = Good {
                    object: Arc::new(good),
                    uid,
                    generation: generation_of(&object),
                    text: object.to_string().into(),
                };
                Judged {
                    fault: None,
                    good: Some(good),
                }
            }
            Err(fault) => {
                let before = before.and_then(|before| before.good.as_ref());
                let same = before.filter(|before| before.uid == uid);
                Judged {
                    fault: Some(fault),
                    good: same.cloned().or_else(|| self.restore(&uid, read)),
                }
            }
        }
    }

    /// The version that an earlier run kept.
    fn restore<T>(
        &self,
        uid: &Arc<str>,
        read: impl Fn(&Value) -> Result<T, Invalid>,
    ) -> Option<Good<T>> {
        let path = self.path(uid)?;
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::error!(file = %path.display(), %error, "the last good version of an object cannot be read");
                return None;
            }
        };
        let object = serde_json::from_str::<Value>(&text).map_err(|error| error.to_string());
        let read = |object: Value| {
            let good = read(&object).map_err(|error| error.to_string())?;
            Ok((good, generation_of(&object)))
        };
        match object.and_then(read) {
            Ok((object, generation)) => Some(Good {
                object: Arc::new(object),
                uid: Arc::clone(uid),
                generation,
                text: text.into(),
            }),
            Err(error) => {
                tracing::error!(file = %path.display(), error, "the last good version of an object is not good any more");
                None
            }
        }
    }

    /// `None` for a uid that is no name of a file.
    fn path(&self, uid: &str) -> Option<PathBuf> {
        let plain = |of: char| of.is_ascii_alphanumeric() || of == '-';
        let fits = !uid.is_empty() && uid.len() <= LONGEST && uid.chars().all(plain);
        fits.then(|| self.directory.join(uid).with_extension(EXTENSION))
    }
}

fn uid_of(object: &Value) -> &str {
    let uid = object.pointer("/metadata/uid").and_then(Value::as_str);
    uid.unwrap_or_default()
}

fn generation_of(object: &Value) -> i64 {
    let generation = object
        .pointer("/metadata/generation")
        .and_then(Value::as_i64);
    generation.unwrap_or_default()
}

fn leave_out(object: &mut Value, path: &str) {
    let (parent, field) = path.rsplit_once('/').unwrap_or(("", path));
    if let Some(Value::Object(fields)) = object.pointer_mut(parent) {
        fields.remove(field);
    }
}

impl Target for LastGood {
    type Key = Arc<str>;
    type Value = Arc<str>;
    type Cursor = ();
    type Error = io::Error;

    async fn fetch(&self, _from: Option<()>) -> io::Result<Fetched<Arc<str>, Arc<str>, ()>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let path = entry?.path();
            if path.extension().is_none_or(|of| of != EXTENSION) {
                // Half of a write that was interrupted.
                std::fs::remove_file(&path)?;
                continue;
            }
            let name = path.file_stem().and_then(|name| name.to_str());
            // A file that is not text is none of ours as it should be: written anew, or removed.
            let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
            entries.extend(name.map(|name| (name.into(), text.into())));
        }
        Ok(Fetched {
            entries,
            next: None,
        })
    }

    async fn apply(&self, step: &Step<Arc<str>, Arc<str>>) -> io::Result<()> {
        let Some(path) = self.path(step.key()) else {
            return Ok(());
        };
        match step.to() {
            Some(text) => {
                let temporary = path.with_extension("new");
                std::fs::write(&temporary, text.as_bytes())?;
                std::fs::rename(&temporary, &path)
            }
            None => match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
        }
    }
}

/// The reconciler of the files, and its status.
pub fn files(
    target: LastGood,
    desired: Table<Arc<str>, Arc<str>>,
) -> (Reconciler<LastGood>, StatusReader<Arc<str>>) {
    Reconciler::new("last good versions", target, desired, Options::default())
}

/// Keeps the desired table at what is in force, until `stop`.
pub async fn follow(
    inputs: Inputs,
    mut writer: TableWriter<Arc<str>, Arc<str>>,
    stop: CancellationToken,
) {
    let tables = [
        &inputs.network_policies,
        &inputs.cilium_policies,
        &inputs.clusterwide_policies,
    ];
    let mut changed: [Subscription; 3] = tables.map(Table::subscribe);
    let mut groups_changed = inputs.groups.subscribe();
    loop {
        let policies = tables.map(Table::snapshot);
        let groups = inputs.groups.snapshot();
        let mut kept = BTreeMap::new();
        for (_, row) in policies.iter().flat_map(reconcile::Snapshot::iter) {
            kept.extend(kept_of(&row.judged));
        }
        kept.extend(groups.iter().filter_map(|(_, row)| kept_of(row)));
        // A uid that is no name of a file would be tried for ever.
        kept.retain(|uid, _| !uid.is_empty());
        writer.replace(kept);
        if groups.is_initialized() && policies.iter().all(reconcile::Snapshot::is_initialized) {
            writer.mark_initialized("policies");
        }
        let [network, cilium, clusterwide] = &mut changed;
        tokio::select! {
            () = stop.cancelled() => return,
            _ = network.changed() => {}
            _ = cilium.changed() => {}
            _ = clusterwide.changed() => {}
            _ = groups_changed.changed() => {}
        }
    }
}

fn kept_of<T>(row: &Judged<T>) -> Option<(Arc<str>, Arc<str>)> {
    let good = row.good.as_ref()?;
    Some((Arc::clone(&good.uid), Arc::clone(&good.text)))
}

#[cfg(test)]
mod tests;
