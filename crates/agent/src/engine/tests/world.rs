//! A node in memory: a store, the kernel's tables, interfaces, and an engine that can be restarted.

pub(super) mod crowd;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use datapath::abi::address::Address;
use datapath::abi::endpoint::{Endpoint, flags as endpoint_flags};
use datapath::abi::generation;
use datapath::abi::ipcache::{AddressKey, AddressRow};
use datapath::abi::policy::{PeerKey, PortKey, flags, verdict};
use datapath::abi::service::{SocketKey, SocketPeer};
use ipnet::IpNet;
use kernel::fake::Faults;
use model::endpoint::{EndpointId, EndpointRow, LifeCycle, Mac, PodName};
use model::identity::Identity;
use model::labels::{LabelFilter, LabelSet, PodLabels, pod_labels};
use model::need::{InUse, Times};
use model::node::{AddressKind, IpPair, NodeObject};
use model::policy::{CidrGroup, Kind, ObjectKey, ParseOptions, Peer, Scope, parse_policy};
use model::service::{Service, ServiceName};
use netlink::Link;
use reconcile::{Snapshot, Step, Table, TableWriter, Target};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use crate::config::{Config, Given};
use crate::engine::compose::prefix_key;
use crate::engine::{ByNeed, Command, Engine, Error, Interfaces, Parts, Wanted, read_saved};
use crate::inputs::services::{service_row, slice_row};
use crate::inputs::{Inputs, NamespaceRow, PodRow, PolicyRow, RemoteEndpoint, SliceRow};
use crate::last_good::{Good, Judged, LastGood};
use crate::masquerade::Spared;
use crate::node::{Addressing, Devices};
use crate::sockets::Closer;
use crate::view::{View, ViewReader};

/// Kinds of objects that an engine waits for.
pub(super) const KINDS: usize = 12;

/// The kind that is told anew with each pod.
pub(super) const PODS: usize = 0;

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    Allowed,
    Denied,
}

/// The objects of the cluster.
#[derive(Clone, Default)]
pub(super) struct Store {
    /// Identity by app.
    pub(super) apps: BTreeMap<&'static str, u32>,
    /// App by pod of this node.
    pub(super) pods: BTreeMap<&'static str, &'static str>,
    /// App and address by pod of another node.
    pub(super) remote: BTreeMap<&'static str, (&'static str, &'static str)>,
    /// Specs by name.
    pub(super) policies: BTreeMap<&'static str, Value>,
    /// Specs of NetworkPolicies by name.
    pub(super) network: BTreeMap<&'static str, Value>,
    /// Identity of all pods, where no policy tells them apart.
    pub(super) plain: Option<u32>,
    /// Address and backends by name.
    pub(super) services: BTreeMap<&'static str, (&'static str, Vec<&'static str>)>,
}

struct Writers {
    pods: TableWriter<PodName, PodRow>,
    namespaces: TableWriter<Arc<str>, NamespaceRow>,
    nodes: TableWriter<Arc<str>, NodeObject>,
    announced: TableWriter<Arc<str>, NodeObject>,
    identities: TableWriter<Identity, LabelSet>,
    endpoints: TableWriter<PodName, RemoteEndpoint>,
    services: TableWriter<ServiceName, Service>,
    slices: TableWriter<PodName, SliceRow>,
    network: TableWriter<ObjectKey, PolicyRow>,
    cilium: TableWriter<ObjectKey, PolicyRow>,
    clusterwide: TableWriter<ObjectKey, PolicyRow>,
    groups: TableWriter<Arc<str>, Judged<CidrGroup>>,
}

const SOURCE: &str = "store";

fn tables() -> (Writers, Inputs) {
    macro_rules! table {
        ($name:literal) => {
            Table::new($name, &[SOURCE])
        };
    }
    let (pods, namespaces, nodes) = (table!("pods"), table!("namespaces"), table!("nodes"));
    let (announced, identities) = (table!("ciliumnodes"), table!("ciliumidentities"));
    let (endpoints, services, slices) = (
        table!("ciliumendpoints"),
        table!("services"),
        table!("slices"),
    );
    let (network, cilium) = (table!("networkpolicies"), table!("ciliumnetworkpolicies"));
    let (clusterwide, groups) = (table!("clusterwide"), table!("groups"));
    let inputs = Inputs {
        pods: pods.1,
        namespaces: namespaces.1,
        nodes: nodes.1,
        announced_nodes: announced.1,
        identities: identities.1,
        endpoints: endpoints.1,
        services: services.1,
        slices: slices.1,
        network_policies: network.1,
        cilium_policies: cilium.1,
        clusterwide_policies: clusterwide.1,
        groups: groups.1,
    };
    let writers = Writers {
        pods: pods.0,
        namespaces: namespaces.0,
        nodes: nodes.0,
        announced: announced.0,
        identities: identities.0,
        endpoints: endpoints.0,
        services: services.0,
        slices: slices.0,
        network: network.0,
        cilium: cilium.0,
        clusterwide: clusterwide.0,
        groups: groups.0,
    };
    (writers, inputs)
}

/// Interfaces in memory. Clones share them; the flags count after [`FakeInterfaces::publish`].
#[derive(Clone, Default)]
pub(super) struct FakeInterfaces {
    pub(super) fail_attach: bool,
    shared: Arc<Mutex<Devs>>,
}

