//! The one place where decisions are made: takes in what the store and the plugin say, and keeps the kernel at it.
//!
//! Inputs become models ([`absorb`]), models become tables ([`compose`]), tables are committed in order
//! ([`crate::forwarding`]). It runs on a thread of its own, because it talks to the kernel and must not wait for anybody.

mod absorb;
mod addresses;
mod announced;
mod compose;
mod endpoints;
pub mod interfaces;
mod meter;
mod need;
mod services;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datapath::abi::Address;
use futures::stream::{FuturesUnordered, StreamExt};
use imbl::OrdMap;
use ipnet::IpNet;
use kernel::Maps;
use model::endpoint::{EndpointId, EndpointRow};
use model::identity::{Identity, Stack};
use model::ipcache;
use model::labels::{LabelFilter, LabelSet};
use model::numbers::Numbers;
use model::policy::{self, PolicyKey, PolicyRows};
use reconcile::Subscription;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::forwarding::{Failure, Forwarding, Gone, HopTarget, Report};
use crate::inputs::Inputs;
use crate::masquerade::Spared;
use crate::metrics::{Metrics, Outcome};
use crate::node::{Addressing, Devices};
use crate::view::{Known, View, ViewWriter};

pub use absorb::Seen;
pub use announced::AnnouncedPorts;
use compose::{Stale, settings};
pub use endpoints::read_saved;
pub use interfaces::Interfaces;
use meter::Meter;
pub use need::{ByNeed, Wanted as WantedLabels};
pub use services::{Entries, ServiceRows, Services};

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
    /// The node's own devices and sockets do not run the programs.
    #[error("{0}")]
    Devices(String),
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
    /// The kernel refused entries that the endpoint needs.
    #[error("endpoint {id} is not in force: {first}")]
    Refused {
        /// Endpoint.
        id: EndpointId,
        /// The first entry that was refused.
        first: String,
    },
    /// Nothing new can be brought into force yet.
    #[error("waiting for {}", .0.join(", "))]
    Waiting(Vec<&'static str>),
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
    interfaces: Box<dyn Interfaces>,
    forwarding: Forwarding,
    inputs: Inputs,
    seen: Seen,
    announced_ports: AnnouncedPorts,
    filter: LabelFilter,
    /// What identities are made of, if not of all labels.
    by_need: Option<ByNeed>,
    /// Endpoints of this node.
    endpoints: BTreeMap<EndpointId, EndpointRow>,
    slots: BTreeMap<EndpointId, u16>,
    policy: policy::Snapshot,
    rows: BTreeMap<PolicyKey, PolicyRows>,
    /// Policies whose rows are not yet in the kernel.
    dirty: BTreeSet<PolicyKey>,
    ipcache: ipcache::Snapshot,
    /// Every address and prefix, as far as it is known to the policies.
    addresses: OrdMap<IpNet, Known>,
    peers: ipcache::PeerNumbers,
    covers: policy::cidr::Covers,
    /// What covers most identities, as policies were told.
    usual: policy::cidr::Cover,
    /// Peers that no address has any more; policies know them until no table has them either.
    departing: BTreeSet<u32>,
    prefixes: Numbers<IpNet>,
    services: Services,
    nodes: OrdMap<Arc<str>, model::node::NodeRow>,
    revision: u64,
    inherited: bool,
    /// Inputs that had not come at the last activation. One that comes empty changes nothing else.
    waiting_for: Vec<&'static str>,
    view: ViewWriter,
    wanted: mpsc::UnboundedSender<Wanted>,
    gone: mpsc::UnboundedSender<Vec<Address>>,
    asked: BTreeMap<EndpointId, LabelSet>,
    /// Prefixes that policies name now.
    claimed: BTreeSet<IpNet>,
    /// Destinations that are not masqueraded, beside those that are known anyway.
    spare: watch::Receiver<Spared>,
    /// Endpoints whose programs could not be attached, or whose file could not be written.
    unfinished: BTreeSet<EndpointId>,
    /// Whether devices without an endpoint may be up.
    strays: bool,
    /// Whether the node's own devices run the programs.
    open: bool,
    /// What was refused at the last try.
    failures: Vec<Failure>,
    /// Endpoints whose policy was refused at the last try.
    refused: BTreeMap<EndpointId, String>,
    stale: Stale,
    /// Entries that commits had to do with since free memory was given back, and whether there was one since the last tick.
    worked: usize,
    busy: bool,
    /// The hop that the endpoint at a place holds.
    ways: BTreeMap<u32, HopTarget>,
    /// What the table of spared destinations was told, and what of that was listed in the file.
    spared: BTreeSet<IpNet>,
    listed: Arc<[IpNet]>,
    meter: Meter,
}

