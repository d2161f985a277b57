//! The one place where decisions are made: takes in what the store and the plugin say, and keeps the kernel at it.
//!
//! Inputs become models ([`absorb`]), models become tables ([`compose`]), tables are committed in order
//! ([`crate::forwarding`]). It runs on a thread of its own, because it talks to the kernel and must not wait for anybody.

mod absorb;
mod compose;
mod endpoints;
mod services;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, StreamExt};
use ipnet::IpNet;
use kernel::Kernel;
use model::endpoint::{EndpointId, EndpointRow};
use model::identity::{Identity, Reserved, Stack};
use model::labels::{LabelFilter, LabelSet};
use model::numbers::Numbers;
use model::policy::{self, PolicyKey, PolicyRows};
use model::{ipcache, service};
use netlink::Handle;
use reconcile::Subscription;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Enforcement};
use crate::forwarding::{Desired, Forwarding, Removal};
use crate::inputs::Inputs;
use crate::node::{Addressing, Devices};
use crate::view::{View, ViewWriter};

pub use absorb::Seen;
pub use endpoints::read_saved;
pub use services::Services;

/// What others ask of the engine.
#[derive(Debug)]
pub enum Command {
    /// Bring an endpoint into force; the answer comes when its first policy is.
    Create(
        Box<EndpointRow>,
        oneshot::Sender<Result<EndpointRow, Error>>,
    ),
    /// Take an endpoint down.
    Delete(EndpointId, oneshot::Sender<Result<EndpointRow, Error>>),
    /// The identity of an endpoint's labels is known.
    Identify(EndpointId, LabelSet, Identity),
}