#[derive(Default)]
struct Devs {
    names: BTreeMap<u32, String>,
    up: BTreeSet<u32>,
    fail_attach: bool,
    percent: u64,
    seed: u64,
    opened: u32,
}

impl FakeInterfaces {
    /// How often the node's own devices were told to run the programs.
    pub(super) fn opened(&self) -> u32 {
        self.shared.lock().unwrap().opened
    }

    pub(super) fn publish(&self) {
        self.shared.lock().unwrap().fail_attach = self.fail_attach;
    }

    pub(super) fn fail(&self, percent: u64, seed: u64) {
        let mut shared = self.shared.lock().unwrap();
        (shared.percent, shared.seed) = (percent, seed);
    }

    pub(super) fn is_up(&self, index: u32) -> bool {
        self.shared.lock().unwrap().up.contains(&index)
    }

    fn call<T>(&self, work: impl FnOnce(&mut Devs) -> T) -> Result<T, Error> {
        let mut shared = self.shared.lock().unwrap();
        shared.seed = shared
            .seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        if (shared.seed >> 33) % 100 < shared.percent {
            return Err(Error::Exhausted("an injected fault".to_owned()));
        }
        Ok(work(&mut shared))
    }
}

impl Interfaces for FakeInterfaces {
    fn open(&self) -> Result<(), Error> {
        self.call(|devs| devs.opened += 1)
    }

    fn name(&self, index: u32) -> Result<Option<String>, Error> {
        self.call(|devs| devs.names.get(&index).cloned())
    }

    fn attach(&self, index: u32) -> Result<(), Error> {
        let attached = self.call(|devs| !devs.fail_attach);
        if matches!(attached, Ok(true)) {
            return Ok(());
        }
        self.shared.lock().unwrap().up.remove(&index);
        Err(Error::Exhausted("no program can be attached".to_owned()))
    }

    fn set_up(&self, index: u32) -> Result<(), Error> {
        self.call(|devs| devs.up.insert(index)).map(drop)
    }

    fn set_down(&self, index: u32) -> Result<(), Error> {
        self.call(|devs| devs.up.remove(&index)).map(drop)
    }

    fn remove(&self, index: u32) -> Result<(), Error> {
        self.call(|devs| {
            devs.names.remove(&index);
            devs.up.remove(&index);
        })
    }

    /// None is up that never had programs.
    fn strays(&self, known: &BTreeSet<u32>) -> Result<Vec<(u32, String)>, Error> {
        self.call(|devs| {
            let strays = devs.up.iter().filter(|index| !known.contains(index));
            strays
                .map(|index| (*index, devs.names[index].clone()))
                .collect()
        })
    }
}

/// What the tables say, without the numbers that differ from run to run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) verdicts: BTreeMap<String, Verdict>,
    pub(super) addresses: BTreeSet<String>,
    pub(super) endpoints: BTreeSet<String>,
    pub(super) services: BTreeSet<String>,
    pub(super) known: Vec<u32>,
    pub(super) hops: usize,
    pub(super) heads: usize,
    /// Rows of versions that are not in force, and of peers that nobody knows. Which class has none is a matter of history.
    pub(super) strays: usize,
}

pub(super) struct World {
    pub(super) store: Store,
    pub(super) faults: Faults,
    pub(super) interfaces: FakeInterfaces,
    maps: kernel::Maps,
    state: tempfile::TempDir,
    last_good: LastGood,
    config: Arc<Config>,
    engine: Option<Engine>,
    writers: Option<Writers>,
    view: Option<ViewReader>,
    spare: watch::Sender<Spared>,
    wants: Option<mpsc::UnboundedReceiver<Wanted>>,
    /// What the engine said has gone, and who closes the sockets that lead there.
    gone: Option<mpsc::UnboundedReceiver<Vec<Address>>>,
    closer: Option<Closer>,
    generations: BTreeMap<u32, u32>,
    size: crowd::Size,
    /// Identities are made by need.
    pub(super) by_need: Option<Times>,
}

fn name(of: &str) -> PodName {
    PodName {
        namespace: "shop".into(),
        name: of.into(),
    }
}

fn labels(app: &str) -> LabelSet {
    let facts = PodLabels {
        pod: [("app", app)],
        namespace: "shop",
        namespace_labels: std::iter::empty(),
        service_account: None,
        cluster: "default",
    };
    pod_labels(facts, &LabelFilter::standard().unwrap())
}

/// What all pods have in common.
fn plain_labels() -> LabelSet {
    InUse::default().apply(&labels("any"))
}

impl World {
    /// A node whose tables have these sizes; no agent runs.
    pub(super) fn new(sizes: kernel::Config) -> Self {
        let state = tempfile::tempdir().unwrap();
        let directory = state.path().display().to_string();
        let keys = [("k8s-node-name", "n1"), ("state-dir", directory.as_str())];
        let faults = Faults::none();
        let apps = [
            ("web", 1001),
            ("api", 1002),
            ("db", 1003),
            ("new", 1004),
            ("cart", 1006),
        ];
        Self {
            store: Store {
                apps: BTreeMap::from(apps),
                ..Store::default()
            },
            maps: kernel::Maps::in_memory(&sizes, &faults).unwrap(),
            config: Arc::new(Config::new(&Given::from_pairs(keys)).unwrap()),
            interfaces: FakeInterfaces::default(),
            faults,
            last_good: LastGood::open(state.path()).unwrap(),
            state,
            engine: None,
            writers: None,
            view: None,
            spare: watch::channel(Spared::default()).0,
            wants: None,
            gone: None,
            closer: None,
            generations: BTreeMap::new(),
            size: crowd::Size::default(),
            by_need: None,
        }
    }