/// What an engine is made of.
pub struct Parts {
    /// Configuration.
    pub config: Arc<Config>,
    /// Addresses of this node.
    pub addressing: Addressing,
    /// Its devices.
    pub devices: Devices,
    /// Tables of the kernel.
    pub maps: Maps,
    /// Interfaces of pods.
    pub interfaces: Box<dyn Interfaces>,
    /// Tables of the store.
    pub inputs: Inputs,
    /// What the labels of an identity are.
    pub filter: LabelFilter,
    /// Which of those, if not all.
    pub by_need: Option<ByNeed>,
    /// Where the state is published.
    pub view: ViewWriter,
    /// Where requests for identities go.
    pub wanted: mpsc::UnboundedSender<Wanted>,
    /// Destinations that are not masqueraded, from a file.
    pub spare: watch::Receiver<Spared>,
    /// Where it is said that backends went, or addresses.
    pub gone: mpsc::UnboundedSender<Vec<Address>>,
    /// What it did is counted here.
    pub metrics: Metrics,
}

impl Engine {
    /// An engine over what the kernel holds; nothing is changed yet.
    #[allow(clippy::too_many_lines, reason = "one value, field by field")]
    pub fn new(parts: Parts, restored: Vec<EndpointRow>) -> Result<Self, Error> {
        let forwarding = Forwarding::open(&parts.maps)?;
        let mut policy = policy::Snapshot::new(settings(&parts.config));
        let held = forwarding.policies.rules()?;
        policy
            .rule_ids_mut()
            .hold(held.into_iter().map(policy::RuleId));
        let services = Services::recover(&parts.config, &parts.maps)?;
        let mut engine = Self {
            config: parts.config,
            addressing: parts.addressing,
            devices: parts.devices,
            interfaces: parts.interfaces,
            forwarding,
            inputs: parts.inputs,
            seen: Seen::default(),
            announced_ports: AnnouncedPorts::default(),
            filter: parts.filter,
            by_need: parts.by_need,
            endpoints: BTreeMap::new(),
            slots: BTreeMap::new(),
            policy,
            rows: BTreeMap::new(),
            dirty: BTreeSet::new(),
            ipcache: ipcache::Snapshot::default(),
            addresses: OrdMap::new(),
            peers: ipcache::PeerNumbers::default(),
            covers: policy::cidr::Covers::default(),
            usual: policy::cidr::Cover::default(),
            departing: BTreeSet::new(),
            prefixes: Numbers::new(0x0100_0001..=0x01ff_ffff),
            services,
            nodes: OrdMap::new(),
            revision: 0,
            inherited: true,
            waiting_for: vec!["everything"],
            view: parts.view,
            wanted: parts.wanted,
            gone: parts.gone,
            asked: BTreeMap::new(),
            claimed: BTreeSet::new(),
            spare: parts.spare,
            unfinished: BTreeSet::new(),
            strays: true,
            open: false,
            failures: Vec::new(),
            refused: BTreeMap::new(),
            stale: Stale {
                spare: true,
                ..Stale::default()
            },
            worked: 0,
            busy: false,
            ways: BTreeMap::new(),
            spared: BTreeSet::new(),
            listed: Arc::new([]),
            meter: Meter::new(parts.metrics),
        };
        if engine.forwarding.knows_node()? {
            engine.open_devices()?;
        }
        engine.recover_peers();
        engine.know_reserved_peers();
        engine.restore(restored)?;
        engine.publish(Report::default());
        Ok(engine)
    }

