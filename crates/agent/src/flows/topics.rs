//! Names of Kafka's topics by their numbers, in a file: clients ask for names once in minutes and go on by numbers, so that an
//! agent that starts meanwhile would know numbers alone.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use l7::kafka::TopicNames;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const FILE: &str = "kafka-topics.json";
/// What the file means to its reader; one with another number is passed over.
const VERSION: u32 = 1;
/// The file is written this often at the most.
const WRITE_EVERY: Duration = Duration::from_secs(10);

/// Names by numbers, which are written in hexadecimal.
type Names = BTreeMap<String, String>;

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    topics: Names,
}

/// What was known before, and who is told of what is learnt.
pub struct Topics {
    known: Names,
    told: watch::Sender<Names>,
    learnt: u64,
}

impl Topics {
    /// Those of a directory, with what keeps its file up to date ([`keep`]).
    pub fn open(directory: &Path) -> (Self, Keeper) {
        let path = directory.join(FILE);
        let known = match read(&path) {
            Ok(known) => known,
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "names of topics are learnt anew");
                Names::new()
            }
        };
        let (told, names) = watch::channel(known.clone());
        let written = known.clone();
        let keeper = Keeper {
            path,
            names,
            written,
        };
        let topics = Self {
            known,
            told,
            learnt: 0,
        };
        (topics, keeper)
    }

    /// Teaches what was known before.
    pub(super) fn teach(&mut self, names: &mut TopicNames) {
        for (id, name) in std::mem::take(&mut self.known) {
            if let Ok(id) = u128::from_str_radix(&id, 16) {
                names.learn(id.to_be_bytes(), name.as_bytes());
            }
        }
        self.learnt = names.learnt();
    }

    /// Tells what was learnt since.
    pub(super) fn tell(&mut self, names: &TopicNames) {
        if self.learnt == names.learnt() {
            return;
        }
        self.learnt = names.learnt();
        let all = names.iter().map(|(id, name)| {
            let id = u128::from_be_bytes(id);
            (format!("{id:032x}"), name.to_owned())
        });
        self.told.send_replace(all.collect());
    }
}

/// The file, and what it is to say.
pub struct Keeper {
    path: PathBuf,
    names: watch::Receiver<Names>,
    written: Names,
}

/// Writes what is learnt until `stop`.
pub async fn keep(mut keeper: Keeper, stop: CancellationToken) {
    loop {
        let is_over = tokio::select! {
            () = stop.cancelled() => true,
            changed = keeper.names.changed() => changed.is_err(),
        };
        let topics = keeper.names.borrow_and_update().clone();
        if topics != keeper.written {
            let (path, names) = (keeper.path.clone(), topics.clone());
            match tokio::task::spawn_blocking(move || write(&path, names)).await {
                Ok(Ok(())) => keeper.written = topics,
                Ok(Err(error)) => tracing::warn!(%error, "names of topics are not written"),
                Err(error) => tracing::warn!(%error, "names of topics are not written"),
            }
        }
        if is_over {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(WRITE_EVERY) => {}
        }
    }
}

fn read(path: &Path) -> io::Result<Names> {
    let octets = match std::fs::read(path) {
        Ok(octets) => octets,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Names::new()),
        Err(error) => return Err(error),
    };
    let saved: Saved = serde_json::from_slice(&octets)?;
    if saved.version != VERSION {
        let other = format!("version {} of the file, not {VERSION}", saved.version);
        return Err(io::Error::other(other));
    }
    Ok(saved.topics)
}

fn write(path: &Path, topics: Names) -> io::Result<()> {
    let version = VERSION;
    let octets = serde_json::to_vec(&Saved { version, topics })?;
    let unfinished = path.with_extension("new");
    std::fs::write(&unfinished, octets)?;
    std::fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests;
