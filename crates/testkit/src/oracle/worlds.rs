//! Small random worlds: namespaces, pods, nodes, policies; and random questions about them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

use super::judge::{Answer, Question, Way, judge};
use super::matching::NamedPort;
use super::ordered::{Ordered, random_ordered};
use super::random::Dice;
use super::selectors::Tag;

mod objects;

/// `enable-policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As policies say.
    Default,
    /// Denied unless allowed.
    Always,
    /// Nothing is enforced.
    Never,
}

/// A pod.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// metadata.labels, which may imitate internal ones.
    pub labels: BTreeMap<String, String>,
    /// spec.serviceAccountName.
    pub service_account: Option<String>,
    /// Name of the cluster it runs in.
    pub cluster: String,
    /// One or two addresses.
    pub addresses: Vec<IpAddr>,
    /// Named container ports.
    pub ports: Vec<NamedPort>,
}

/// One side of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Party {
    /// A pod, by its place in the list, and which of its addresses.
    Pod(usize, usize),
    /// Something with a reserved identity, as `host`, and its address.
    Reserved(String, IpAddr),
    /// An address outside the cluster.
    World(IpAddr),
}

impl Party {
    /// Its address.
    pub fn address(&self, world: &World) -> IpAddr {
        match self {
            Self::Pod(at, which) => world.pods[*at].addresses[*which],
            Self::Reserved(_, address) | Self::World(address) => *address,
        }
    }
}

/// Everything that a verdict can depend on.
#[derive(Clone, Debug)]
pub struct World {
    /// Name of this cluster.
    pub cluster: String,
    /// `policy-default-local-cluster`.
    pub default_local: bool,
    /// `policy-cidr-match-mode=nodes`.
    pub cidr_matches_nodes: bool,
    /// `allow-localhost` is not `policy`.
    pub localhost_always: bool,
    /// Whether both families are enabled, so that the world has an identity for each.
    pub dual_stack: bool,
    /// `enable-policy`.
    pub mode: Mode,
    /// Labels of this node, which the host endpoint has.
    pub node_labels: BTreeMap<String, String>,
    /// Labels of the namespaces.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// The pods.
    pub pods: Vec<Pod>,
    /// CiliumCIDRGroups.
    pub groups: Vec<Value>,
    /// Policies.
    pub objects: Vec<Value>,
    /// Rules with tiers.
    pub ordered: Vec<Ordered>,
    /// `policy-audit-mode`: what is denied passes, and is reported.
    pub audit: bool,
}

impl World {
    /// What is known of a party, as (source, key, value).
    pub(super) fn tags(&self, party: &Party) -> Vec<Tag> {
        let k8s = |key: String, value: &str| ("k8s".to_owned(), key, value.to_owned());
        let reserved = |name: &str| ("reserved".to_owned(), name.to_owned(), String::new());
        match party {
            Party::World(address) => match (self.dual_stack, address.is_ipv4()) {
                (false, _) => vec![reserved("world")],
                (true, true) => vec![reserved("world-ipv4")],
                (true, false) => vec![reserved("world-ipv6")],
            },
            Party::Reserved(name, _) => {
                let mut tags = vec![reserved(name)];
                if name == "kube-apiserver" {
                    tags.push(reserved("remote-node"));
                }
                if name == "host" {
                    tags.extend(
                        self.node_labels
                            .iter()
                            .map(|(key, value)| k8s(key.clone(), value)),
                    );
                }
                tags
            }
            Party::Pod(at, _) => {
                let pod = &self.pods[*at];
                let own = pod.labels.iter();
                let own = own.filter(|(key, _)| {
                    !key.starts_with("io.cilium.k8s.") && !key.starts_with("io.kubernetes.pod.")
                });
                let mut tags: Vec<Tag> = own.map(|(key, value)| k8s(key.clone(), value)).collect();
                for (key, value) in &self.namespaces[&pod.namespace] {
                    tags.push(k8s(format!("io.cilium.k8s.namespace.labels.{key}"), value));
                }
                tags.push(k8s(
                    "io.kubernetes.pod.namespace".to_owned(),
                    &pod.namespace,
                ));
                tags.push(k8s("io.cilium.k8s.policy.cluster".to_owned(), &pod.cluster));
                if let Some(account) = &pod.service_account {
                    tags.push(k8s(
                        "io.cilium.k8s.policy.serviceaccount".to_owned(),
                        account,
                    ));
                }
                tags
            }
        }
    }

