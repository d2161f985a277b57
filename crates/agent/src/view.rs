//! What is in force, as one value that the API and the flow server read.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use imbl::OrdMap;
use ipnet::IpNet;
use model::endpoint::{EndpointId, EndpointRow};
use model::node::NodeRow;
use model::policy::ObjectKey;
use model::{ipcache, policy};
use tokio::sync::watch;

use crate::engine::ServiceRows;
use crate::forwarding::{Report, TablePlan};

/// An address or prefix: whose it is, and the numbers by which the kernel knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Row.
    pub row: ipcache::Row,
    /// Peer by which policies know it.
    pub peer: u32,
    /// Hop that leads to it.
    pub hop: u32,
}

/// The state after a commit. What grows with the cluster shares its content with the state before.
#[derive(Clone)]
pub struct View {
    /// Revision of the policies.
    pub revision: u64,
    /// Endpoints of this node.
    pub endpoints: Vec<EndpointRow>,
    /// Addresses and prefixes.
    pub addresses: OrdMap<IpNet, Known>,
    /// Nodes of the cluster.
    pub nodes: OrdMap<Arc<str>, NodeRow>,
    /// Services.
    pub services: ServiceRows,
    /// All that policies depend on; clones share their content.
    pub policy: policy::Snapshot,
    /// Objects that could not be read, with the reason and what is in force instead.
    pub faults: BTreeMap<ObjectKey, String>,
    /// Endpoints whose policy the kernel refused at the last commit, with its reason.
    pub refused: BTreeMap<EndpointId, String>,
    /// What is left to do, per table: nothing, after a commit that removed.
    pub plan: Vec<TablePlan>,
    /// What the last commit did.
    pub last_commit: Report,
    /// Kinds whose first complete list has not come yet.
    pub waiting_for: Vec<&'static str>,
    /// What the last commit could not do; it is tried again.
    pub error: Option<String>,
}

impl Default for View {
    fn default() -> Self {
        Self {
            revision: 0,
            endpoints: Vec::new(),
            addresses: OrdMap::new(),
            nodes: OrdMap::new(),
            services: ServiceRows::new(),
            policy: policy::Snapshot::new(policy::Settings::default()),
            faults: BTreeMap::new(),
            refused: BTreeMap::new(),
            plan: Vec::new(),
            last_commit: Report::default(),
            waiting_for: vec!["everything"],
            error: None,
        }
    }
}

impl View {
    /// An endpoint by number.
    pub fn endpoint(&self, id: EndpointId) -> Option<&EndpointRow> {
        self.endpoints.iter().find(|row| row.id == id)
    }

    /// Whether all inputs are complete and in force.
    pub fn is_ready(&self) -> bool {
        self.waiting_for.is_empty() && self.error.is_none()
    }
}

/// The readers' end.
#[derive(Clone)]
pub struct ViewReader {
    current: Arc<ArcSwap<View>>,
    changed: watch::Receiver<u64>,
}

/// The engine's end.
pub struct ViewWriter {
    current: Arc<ArcSwap<View>>,
    changed: watch::Sender<u64>,
}

/// Both ends of an empty view.
pub fn channel() -> (ViewWriter, ViewReader) {
    let current = Arc::new(ArcSwap::from_pointee(View::default()));
    let (sender, receiver) = watch::channel(0);
    (
        ViewWriter {
            current: Arc::clone(&current),
            changed: sender,
        },
        ViewReader {
            current,
            changed: receiver,
        },
    )
}

impl ViewReader {
    /// The state now.
    pub fn get(&self) -> Arc<View> {
        self.current.load_full()
    }

    /// Returns after the next publication.
    pub async fn changed(&mut self) -> bool {
        self.changed.changed().await.is_ok()
    }
}

impl ViewWriter {
    /// Shows a new state.
    pub fn publish(&self, view: View) {
        self.current.store(Arc::new(view));
        self.changed.send_modify(|count| *count += 1);
    }
}