    /// Works until the stop signal; then nothing is undone.
    pub async fn run(mut self, mut commands: mpsc::Receiver<Command>, stop: CancellationToken) {
        let mut subscriptions: FuturesUnordered<_> =
            self.inputs.subscriptions().into_iter().map(wait).collect();
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut spare = self.spare.clone();
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
                Ok(()) = spare.changed() => self.round(),
                _ = tick.tick() => {
                    self.round();
                    self.give_back();
                }
            }
        }
    }

    /// Much that changed left much behind that is free. In the first quiet second after it that goes back.
    fn give_back(&mut self) {
        const MUCH: usize = 2000;
        let busy = std::mem::take(&mut self.busy);
        if self.worked > MUCH && !busy {
            self.worked = 0;
            kernel::heap::give_back();
        }
    }

    /// One activation: takes in what is new, and brings the kernel to it. It carries no input, so a timer and a change do
    /// the same.
    fn round(&mut self) {
        let mut changed = self.absorb();
        changed |= self.inputs.waiting_for() != self.waiting_for;
        changed |= self.finish_endpoints();
        changed |= self.spare.has_changed().unwrap_or(false);
        if changed || !self.failures.is_empty() {
            self.bring_about();
        }
        self.move_due();
    }

    /// Brings the kernel to what was taken in, and then takes out of policies whom it does not name any more.
    fn bring_about(&mut self) {
        while self.advance() {}
    }

    /// Policies, then everything else; publishes what is in force. Before every input has been read once the kernel's tables
    /// stay as the last run left them: half of the policies, or of the backends, is worse than old ones. What is refused is
    /// tried again by the next round. Says whether there is more to do now, since what was needed until now is not any more.
    fn advance(&mut self) -> bool {
        let before = std::mem::take(&mut self.failures);
        self.waiting_for = self.inputs.waiting_for();
        if !self.waiting_for.is_empty() {
            self.publish(Report::default());
            return false;
        }
        let now = Instant::now();
        self.meter.calculated();
        let mut failures = self.write_policies(now);
        self.compose();
        let mut report = self.forwarding.commit(now);
        self.tell_gone();
        failures.append(&mut report.failures);
        if failures.is_empty() {
            self.forget_unused(now, &mut failures);
        }
        let again = failures.is_empty() && self.depart(&mut failures);
        if failures.is_empty()
            && let Err(error) = self.open_devices()
        {
            failures.push(Failure {
                table: "devices",
                key: String::new(),
                error: error.to_string(),
            });
        }
        let endpoints = self.note_in_force();
        self.meter.done(endpoints, Outcome::of(failures.is_empty()));
        self.worked += report.examined;
        self.busy = true;
        if before.is_empty()
            && let Some(Failure { table, key, error }) = failures.first()
        {
            let count = failures.len();
            tracing::error!(table, key, %error, count, "the kernel refuses entries, trying again");
        }
        self.failures.clone_from(&failures);
        report.failures = failures;
        self.publish(report);
        again
    }

    /// The node's own devices run the programs as soon as the tables are complete: those of a run before, or else of this one.
    /// Before that, even what the agent says to the API server to complete them would be dropped.
    fn open_devices(&mut self) -> Result<(), Error> {
        if !self.open {
            self.interfaces.open()?;
            self.open = true;
            tracing::info!("the node's devices and sockets run the packet path");
        }
        Ok(())
    }

    /// Sockets may be connected to what went.
    fn tell_gone(&mut self) {
        let gone = self.forwarding.take_gone();
        if gone != Gone::default() {
            // Nobody listens while the agent stops.
            let _ = self.gone.send(gone.addresses);
        }
    }

    /// Gives numbers back that nothing in the kernel names any more.
    fn forget_unused(&mut self, now: Instant, failures: &mut Vec<Failure>) {
        for key in std::mem::take(&mut self.stale.policies) {
            if !self.policy.uses(&key) {
                self.rows.remove(&key);
                self.forwarding.policies.remove(&key, now);
            }
        }
        if self.inherited {
            match self.forwarding.policies.drop_inherited(now) {
                Ok(()) => {
                    self.inherited = false;
                    let endpoints = self.endpoints.len();
                    let took_ms = now.elapsed().as_millis();
                    tracing::info!(endpoints, took_ms, "every input is complete and in force");
                }
                Err(error) => failures.push(Failure::of(&"inherited", &error)),
            }
            self.services.forget_restored();
            for number in self.prefixes.unused() {
                self.prefixes.forget(number);
            }
            // A former run may have been killed before it closed the sockets of what it removed.
            let _ = self.gone.send(Vec::new());
        }
        self.forwarding.hops.forget_idle();
    }

    fn publish(&mut self, report: Report) {
        let view = View {
            revision: self.revision,
            endpoints: self.endpoints.values().cloned().collect(),
            addresses: self.addresses.clone(),
            nodes: self.nodes.clone(),
            services: self.services.rows(),
            policy: self.policy.clone(),
            faults: self.seen.faults(),
            refused: self.refused.clone(),
            plan: self.forwarding.plan(),
            waiting_for: self.waiting_for.clone(),
            error: report.failures.first().map(|first| {
                let (count, entry) = (report.failures.len(), &first.key);
                format!(
                    "{count} entries refused, the first {entry}: {}",
                    first.error
                )
            }),
            last_commit: report,
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
}

async fn wait(mut subscription: Subscription) -> Subscription {
    subscription.changed().await;
    subscription
}