    /// The named ports of a party.
    pub(super) fn named_ports(&self, party: &Party) -> Vec<NamedPort> {
        match party {
            Party::Pod(at, _) => self.pods[*at].ports.clone(),
            _ => Vec::new(),
        }
    }
}

pub(super) const NAMESPACES: [&str; 3] = ["a", "b", "c"];
pub(super) const APPS: [&str; 3] = ["web", "api", "db"];

/// What looks like an internal label on a pod, and must not count.
const FORGED: [(&str, &str); 5] = [
    ("io.kubernetes.pod.namespace", "a"),
    ("io.cilium.k8s.namespace.labels.team", "red"),
    ("io.cilium.k8s.policy.cluster", "west"),
    ("io.cilium.k8s.policy.serviceaccount", "root"),
    ("io.cilium.k8s.policy.name", "x"),
];

fn address(text: &str) -> IpAddr {
    text.parse().unwrap_or(IpAddr::V4(0.into()))
}

fn random_pod(dice: &mut Dice, cluster: &str) -> Pod {
    let mut labels = BTreeMap::from([("app".to_owned(), (*dice.pick(&APPS)).to_owned())]);
    if dice.chance(60) {
        labels.insert("tier".to_owned(), (*dice.pick(&["1", "2", ""])).to_owned());
    }
    if dice.chance(25) {
        let (key, value) = dice.pick(&FORGED);
        labels.insert((*key).to_owned(), (*value).to_owned());
    }
    let mut addresses = vec![IpAddr::V4((0x0a00_0000 + dice.below(32) as u32).into())];
    if dice.chance(40) {
        addresses.push(IpAddr::V6(
            ((0xfd00 << 112) + dice.below(32) as u128).into(),
        ));
    }
    let mut ports = Vec::new();
    if dice.chance(60) {
        ports.push(("http".to_owned(), "TCP".to_owned(), *dice.pick(&[80, 8080])));
    }
    if dice.chance(30) {
        ports.push(("dns".to_owned(), "UDP".to_owned(), 53));
        ports.push(("dns".to_owned(), "TCP".to_owned(), *dice.pick(&[53, 54])));
    }
    Pod {
        namespace: (*dice.pick(&NAMESPACES)).to_owned(),
        labels,
        service_account: dice
            .chance(30)
            .then(|| (*dice.pick(&["root", "app"])).to_owned()),
        cluster: if dice.chance(15) {
            "west".to_owned()
        } else {
            cluster.to_owned()
        },
        addresses,
        ports,
    }
}