/// Why an endpoint could not be brought into force. It is not there then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A table refused.
    #[error(transparent)]
    Map(#[from] kernel::MapError),
    /// A program could not be attached.
    #[error(transparent)]
    Attach(#[from] kernel::attach::AttachError),
    /// A device refused.
    #[error(transparent)]
    Netlink(#[from] netlink::Error),
    /// The state could not be saved.
    #[error("save endpoint {id}: {message}")]
    Save {
        /// Endpoint.
        id: EndpointId,
        /// Why.
        message: String,
    },
    /// The number of something is used up, or in the way.
    #[error("{0}")]
    Exhausted(String),
    /// There is no such endpoint.
    #[error("no endpoint {0}")]
    Unknown(EndpointId),
}

/// A request to find the identity of labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// For whom.
    pub endpoint: EndpointId,
    /// Its labels as they are now.
    pub labels: LabelSet,
}

/// Everything that decisions depend on.
pub struct Engine {
    config: Arc<Config>,
    addressing: Addressing,
    devices: Devices,
    kernel: Kernel,
    handle: Handle,
    forwarding: Forwarding,
    inputs: Inputs,
    seen: Seen,
    filter: LabelFilter,
    /// Endpoints of this node.
    endpoints: BTreeMap<EndpointId, EndpointRow>,
    slots: BTreeMap<EndpointId, u16>,
    policy: policy::Snapshot,
    rows: BTreeMap<PolicyKey, PolicyRows>,
    /// Policies whose rows are not yet in the kernel.
    dirty: BTreeSet<PolicyKey>,
    ipcache: ipcache::Snapshot,
    /// Row and peer of every address and prefix, as far as they are known to the policies.
    addresses: BTreeMap<IpNet, (ipcache::Row, u32)>,
    peers: ipcache::PeerNumbers,
    prefixes: Numbers<IpNet>,
    services: Services,
    nodes: BTreeMap<Arc<str>, model::node::NodeRow>,
    revision: u64,
    inherited: bool,
    view: ViewWriter,
    wanted: mpsc::UnboundedSender<Wanted>,
    asked: BTreeMap<EndpointId, LabelSet>,
}

/// What an engine is made of.
pub struct Parts {
    /// Configuration.
    pub config: Arc<Config>,
    /// Addresses of this node.
    pub addressing: Addressing,
    /// Its devices.
    pub devices: Devices,
    /// Programs and maps.
    pub kernel: Kernel,
    /// Netlink in the node's namespace.
    pub handle: Handle,
    /// Tables of the store.
    pub inputs: Inputs,
    /// What the labels of an identity are.
    pub filter: LabelFilter,
    /// Where the state is published.
    pub view: ViewWriter,
    /// Where requests for identities go.
    pub wanted: mpsc::UnboundedSender<Wanted>,
}

impl Engine {
    /// An engine over what the kernel holds; nothing is changed yet.
    pub fn new(parts: Parts, restored: Vec<EndpointRow>) -> Result<Self, Error> {
        let forwarding = Forwarding::open(&parts.kernel.maps)?;
        let mut policy = policy::Snapshot::new(settings(&parts.config));
        let held = forwarding.policies.rules()?;
        policy
            .rule_ids_mut()
            .hold(held.into_iter().map(policy::RuleId));
        let services = Services::recover(&parts.config, &parts.kernel.maps)?;
        let mut engine = Self {
            config: parts.config,
            addressing: parts.addressing,
            devices: parts.devices,
            kernel: parts.kernel,
            handle: parts.handle,
            forwarding,
            inputs: parts.inputs,
            seen: Seen::default(),
            filter: parts.filter,
            endpoints: BTreeMap::new(),
            slots: BTreeMap::new(),
            policy,
            rows: BTreeMap::new(),
            dirty: BTreeSet::new(),
            ipcache: ipcache::Snapshot::default(),
            addresses: BTreeMap::new(),
            peers: ipcache::PeerNumbers::default(),
            prefixes: Numbers::new(0x0100_0001..=0x01ff_ffff),
            services,
            nodes: BTreeMap::new(),
            revision: 0,
            inherited: true,
            view: parts.view,
            wanted: parts.wanted,
            asked: BTreeMap::new(),
        };
        engine.know_reserved_peers();
        engine.restore(restored)?;
        Ok(engine)
    }

    /// Works until the stop signal; then nothing is undone.
    pub async fn run(mut self, mut commands: mpsc::Receiver<Command>, stop: CancellationToken) {
        let mut subscriptions: FuturesUnordered<_> =
            self.inputs.subscriptions().into_iter().map(wait).collect();
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.round();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                command = commands.recv() => match command {
                    Some(command) => self.execute(command),
                    None => return,
                },
                Some(subscription) = subscriptions.next() => {
                    subscriptions.push(wait(subscription));
                    self.round();
                }
                _ = tick.tick() => self.round(),
            }
        }
    }

    /// One activation: takes in what is new, and brings the kernel to it. It carries no input, so a timer and a change do
    /// the same.
    fn round(&mut self) {
        if !self.absorb() {
            return;
        }
        if let Err(error) = self.bring_about() {
            tracing::error!(%error, "the kernel's tables are not as they should be, trying again");
            self.view.failed(&error.to_string());
        }
    }

    fn removal(&self) -> Removal {
        if self.inputs.waiting_for().is_empty() {
            Removal::Allowed
        } else {
            Removal::Forbidden
        }
    }

    /// Policies, then everything else; publishes what is in force.
    fn bring_about(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        self.write_policies(now)?;
        let desired = self.compose();
        let removal = self.removal();
        let report = self.forwarding.commit(&desired, removal)?;
        if removal == Removal::Allowed {
            self.forget_unused(&desired, now)?;
        }
        self.note_in_force();
        self.publish(&desired, report);
        Ok(())
    }

    /// Gives numbers back that nothing in the kernel names any more.
    fn forget_unused(&mut self, desired: &Desired, now: Instant) -> Result<(), Error> {
        let used: BTreeSet<PolicyKey> = self.policy.policies().cloned().collect();
        self.rows.retain(|key, _| used.contains(key));
        self.forwarding
            .policies
            .retain(|key| used.contains(key), now)?;
        if std::mem::take(&mut self.inherited) {
            self.forwarding.policies.drop_inherited(now)?;
            self.services.forget_restored();
        }
        let hops: BTreeSet<u32> = desired.hops.keys().copied().collect();
        self.forwarding.forget_hops(&hops);
        Ok(())
    }

    fn publish(&mut self, desired: &Desired, report: crate::forwarding::Report) {
        let view = View {
            revision: self.revision,
            endpoints: self.endpoints.values().cloned().collect(),
            addresses: self
                .addresses
                .iter()
                .map(|(net, (row, peer))| (*net, row.clone(), *peer))
                .collect(),
            nodes: self.nodes.values().cloned().collect(),
            services: self.services.rows(),
            policy: self.policy.clone(),
            faults: self.seen.faults(),
            plan: self.forwarding.plan(desired),
            last_commit: report,
            waiting_for: self.inputs.waiting_for(),
            error: None,
        };
        self.view.publish(view);
    }

    fn stack(&self) -> Stack {
        let families = self.config.datapath.families;
        if families.ipv4 && families.ipv6 {
            Stack::Dual
        } else {
            Stack::Single
        }
    }

    fn own_addresses(&self) -> Vec<IpAddr> {
        let v4 = self.addressing.node_ipv4.map(IpAddr::V4);
        v4.into_iter()
            .chain(self.addressing.node_ipv6.map(IpAddr::V6))
            .collect()
    }

    /// Tells the policies about identities whose numbers never change.
    fn know_reserved_peers(&mut self) {
        for reserved in Reserved::ALL {
            let facts = policy::PeerFacts {
                labels: reserved.labels(),
                ..policy::PeerFacts::default()
            };
            self.policy
                .apply(policy::Change::Peer(policy::Peer(reserved.id().0), facts));
        }
    }
}

fn settings(config: &Config) -> policy::Settings {
    policy::Settings {
        enforcement: match config.policy.enforcement {
            Enforcement::Default => policy::Enforcement::Default,
            Enforcement::Always => policy::Enforcement::Always,
            Enforcement::Never => policy::Enforcement::Never,
        },
        allow_localhost: if config.policy.allow_localhost {
            policy::AllowLocalhost::Always
        } else {
            policy::AllowLocalhost::Policy
        },
        audit: if config.policy.audit {
            policy::Audit::On
        } else {
            policy::Audit::Off
        },
        cluster: config.cluster.as_str().into(),
        ..policy::Settings::default()
    }
}

async fn wait(mut subscription: Subscription) -> Subscription {
    subscription.changed().await;
    subscription
}

/// A service row with its key, as the view shows it.
pub type ServiceRow = (service::RowKey, u32, service::Row);