    pub(super) fn fail(&self, percent: u32, seed: u64) {
        self.faults
            .fail(percent, seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        self.interfaces.fail(percent.into(), seed);
    }

    fn addressing() -> Addressing {
        Addressing {
            node_ipv4: Some("172.30.0.11".parse().unwrap()),
            node_ipv6: None,
            pods_ipv4: Some("10.9.1.0/24".parse().unwrap()),
            pods_ipv6: None,
        }
    }

    fn devices() -> Devices {
        let link = |index: u32, name: &str| Link {
            index,
            name: name.to_owned(),
            mtu: 1500,
            ..Link::default()
        };
        Devices {
            uplinks: vec![link(2, "eth0")],
            host: link(3, "cilium_host"),
            overlay: Some(link(4, "cilium_vxlan")),
            device_mtu: 1500,
            route_mtu: 1450,
        }
    }

    /// Another agent takes over what is there; its inputs have not come. One that fails at start is started again.
    pub(super) fn restart_without_inputs(&mut self) {
        self.engine = None;
        for _ in 0..10_000 {
            let (writers, inputs) = tables();
            let (view_writer, view) = crate::view::channel();
            let (wanted, wants) = mpsc::unbounded_channel();
            let (gone, going) = mpsc::unbounded_channel();
            let parts = Parts {
                metrics: crate::metrics::Metrics::default(),
                config: Arc::clone(&self.config),
                addressing: Self::addressing(),
                devices: Self::devices(),
                maps: self.maps.clone(),
                interfaces: Box::new(self.interfaces.clone()),
                inputs,
                filter: LabelFilter::standard().unwrap(),
                by_need: self
                    .by_need
                    .map(|times| ByNeed::open(self.state.path(), times)),
                view: view_writer,
                wanted,
                gone,
                spare: self.spare.subscribe(),
            };
            let restored = read_saved(self.state.path()).unwrap();
            if let Ok(engine) = Engine::new(parts, restored) {
                self.engine = Some(engine);
                self.writers = Some(writers);
                self.closer = Some(Closer::new(self.maps.clone(), view.clone()));
                self.view = Some(view);
                self.gone = Some(going);
                self.wants = Some(wants);
                return;
            }
        }
        panic!("the engine does not start");
    }

    pub(super) fn restart(&mut self) {
        self.restart_without_inputs();
        self.deliver_all();
    }

    /// Another agent with the same pods and objects, over empty tables.
    pub(super) fn start_anew(&mut self) {
        self.maps = kernel::Maps::in_memory(&kernel::Config::default(), &self.faults).unwrap();
        self.restart();
    }

    pub(super) fn start(&mut self) {
        self.restart();
        self.settle();
    }

    /// Tells the engine the objects of one kind.
    pub(super) fn deliver(&mut self, kind: usize) {
        let (store, writers) = (self.store.clone(), self.writers.as_mut().unwrap());
        macro_rules! tell {
            ($table:ident, $rows:expr) => {{
                writers.$table.replace($rows);
                writers.$table.mark_initialized(SOURCE);
            }};
        }
        match kind {
            PODS => tell!(
                pods,
                store
                    .pods
                    .iter()
                    .map(|(pod, app)| (name(pod), pod_row(app)))
            ),
            1 => tell!(namespaces, [(Arc::from("shop"), NamespaceRow::default())]),
            2 => tell!(nodes, [node("n1", 1), node("n2", 2)]),
            3 => tell!(announced, [node("n1", 1), node("n2", 2)]),
            4 => tell!(identities, {
                let plain = store.plain.map(|id| (Identity(id), plain_labels()));
                let apps = store.apps.iter();
                apps.map(|(app, id)| (Identity(*id), labels(app)))
                    .chain(plain)
            }),
            5 => tell!(
                endpoints,
                store
                    .remote
                    .iter()
                    .map(|(pod, of)| (name(pod), remote(&store, of)))
            ),
            6 => tell!(
                services,
                store
                    .services
                    .iter()
                    .flat_map(|(of, (ip, _))| service(of, ip))
            ),
            7 => tell!(
                slices,
                store
                    .services
                    .iter()
                    .flat_map(|(of, (_, ips))| slice(of, ips))
            ),
            8 => tell!(
                network,
                store
                    .network
                    .iter()
                    .map(|(of, spec)| network_policy(of, spec))
            ),
            9 => tell!(
                cilium,
                policies(&store, &writers.cilium.snapshot(), &self.last_good)
            ),
            10 => tell!(clusterwide, []),
            _ => tell!(groups, []),
        }
    }

    pub(super) fn deliver_all(&mut self) {
        (0..KINDS).for_each(|kind| self.deliver(kind));
    }

    pub(super) fn round(&mut self) {
        self.engine.as_mut().unwrap().round();
    }

    /// Rounds until nothing is left to do.
    pub(super) fn settle(&mut self) {
        for _ in 0..50 {
            self.round();
            let engine = self.engine.as_ref().unwrap();
            if engine.failures.is_empty()
                && engine.unfinished.is_empty()
                && !engine.forwarding.policies.has_retired()
            {
                return;
            }
            std::thread::sleep(Duration::from_millis(6));
        }
        panic!("not settled: {:?}", self.view().last_commit.failures);
    }

    /// Rounds until endpoints and interfaces are as they can be before any input has come.
    pub(super) fn settle_without_inputs(&mut self) {
        for _ in 0..100 {
            self.round();
            let engine = self.engine.as_ref().unwrap();
            if engine.unfinished.is_empty() && !engine.strays {
                return;
            }
        }
        panic!("not settled");
    }

    /// The same while calls fail: a round that succeeds wholly is rare.
    pub(super) fn settle_under_faults(&mut self) {
        for _ in 0..5_000 {
            self.round();
            let engine = self.engine.as_ref().unwrap();
            if engine.failures.is_empty() && engine.unfinished.is_empty() && !engine.inherited {
                if !engine.forwarding.policies.has_retired() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(6));
            }
        }
        panic!("not settled: {:?}", self.view().last_commit.failures);
    }

