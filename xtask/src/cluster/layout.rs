//! Names, addresses and folders of a cluster.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::families::Families;
use crate::place::Place;

pub(super) const API_PORT: u16 = 6443;
/// Name in the environment of every process that belongs to a cluster; the value is its folder.
pub(super) const MARKER: &str = "AXONEME_CLUSTER";

/// Name and number of each node; the number ends its addresses.
const NODES: [(&str, u8); 2] = [("n1", 11), ("n2", 12)];

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) name: &'static str,
    /// Ends its addresses.
    pub(super) number: u8,
    /// One in each family.
    pub(super) addresses: Vec<String>,
    /// Its network namespace.
    pub(super) netns: String,
    /// What is kept for it.
    pub(super) folder: PathBuf,
}

/// One cluster.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// Begins the names of namespaces, cgroups and devices.
    pub(super) name: String,
    /// Built once for all clusters.
    pub(super) built: PathBuf,
    /// State of this one.
    pub(super) run: PathBuf,
    /// As it was started.
    pub(super) families: Families,
}

impl Layout {
    pub(super) fn new(place: &Place, name: &str) -> Layout {
        let built = place.cache.join("cluster");
        let folder = if name == "axk" {
            "run".to_owned()
        } else {
            format!("run-{name}")
        };
        let run = built.join(folder);
        let families = fs::read_to_string(run.join("owned")).unwrap_or_default();
        Layout {
            name: name.to_owned(),
            // What is written there is what `claim` wrote; an empty one is not of a cluster yet.
            families: Families::named(families.trim()).unwrap_or_default(),
            run,
            built,
        }
    }

    pub(super) fn nodes(&self) -> Vec<Node> {
        NODES
            .iter()
            .map(|(name, number)| Node {
                name,
                number: *number,
                addresses: self.families.addresses(*number),
                netns: self.netns(name),
                folder: self.run.join("nodes").join(name),
            })
            .collect()
    }

    /// A namespace's name as `ip netns` knows it.
    pub(super) fn netns(&self, part: &str) -> String {
        format!("{}-{part}", self.name)
    }

    pub(super) fn logs(&self) -> PathBuf {
        self.run.join("logs")
    }

    pub(super) fn keys(&self) -> PathBuf {
        self.run.join("keys")
    }

    pub(super) fn kubeconfig(&self, who: &str) -> PathBuf {
        self.keys().join(format!("{who}.kubeconfig"))
    }

    /// Programs of this cluster: links to what is built.
    pub(super) fn programs(&self) -> PathBuf {
        self.run.join("bin")
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.programs().join(name)
    }

    /// Makes a built program one of this cluster's.
    pub(super) fn link(&self, target: &Path, name: &str) -> Result<()> {
        let at = self.program(name);
        if fs::read_link(&at).is_ok_and(|old| old == target) {
            return Ok(());
        }
        fs::create_dir_all(self.programs())?;
        if fs::symlink_metadata(&at).is_ok() {
            fs::remove_file(&at)?;
        }
        std::os::unix::fs::symlink(target, &at).with_context(|| at.display().to_string())
    }

    /// Waits until nobody else builds this, also from another checkout; until the file is dropped.
    pub(super) fn alone(&self, what: &str) -> Result<File> {
        fs::create_dir_all(&self.built)?;
        let file = File::create(self.built.join(format!("{what}.lock")))?;
        file.lock().with_context(|| format!("lock of {what}"))?;
        Ok(file)
    }

    /// The value of `MARKER` for this cluster.
    pub(super) fn mark(&self) -> String {
        self.run.display().to_string()
    }
}

/// `ip netns` mounts names here.
pub(super) fn netns_file(name: &str) -> PathBuf {
    Path::new("/run/netns").join(name)
}