/// A world out of dice.
pub fn random_world(dice: &mut Dice) -> World {
    let cluster = *dice.pick(&["default", "east"]);
    let mut namespaces = BTreeMap::new();
    for name in NAMESPACES {
        let mut labels =
            BTreeMap::from([("kubernetes.io/metadata.name".to_owned(), name.to_owned())]);
        if dice.chance(70) {
            labels.insert("team".to_owned(), (*dice.pick(&["red", "blue"])).to_owned());
        }
        namespaces.insert(name.to_owned(), labels);
    }
    let mode = match dice.below(20) {
        0 => Mode::Never,
        1 | 2 => Mode::Always,
        _ => Mode::Default,
    };
    let mut world = World {
        cluster: cluster.to_owned(),
        default_local: dice.chance(75),
        cidr_matches_nodes: dice.chance(25),
        localhost_always: dice.chance(75),
        dual_stack: dice.chance(60),
        mode,
        node_labels: BTreeMap::from([("app".to_owned(), (*dice.pick(&APPS)).to_owned())]),
        namespaces,
        pods: Vec::new(),
        groups: Vec::new(),
        objects: Vec::new(),
        ordered: Vec::new(),
        audit: false,
    };
    for _ in 0..2 + dice.below(4) {
        world.pods.push(random_pod(dice, cluster));
    }
    for at in 0..dice.below(3) {
        world.groups.push(objects::random_group(dice, at));
    }
    for at in 0..=dice.below(4) {
        world.objects.push(objects::random_object(dice, at));
    }
    // A sequence of its own, so that what a seed meant before it still means.
    let mut apart = Dice::new(dice.clone().throw());
    world.audit = apart.chance(20);
    if apart.chance(40) {
        for at in 0..=apart.below(6) {
            world.ordered.push(random_ordered(&mut apart, at));
        }
    }
    world
}

const RESERVED: [(&str, &str); 9] = [
    ("host", "192.168.0.1"),
    ("host", "fd01::1"),
    ("remote-node", "192.168.0.2"),
    ("kube-apiserver", "192.168.0.3"),
    ("health", "10.0.0.5"),
    ("ingress", "10.0.0.6"),
    ("unmanaged", "10.0.0.7"),
    ("init", "10.0.0.9"),
    ("health", "fd00::5"),
];

const OUTSIDE: [&str; 9] = [
    "1.1.1.1",
    "203.0.113.1",
    "203.0.113.129",
    "203.0.113.200",
    "10.0.0.17",
    "10.9.9.9",
    "192.168.0.77",
    "2001:db8::1",
    "fd00::11",
];

const PORTS: [u16; 20] = [
    0, 1, 52, 53, 54, 79, 80, 81, 82, 443, 1023, 1024, 1025, 8079, 8080, 8081, 32767, 32768, 65534,
    65535,
];

fn random_party(dice: &mut Dice, world: &World) -> Party {
    match dice.below(10) {
        0..=4 => {
            let at = dice.below(world.pods.len());
            Party::Pod(at, dice.below(world.pods[at].addresses.len()))
        }
        5 | 6 => {
            let (name, text) = dice.pick(&RESERVED);
            Party::Reserved((*name).to_owned(), address(text))
        }
        _ => {
            let text: &str = dice.pick::<&str>(&OUTSIDE);
            Party::World(address(text))
        }
    }
}

/// A question about a world: any, or the first of a few throws on which a rule has a say.
pub fn random_question(dice: &mut Dice, world: &World) -> Question {
    let mut question = thrown(dice, world);
    if dice.chance(30) {
        return question;
    }
    for _ in 0..8 {
        match judge(world, &question) {
            Answer::Allowed(names) | Answer::Denied(names) if !names.is_empty() => break,
            _ => question = thrown(dice, world),
        }
    }
    question
}

fn thrown(dice: &mut Dice, world: &World) -> Question {
    let subject = match dice.below(20) {
        0 => Party::Reserved("host".to_owned(), address("192.168.0.1")),
        1 => Party::Reserved("init".to_owned(), address("10.0.0.9")),
        2 => Party::Reserved("health".to_owned(), address("10.0.0.5")),
        _ => Party::Pod(dice.below(world.pods.len()), 0),
    };
    let (protocol, port) = match dice.below(12) {
        0..=5 => (6, *dice.pick(&PORTS)),
        6 | 7 => (17, *dice.pick(&PORTS)),
        8 => (132, *dice.pick(&PORTS)),
        9 => (1, *dice.pick(&[0, 3, 8, 11])),
        10 => (58, *dice.pick(&[2, 128, 129, 135])),
        _ => (47, 0),
    };
    let way = if dice.chance(50) { Way::In } else { Way::Out };
    Question {
        subject,
        way,
        other: random_party(dice, world),
        protocol,
        port,
    }
}