    /// Takes every key for one that may have changed, of the models and of the tables; says what that makes different.
    pub(super) fn told_anew(&mut self) -> Vec<String> {
        let engine = self.engine.as_mut().unwrap();
        let rows = engine.forwarding.cidrs.rows().keys();
        let nets: Vec<IpNet> = rows.filter_map(crate::engine::compose::net_of).collect();
        let hosts = engine.forwarding.addresses.rows().keys();
        let hosts = hosts.map(|key| IpNet::from(IpAddr::from(key.address)));
        engine.stale.nets.extend(nets.into_iter().chain(hosts));
        engine.stale.nets.extend(engine.ipcache.keys());
        engine.stale.nets.extend(engine.addresses.keys().copied());
        engine.settle(model::policy::Touched::default());
        let places = engine.forwarding.endpoints.rows().keys();
        engine.stale.places.extend(places);
        let rows = engine.endpoints.values();
        engine
            .stale
            .places
            .extend(rows.map(crate::engine::compose::place_of));
        let known = engine.forwarding.known.rows().keys();
        engine.stale.peers.extend(known.map(|peer| Peer(*peer)));
        let peers = engine.policy.peers().map(|(peer, _)| peer);
        engine.stale.peers.extend(peers);
        engine.stale.spare = true;
        engine.compose();
        // The first are the policies, which are not told but refreshed; old rows of theirs may wait.
        let plan = engine.forwarding.plan().into_iter().skip(1);
        plan.filter(|of| of.write + of.remove > 0)
            .map(|of| format!("{of:?}"))
            .collect()
    }

    /// Asks again, as a runtime does, until it works.
    pub(super) fn repeat(&mut self, work: impl Fn(&mut Self) -> Result<(), Error>) {
        for _ in 0..1_000 {
            if work(self).is_ok() {
                return;
            }
        }
        panic!("it never works");
    }

    pub(super) fn create(
        &mut self,
        pod: &'static str,
        app: &'static str,
        index: u32,
    ) -> Result<EndpointRow, Error> {
        self.store.pods.insert(pod, app);
        self.deliver(PODS);
        self.interfaces
            .shared
            .lock()
            .unwrap()
            .names
            .insert(index, format!("lxc{pod}"));
        let address = format!("10.9.1.{index}").parse().unwrap();
        let identity = self.store.apps.get(app).copied().map(Identity);
        let row = endpoint(pod, index, address, labels(app), identity);
        let made = self.engine.as_mut().unwrap().create(row);
        if made.is_err() {
            // A runtime deletes what it could not add; then the plugin removes what it made.
            let _ = self.delete(pod);
            self.store.pods.insert(pod, app);
        }
        made
    }

    pub(super) fn delete(&mut self, pod: &str) -> Result<EndpointRow, Error> {
        let engine = self.engine.as_mut().unwrap();
        let row = engine
            .endpoints
            .values()
            .find(|row| *row.container_id == *pod);
        let Some(id) = row.map(|row| row.id) else {
            return Err(Error::Unknown(EndpointId(0)));
        };
        let gone = engine.delete(id);
        if gone.is_ok() {
            self.store.pods.remove(pod);
            self.deliver(0);
        }
        gone
    }

    /// A pod gets the labels of another app, whose identity is known to who asked for it.
    pub(super) fn relabel(&mut self, pod: &'static str, app: &'static str, identity: u32) {
        self.store.pods.insert(pod, app);
        self.deliver(PODS);
        let engine = self.engine.as_mut().unwrap();
        let mut rows = engine.endpoints.values();
        let id = rows.find(|row| *row.container_id == *pod).unwrap().id;
        engine.identify_now(id, labels(app), Identity(identity));
    }

    /// Answers what the engine asked for, as who makes identities does.
    pub(super) fn identify_wanted(&mut self) {
        let mut known: BTreeMap<LabelSet, u32> = BTreeMap::new();
        known.extend(self.store.plain.map(|id| (plain_labels(), id)));
        let apps = self.store.apps.iter();
        known.extend(apps.map(|(app, id)| (labels(app), *id)));
        let wants = self.wants.as_mut().unwrap();
        while let Ok(Wanted { endpoint, labels }) = wants.try_recv() {
            let identity = Identity(known[&labels]);
            let command = Command::Identify(endpoint, labels, identity);
            self.engine.as_mut().unwrap().execute(command);
        }
    }

    /// The identity of a pod's address in the tables.
    pub(super) fn identity_of(&self, pod: &str) -> u32 {
        let key = AddressKey {
            address: self.address(pod).into(),
            ..AddressKey::default()
        };
        self.maps.addresses.get(&key).unwrap().unwrap().identity
    }

    pub(super) fn view(&self) -> Arc<View> {
        self.view.as_ref().unwrap().get()
    }

    pub(super) fn plan_is_empty(&self) -> bool {
        self.view()
            .plan
            .iter()
            .all(|of| of.write == 0 && of.remove == 0)
    }

    /// Names of the endpoints that the view shows.
    pub(super) fn ids(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .view()
            .endpoints
            .iter()
            .map(|row| row.container_id.to_string())
            .collect();
        names.sort();
        names
    }

    /// Loses the file of a pod's endpoint while no agent looks.
    pub(super) fn lose_file(&mut self, pod: &str) {
        self.engine = None;
        let rows = read_saved(self.state.path()).unwrap();
        let row = rows.iter().find(|row| *row.container_id == *pod).unwrap();
        let path = format!("endpoints/{}.json", row.id);
        std::fs::write(self.state.path().join(path), "{").unwrap();
    }

    /// A file that an agent begins to write before it dies.
    pub(super) fn unfinished_file(&self) -> std::path::PathBuf {
        self.state.path().join("endpoints").join("4711.new")
    }

    pub(super) fn saved_files(&self) -> usize {
        read_saved(self.state.path()).unwrap().len()
    }

    /// A socket was sent to a backend, as the program at its connect writes it down.
    pub(super) fn connect(&self, cookie: u64, backend: &str, protocol: i32) {
        let backend: std::net::SocketAddr = backend.parse().unwrap();
        let key = SocketKey {
            cookie,
            address: backend.ip().into(),
            port: backend.port().to_be(),
            ..SocketKey::default()
        };
        let peer = SocketPeer {
            protocol: protocol as u8,
            ..SocketPeer::default()
        };
        self.maps.socket_peers.set(&key, &peer).unwrap();
    }

    /// Cookies of the sockets that would be closed now; `None` before the engine said that anything has gone.
    pub(super) fn condemned(&mut self) -> Option<BTreeSet<u64>> {
        let closer = self.closer.as_mut().unwrap();
        let mut told = false;
        while let Ok(gone) = self.gone.as_mut().unwrap().try_recv() {
            told = true;
            closer.hear(gone);
        }
        // One that fails is tried again.
        let found = std::iter::repeat_with(|| closer.condemned()).find_map(Result::ok);
        let (condemned, _) = found.unwrap();
        let cookies = condemned.into_values().flatten().map(|(cookie, _)| cookie);
        told.then(|| cookies.collect())
    }

    pub(super) fn wanted(&mut self) -> Vec<String> {
        let engine = self.engine.as_ref().unwrap();
        let mut names = Vec::new();
        while let Ok(wanted) = self.wants.as_mut().unwrap().try_recv() {
            names.extend(
                engine
                    .endpoints
                    .get(&wanted.endpoint)
                    .map(|row| row.container_id.to_string()),
            );
        }
        names
    }

    pub(super) fn spare(&self, nets: &[&str]) {
        let nets: Vec<IpNet> = nets.iter().map(|net| net.parse().unwrap()).collect();
        self.spare.send_replace(Spared {
            nets: nets.into(),
            problem: None,
        });
    }

    pub(super) fn spares(&self, net: &str) -> bool {
        self.maps
            .masquerade_spare
            .get(&prefix_key(&net.parse().unwrap()))
            .unwrap()
            .is_some()
    }

    fn endpoint(&self, pod: &str) -> Option<Endpoint> {
        let rows = self.maps.endpoints.dump().unwrap();
        let index = self.interfaces.shared.lock().unwrap();
        let index = index
            .names
            .iter()
            .find(|(_, name)| **name == format!("lxc{pod}"))
            .map(|(index, _)| *index)?;
        rows.into_iter()
            .map(|(_, row)| row)
            .find(|row| row.ifindex == index)
    }

    fn address(&self, pod: &str) -> IpAddr {
        if let Some((_, ip)) = self.store.remote.get(pod) {
            return ip.parse().unwrap();
        }
        let shared = self.interfaces.shared.lock().unwrap();
        let index = shared
            .names
            .iter()
            .find(|(_, name)| **name == format!("lxc{pod}"));
        format!("10.9.1.{}", index.map_or(&0, |(index, _)| index))
            .parse()
            .unwrap()
    }

    /// What a pod's policy says of a TCP connection from another pod.
    pub(super) fn ingress(&self, to: &str, from: &str, port: u16) -> Verdict {
        self.judge(to, self.address(from), port)
    }

    pub(super) fn ingress_from(&self, to: &str, from: &str, port: u16) -> Verdict {
        self.judge(to, from.parse().unwrap(), port)
    }

    /// Reads the tables as the programs do.
    fn judge(&self, to: &str, from: IpAddr, port: u16) -> Verdict {
        let Some(endpoint) = self
            .endpoint(to)
            .filter(|row| row.flags & endpoint_flags::NOT_READY == 0)
        else {
            return Verdict::Denied;
        };
        let policy = u32::from(endpoint.ingress_policy);
        let head = self.maps.policies.get(&policy).unwrap().unwrap();
        if head.flags() & flags::INSTALLED == 0 {
            return Verdict::Denied;
        }
        if head.flags() & flags::ENFORCED == 0 {
            return Verdict::Allowed;
        }
        let peer = self.peer(from);
        if head.flags() & flags::LOCKDOWN != 0
            || self.maps.known_identities.get(&peer).unwrap().is_none()
        {
            return Verdict::Denied;
        }
        let key = PeerKey {
            policy,
            version: head.peers_version(),
            peer,
        };
        let class = self.maps.policy_peers.get(&key).unwrap();
        let class = class.unwrap_or(u32::from(Scope::of(Peer(peer)).default_class().0));
        let found = [6, 0]
            .into_iter()
            .flat_map(|protocol| (0..=16_u32).rev().map(move |bits| (protocol, bits)));
        let row = found.map(|(protocol, bits)| {
            let mask = u16::MAX.checked_shl(16 - bits).unwrap_or(0);
            let key = PortKey {
                prefix_len: PortKey::FIXED_BITS + bits,
                version: head.ports_version(),
                policy: endpoint.ingress_policy,
                class: class as u16,
                protocol,
                pad: 0,
                port: (port & mask).to_be(),
            };
            self.maps.policy_ports.get(&key).unwrap()
        });
        match row.flatten().next() {
            Some(row) if row.verdict == verdict::ALLOW => Verdict::Allowed,
            _ => Verdict::Denied,
        }
    }

    fn peer(&self, address: IpAddr) -> u32 {
        self.row(address).map_or(2, |row| row.peer)
    }

    /// Identity and hop of an address, as the programs find them.
    pub(super) fn way_to(&self, address: &str) -> (u32, u32) {
        let row = self.row(address.parse().unwrap());
        row.map_or((2, 0), |row| (row.identity, row.hop))
    }

    fn row(&self, address: IpAddr) -> Option<AddressRow> {
        let key = AddressKey {
            address: address.into(),
            ..AddressKey::default()
        };
        if let Some(row) = self.maps.addresses.get(&key).unwrap() {
            return Some(row);
        }
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let mut nets = (0..=bits)
            .rev()
            .map(|bits| IpNet::new(address, bits).unwrap().trunc());
        nets.find_map(|net| self.maps.cidrs.get(&prefix_key(&net)).unwrap())
    }

    /// Every question that a step of the story changes the answer of.
    pub(super) fn verdicts(&self) -> BTreeMap<String, Verdict> {
        let mut all = BTreeMap::new();
        for to in ["web", "api", "db", "cart"] {
            for from in [
                "10.9.1.11",
                "10.9.1.12",
                "10.9.1.13",
                "10.9.1.15",
                "10.9.2.7",
                "192.0.2.9",
                "192.0.3.9",
            ] {
                for port in [80, 443] {
                    let verdict = self.ingress_from(to, from, port);
                    all.insert(format!("{from} to {to}:{port}"), verdict);
                }
            }
        }
        all
    }

    pub(super) fn picture(&self) -> Picture {
        let addresses = self.maps.addresses.dump().unwrap().into_iter();
        let cidrs = self.maps.cidrs.dump().unwrap().into_iter();
        let shown = |address: Address, row: AddressRow| {
            let local = if row.identity < 1 << 24 {
                row.identity
            } else {
                1 << 24
            };
            format!("{:?} {local} {}", IpAddr::from(address), row.flags)
        };
        let addresses = addresses.map(|(key, row)| shown(key.address, row)).chain(
            cidrs.map(|(key, row)| format!("{} /{}", shown(key.address, row), key.prefix_len)),
        );
        let endpoints = self.maps.endpoints.dump().unwrap().into_iter();
        let endpoints = endpoints
            .filter(|(_, row)| row.id != 0)
            .map(|(index, row)| format!("{index} {} {}", row.identity, row.flags));
        let backends: BTreeMap<u32, _> = self.maps.backends.dump().unwrap().into_iter().collect();
        let slots = self.maps.service_slots.dump().unwrap().into_iter();
        let slots = slots.map(|(_, id)| {
            format!(
                "slot {:?}",
                backends.get(&id).map(|of| IpAddr::from(of.address))
            )
        });
        let frontends = self.maps.frontends.dump().unwrap().into_iter();
        let frontends = frontends.map(|(key, row)| {
            format!("{:?}:{} {}", IpAddr::from(key.address), key.port, row.slots)
        });
        let known = self.maps.known_identities.dump().unwrap().into_iter();
        // Of this node's own numbers only the kind.
        let shown = |id: u32| if id < 1 << 24 { id } else { id >> 24 << 24 };
        let mut known: Vec<u32> = known.map(|(id, _)| shown(id)).collect();
        known.sort_unstable();
        let heads = self.maps.policies.dump().unwrap();
        let hops = self
            .maps
            .hops
            .dump()
            .unwrap()
            .into_iter()
            .filter(|(_, hop)| hop.kind != 0);
        Picture {
            verdicts: self.verdicts(),
            addresses: addresses.collect(),
            endpoints: endpoints.collect(),
            services: frontends.chain(slots).collect(),
            known,
            hops: hops.count(),
            heads: heads.len(),
            strays: self.strays(),
        }
    }

    fn strays(&self) -> usize {
        let heads: BTreeMap<u32, _> = self.maps.policies.dump().unwrap().into_iter().collect();
        let known = self.maps.known_identities.dump().unwrap();
        let known: BTreeSet<u32> = known.into_iter().map(|(peer, _)| peer).collect();
        let peers = self.maps.policy_peers.dump().unwrap().into_iter();
        let peers = peers.filter(|(key, _)| {
            let head = heads.get(&key.policy).copied().unwrap_or_default();
            let known = known.contains(&key.peer) || key.peer < Peer::FIXED;
            !known || head.peers_version() != key.version
        });
        let ports = self.maps.policy_ports.dump().unwrap().into_iter();
        let ports = ports.filter(|(key, _)| {
            let head = heads.get(&u32::from(key.policy)).copied();
            head.unwrap_or_default().ports_version() != key.version
        });
        peers.count() + ports.count()
    }

    /// All of the tables, as text.
    pub(super) fn dump(&self) -> String {
        let mut text = String::new();
        macro_rules! add {
            ($($map:ident)+) => {
                $(text += &format!("{:?}\n", self.maps.$map.dump().unwrap());)+
            };
        }
        add!(addresses cidrs endpoints hops policies policy_peers policy_ports known_identities frontends backends generations);
        text
    }

    pub(super) fn policy_indices(&self) -> BTreeSet<u16> {
        let rows = self.maps.endpoints.dump().unwrap().into_iter();
        rows.flat_map(|(_, row)| [row.egress_policy, row.ingress_policy])
            .filter(|index| *index != 0)
            .collect()
    }

    pub(super) fn prefix_identity(&self, net: &str) -> u32 {
        let row = self
            .maps
            .cidrs
            .get(&prefix_key(&net.parse().unwrap()))
            .unwrap();
        row.expect("the prefix has a row").identity
    }

    pub(super) fn hop_of(&self, pod: &str) -> u32 {
        let key = AddressKey {
            address: self.address(pod).into(),
            ..AddressKey::default()
        };
        self.maps
            .addresses
            .get(&key)
            .unwrap()
            .expect("the pod has a row")
            .hop
    }

    pub(super) fn generation_slot(&self, pod: &str) -> u32 {
        generation::slot_of(&self.address(pod).into())
    }

    pub(super) fn generation_slot_of(address: &str) -> u32 {
        generation::slot_of(&address.parse::<IpAddr>().unwrap().into())
    }

    /// Slots whose generation is another than at the last call.
    pub(super) fn raised(&mut self) -> BTreeSet<u32> {
        let now: BTreeMap<u32, u32> = self.maps.generations.dump().unwrap().into_iter().collect();
        let before = std::mem::replace(&mut self.generations, now);
        let now = self.generations.iter();
        now.filter(|(slot, value)| before.get(slot) != Some(value))
            .map(|(slot, _)| *slot)
            .collect()
    }
}

/// A pod's row before it is in force.
pub(super) fn endpoint(
    pod: &str,
    index: u32,
    address: IpAddr,
    labels: LabelSet,
    identity: Option<Identity>,
) -> EndpointRow {
    let v4 = match address {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    };
    EndpointRow {
        id: EndpointId(0),
        pod: Some(name(pod)),
        pod_uid: None,
        container_id: pod.into(),
        container_interface: "eth0".into(),
        netns: "".into(),
        netns_cookie: 0,
        ips: IpPair { v4, v6: None },
        mac: Mac([2, 0, 0, 0, 0, index as u8]),
        host_mac: Mac([2, 0, 0, 0, 1, index as u8]),
        ifname: format!("lxc{pod}").into(),
        ifindex: index,
        labels,
        identity,
        named_ports: Vec::new(),
        service_account: None,
        skip_masquerade: model::endpoint::SkipMasquerade::default(),
        policy_revision: 0,
        life: LifeCycle::created(),
    }
}

fn pod_row(app: &str) -> PodRow {
    PodRow {
        labels: BTreeMap::from([("app".into(), app.into())]),
        ..PodRow::default()
    }
}

fn node(name: &str, number: u8) -> (Arc<str>, NodeObject) {
    let object = NodeObject {
        addresses: vec![(
            AddressKind::InternalIp,
            IpAddr::from([172, 30, 0, 10 + number]),
        )],
        pod_cidrs: vec![format!("10.9.{number}.0/24").parse().unwrap()],
        ..NodeObject::default()
    };
    (name.into(), object)
}

fn remote(store: &Store, (app, address): &(&str, &str)) -> RemoteEndpoint {
    let node = if address.starts_with("10.9.3.") {
        "172.30.0.13"
    } else {
        "172.30.0.12"
    };
    RemoteEndpoint {
        identity: Identity(store.apps.get(app).copied().unwrap_or_default()),
        node: Some(node.parse().unwrap()),
        addresses: [address.parse().unwrap()].into(),
        named_ports: Box::default(),
    }
}

fn service(name: &str, address: &str) -> Vec<(ServiceName, Service)> {
    let object = json!({
        "metadata": { "namespace": "shop", "name": name },
        "spec": { "clusterIP": address, "clusterIPs": [address], "ports": [{ "port": 80, "protocol": "TCP", "name": "http" }] },
    });
    service_row(&serde_json::from_value(object).unwrap())
}

fn slice(service: &str, addresses: &[&str]) -> Vec<(PodName, SliceRow)> {
    let endpoints: Vec<Value> = addresses
        .iter()
        .map(|ip| json!({ "addresses": [ip], "conditions": { "ready": true } }))
        .collect();
    let object = json!({
        "metadata": { "namespace": "shop", "name": service, "labels": { "kubernetes.io/service-name": service } },
        "addressType": "IPv4", "endpoints": endpoints,
        "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }],
    });
    slice_row(&serde_json::from_value(object).unwrap())
}

/// The policies as the agent reads them; what is good is kept at once.
fn policies(
    store: &Store,
    before: &Snapshot<ObjectKey, PolicyRow>,
    last_good: &LastGood,
) -> Vec<(ObjectKey, PolicyRow)> {
    let of = |(name, spec): (&&str, &Value)| policy(name, spec, before, last_good);
    let rows: Vec<_> = store.policies.iter().map(of).collect();
    for good in rows.iter().filter_map(|(_, row)| row.judged.good.as_ref()) {
        let (key, to) = (Arc::clone(&good.uid), Arc::new(Arc::clone(&good.text)));
        let step = Step::Create { key, to };
        futures::executor::block_on(last_good.apply(&step)).unwrap();
    }
    rows
}

fn policy(
    name: &str,
    spec: &Value,
    before: &Snapshot<ObjectKey, PolicyRow>,
    last_good: &LastGood,
) -> (ObjectKey, PolicyRow) {
    let object = json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
        "metadata": { "namespace": "shop", "name": name, "uid": format!("uid-of-{name}") }, "spec": spec,
    });
    let key = key_of(Kind::CiliumNetworkPolicy, name);
    let before = before.get(&key).map(|row| &row.judged);
    let options = ParseOptions::default();
    let judged = last_good.judge(object, before, |object| parse_policy(object, &options));
    let stated = None;
    (key, PolicyRow { judged, stated })
}

fn network_policy(name: &str, spec: &Value) -> (ObjectKey, PolicyRow) {
    let object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "namespace": "shop", "name": name }, "spec": spec,
    });
    good_policy(key_of(Kind::NetworkPolicy, name), &object)
}

fn key_of(kind: Kind, name: &str) -> ObjectKey {
    ObjectKey {
        kind,
        namespace: "shop".into(),
        name: name.into(),
    }
}

/// A policy that is known to be good, without a file.
fn good_policy(key: ObjectKey, object: &Value) -> (ObjectKey, PolicyRow) {
    let read = parse_policy(object, &ParseOptions::default()).unwrap();
    let good = Good {
        object: Arc::new(read),
        uid: "".into(),
        generation: 1,
        text: "".into(),
    };
    let judged = Judged {
        fault: None,
        good: Some(good),
    };
    let stated = None;
    (key, PolicyRow { judged, stated })
}

/// Pods `api` may be reached by pods `web` at one port.
pub(super) fn api_from_web(port: u16) -> Value {
    api_ports([port])
}

/// The same with many ports.
pub(super) fn api_ports(ports: impl IntoIterator<Item = u16>) -> Value {
    let ports: Vec<Value> = ports
        .into_iter()
        .map(|port| json!({ "port": port.to_string(), "protocol": "TCP" }))
        .collect();
    let lists: Vec<Value> = ports
        .chunks(40)
        .map(|ports| json!({ "ports": ports }))
        .collect();
    json!({
        "endpointSelector": { "matchLabels": { "app": "api" } },
        "ingress": [{ "fromEndpoints": [{ "matchLabels": { "app": "web" } }], "toPorts": lists }],
    })
}

/// Pods `app` may be reached from a prefix only.
pub(super) fn from_prefix(app: &str, net: &str) -> Value {
    json!({ "endpointSelector": { "matchLabels": { "app": app } }, "ingress": [{ "fromCIDR": [net] }] })
}

/// A NetworkPolicy: pods `app` may be reached from a prefix less another, whoever is there.
pub(super) fn from_block(app: &str, net: &str, except: &str) -> Value {
    json!({
        "podSelector": { "matchLabels": { "app": app } },
        "ingress": [{ "from": [{ "ipBlock": { "cidr": net, "except": [except] } }] }],
    })
}

/// Pods `app` may be reached by nobody.
pub(super) fn deny_all(app: &str) -> Value {
    json!({ "endpointSelector": { "matchLabels": { "app": app } }, "ingress": [{ "fromEndpoints": [] }] })
}
