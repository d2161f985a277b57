//! The policy engine against the oracle: compiled rows, looked up as the data plane does, on random cases; and what is explained
//! against what is compiled.
//!
//! `AXONEME_CASES` sets how many questions are asked (100,000 without it). Every seed is one world and ten questions;
//! a mismatch prints the seed and the smallest objects that still show it.

#![allow(clippy::print_stdout, reason = "figures are the tests' output")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::labels::{Label, LabelFilter, LabelSet, PodLabels, Source, pod_labels};
use model::policy::cidr::{Cover, Owner, Reach};
use model::policy::{
    Action, AllowLocalhost, Audit, Change, Class, ClusterDefault, DefaultDeny, Direction,
    Enforcement, Enforcing, Fit, Governed, Kind, NamedPorts, ObjectKey, Origin, ParseOptions, Peer,
    PeerFacts, PeerTerm, Peers, PolicyKey, PolicyObject, PolicyRows, PortTerm, PortVerdict, Ports,
    Protocol, Rule, RuleId, Section, Settings, Snapshot, Subject, SubjectFacts, SubjectId, Tier,
    Verdict, parse_cidr_group, parse_policy,
};
use model::selector::{LabelSelector, Operator, Requirement, SelectorKey};
use serde_json::Value;
use testkit::oracle::{
    Answer, Dice, Effect, Mode, Ordered, Party, Question, Rung, Way, World, judge, random_question,
    random_world,
};

const QUESTIONS_PER_WORLD: u64 = 10;

/// What is done to the engine to prove that the comparison can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sabotage {
    Nothing,
    DenyIgnored,
    ExceptIgnored,
    NamedPortsForgotten,
    DefaultDenyForgotten,
    RangesOneShort,
    NobodyIsEverybody,
    BlocksSpareThePods,
    OtherProtocolsFirst,
    SelectorsForgetOneRequirement,
    TiersAreOne,
    PrioritiesAreOne,
    PassIsAllow,
    AuditForgotten,
}

/// A rule list with every rule changed.
fn with_rules(object: PolicyObject, change: impl Fn(Rule) -> Option<Rule>) -> PolicyObject {
    let mut object = object;
    for section in &mut object.sections {
        section.rules = section
            .rules
            .iter()
            .filter_map(|rule| change((**rule).clone()).map(Arc::new))
            .collect();
    }
    object
}

fn without_except(term: PeerTerm) -> PeerTerm {
    use model::policy::cidr::CidrSelector;
    match term {
        PeerTerm::Cidr(cidr) => PeerTerm::Cidr(CidrSelector::new(cidr.net(), [], cidr.reach())),
        other => other,
    }
}

fn with_reach(term: PeerTerm, reach: Reach) -> PeerTerm {
    use model::policy::cidr::CidrSelector;
    match term {
        PeerTerm::Cidr(cidr) => PeerTerm::Cidr(CidrSelector::new(
            cidr.net(),
            cidr.except().iter().copied(),
            reach,
        )),
        other => other,
    }
}

fn shorter(term: PortTerm) -> PortTerm {
    match term {
        PortTerm::Range {
            protocol,
            first,
            last,
        } if last > first => PortTerm::Range {
            protocol,
            first,
            last: last - 1,
        },
        other => other,
    }
}

fn forgetful(term: PeerTerm) -> PeerTerm {
    match term {
        PeerTerm::Labels(selector) => {
            PeerTerm::Labels(selector.requirements().iter().skip(1).cloned().collect())
        }
        other => other,
    }
}

fn on_terms(peers: Peers, change: impl Fn(PeerTerm) -> PeerTerm) -> Peers {
    match peers {
        Peers::Any => Peers::Any,
        Peers::Of(terms) => Peers::Of(terms.into_iter().map(change).collect()),
    }
}

fn reordered(rule: Rule, sabotage: Sabotage) -> Rule {
    match sabotage {
        Sabotage::TiersAreOne => Rule {
            tier: Tier::Normal,
            ..rule
        },
        Sabotage::PrioritiesAreOne => Rule {
            priority: 0,
            order: 0,
            ..rule
        },
        _ if rule.action == Action::Pass => Rule {
            action: Action::Allow,
            ..rule
        },
        _ => rule,
    }
}

fn sabotaged(mut object: PolicyObject, sabotage: Sabotage) -> PolicyObject {
    let peers = |change: &dyn Fn(PeerTerm) -> PeerTerm| {
        with_rules(object.clone(), |rule| {
            Some(Rule {
                peers: on_terms(rule.peers.clone(), change),
                ..rule
            })
        })
    };
    match sabotage {
        Sabotage::Nothing
        | Sabotage::NamedPortsForgotten
        | Sabotage::OtherProtocolsFirst
        | Sabotage::AuditForgotten => object,
        Sabotage::TiersAreOne | Sabotage::PrioritiesAreOne | Sabotage::PassIsAllow => {
            with_rules(object, |rule| Some(reordered(rule, sabotage)))
        }
        Sabotage::DenyIgnored => {
            with_rules(object, |rule| (rule.action != Action::Deny).then_some(rule))
        }
        Sabotage::ExceptIgnored => peers(&without_except),
        Sabotage::BlocksSpareThePods => peers(&|term| with_reach(term, Reach::World)),
        Sabotage::SelectorsForgetOneRequirement => peers(&forgetful),
        Sabotage::NobodyIsEverybody => with_rules(object, |rule| {
            let nobody = rule.peers == Peers::Of(Vec::new());
            Some(Rule {
                peers: if nobody {
                    Peers::Any
                } else {
                    rule.peers.clone()
                },
                ..rule
            })
        }),
        Sabotage::RangesOneShort => with_rules(object, |rule| {
            let ports = match rule.ports.clone() {
                Ports::All => Ports::All,
                Ports::Of(terms) => Ports::Of(terms.into_iter().map(shorter).collect()),
            };
            Some(Rule { ports, ..rule })
        }),
        Sabotage::DefaultDenyForgotten => {
            for section in &mut object.sections {
                section.ingress_default = DefaultDeny::Off;
                section.egress_default = DefaultDeny::Off;
            }
            object
        }
    }
}

/// An ordered rule as an object in rule form, as if it had been parsed.
fn object_of(from: &Ordered) -> PolicyObject {
    let by_app = |app: &Option<String>| -> LabelSelector {
        let value = app.iter().map(|app| Requirement {
            key: SelectorKey::k8s("app"),
            operator: Operator::In([app.as_str().into()].into()),
        });
        value.collect()
    };
    let rule = Rule {
        tier: match from.rung {
            Rung::Admin => Tier::Admin,
            Rung::Normal => Tier::Normal,
            Rung::Baseline => Tier::Baseline,
        },
        priority: from.priority,
        order: from.place,
        action: match from.effect {
            Effect::Deny => Action::Deny,
            Effect::Pass => Action::Pass,
            Effect::Allow => Action::Allow,
        },
        direction: match from.way {
            Way::In => Direction::Ingress,
            Way::Out => Direction::Egress,
        },
        peers: match &from.other {
            None => Peers::Any,
            other => Peers::Of(vec![PeerTerm::Labels(by_app(other))]),
        },
        ports: match from.ports {
            None => Ports::All,
            Some((protocol, first, last)) => Ports::Of(vec![PortTerm::Range {
                protocol: Protocol(protocol),
                first,
                last,
            }]),
        },
        path: "spec.rules[0]".into(),
    };
    PolicyObject {
        key: ObjectKey {
            kind: Kind::ClusterNetworkPolicy,
            namespace: "".into(),
            name: from.name.as_str().into(),
        },
        uid: "".into(),
        sections: vec![Section {
            subject: Subject::Endpoints(by_app(&from.subject)),
            ingress_default: DefaultDeny::Off,
            egress_default: DefaultDeny::Off,
            rules: vec![Arc::new(rule)],
            labels: Arc::new([]),
            description: "".into(),
            log: "".into(),
            path: "spec".into(),
        }],
        warnings: Vec::new(),
    }
}

/// The engine, with the peers and endpoints of one world.
struct Engine<'a> {
    world: &'a World,
    sabotage: Sabotage,
    filter: LabelFilter,
    snapshot: Snapshot,
    numbers: BTreeMap<(LabelSet, Cover, NamedPorts, u32), Peer>,
    subjects: BTreeMap<(LabelSet, NamedPorts), SubjectId>,
    rows: BTreeMap<PolicyKey, PolicyRows>,
}

fn numbered(number: u8) -> Protocol {
    Protocol(number)
}

fn protocol_named(name: &str) -> Protocol {
    match name {
        "TCP" => Protocol::TCP,
        "UDP" => Protocol::UDP,
        _ => Protocol::SCTP,
    }
}

impl<'a> Engine<'a> {
    fn new(world: &'a World, sabotage: Sabotage) -> Result<Self, String> {
        let options = ParseOptions {
            cluster: world.cluster.as_str().into(),
            cluster_default: if world.default_local {
                ClusterDefault::Local
            } else {
                ClusterDefault::All
            },
            cidr_reach: if world.cidr_matches_nodes {
                Reach::WorldAndNodes
            } else {
                Reach::World
            },
            ..ParseOptions::default()
        };
        let enforcement = match world.mode {
            Mode::Default => Enforcement::Default,
            Mode::Always => Enforcement::Always,
            Mode::Never => Enforcement::Never,
        };
        let settings = Settings {
            enforcement,
            allow_localhost: if world.localhost_always {
                AllowLocalhost::Always
            } else {
                AllowLocalhost::Policy
            },
            cluster: world.cluster.as_str().into(),
            audit: if world.audit && sabotage != Sabotage::AuditForgotten {
                Audit::On
            } else {
                Audit::Off
            },
            ..Settings::default()
        };
        let mut snapshot = Snapshot::new(settings);
        for group in &world.groups {
            let group = parse_cidr_group(group).map_err(|error| error.to_string())?;
            snapshot.apply(Change::Group(Arc::new(group)));
        }
        for object in &world.objects {
            let object = parse_policy(object, &options).map_err(|error| error.to_string())?;
            snapshot.apply(Change::Object(Arc::new(sabotaged(object, sabotage))));
        }
        for ordered in &world.ordered {
            let object = sabotaged(object_of(ordered), sabotage);
            snapshot.apply(Change::Object(Arc::new(object)));
        }
        let filter = LabelFilter::standard().map_err(|error| error.to_string())?;
        let (numbers, subjects, rows) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Ok(Self {
            world,
            sabotage,
            filter,
            snapshot,
            numbers,
            subjects,
            rows,
        })
    }

    fn labels(&self, party: &Party) -> LabelSet {
        match party {
            Party::Pod(at, _) => {
                let pod = &self.world.pods[*at];
                let namespace = &self.world.namespaces[&pod.namespace];
                let texts = |(key, value): (&'a String, &'a String)| (key.as_str(), value.as_str());
                let facts = PodLabels {
                    pod: pod.labels.iter().map(texts),
                    namespace: &pod.namespace,
                    namespace_labels: namespace.iter().map(texts),
                    service_account: pod.service_account.as_deref(),
                    cluster: &pod.cluster,
                };
                pod_labels(facts, &self.filter)
            }
            Party::Reserved(name, _) => {
                let mut labels = vec![Label::reserved(name.as_str())];
                if name == "kube-apiserver" {
                    labels.push(Label::reserved("remote-node"));
                }
                if name == "host" {
                    let node = self.world.node_labels.iter();
                    labels
                        .extend(node.map(|(key, value)| Label::k8s(key.as_str(), value.as_str())));
                }
                labels.into_iter().collect()
            }
            Party::World(address) => {
                let name = match (self.world.dual_stack, address.is_ipv4()) {
                    (false, _) => "world",
                    (true, true) => "world-ipv4",
                    (true, false) => "world-ipv6",
                };
                [Label::reserved(name)].into_iter().collect()
            }
        }
    }

    fn named_ports(&self, party: &Party) -> NamedPorts {
        let mut ports = NamedPorts::default();
        if let (Party::Pod(at, _), true) = (party, self.sabotage != Sabotage::NamedPortsForgotten) {
            for (name, protocol, port) in &self.world.pods[*at].ports {
                ports.insert(name.as_str(), protocol_named(protocol), *port);
            }
        }
        ports
    }

    /// What covers a party, the number it has while nothing cuts it out, and the first of the numbers for parts of it.
    fn place(&self, party: &Party, labels: &mut LabelSet) -> (Cover, u32, u32) {
        let address = party.address(self.world);
        let cidrs = self.snapshot.cidrs();
        match party {
            Party::Pod(..) => (cidrs.cover(address, Owner::Pod), 0x100, 0x0300_0001),
            Party::World(address) => self.place_outside(*address, labels),
            Party::Reserved(name, _) => match name.as_str() {
                "host" => (cidrs.cover(address, Owner::Node), 1, 0x0200_0001),
                "remote-node" => (cidrs.cover(address, Owner::Node), 6, 0x0200_0001),
                "kube-apiserver" => (cidrs.cover(address, Owner::Node), 7, 0x0200_0001),
                "unmanaged" => (cidrs.cover(address, Owner::Pod), 3, 0x0300_0001),
                "health" => (cidrs.cover(address, Owner::Pod), 4, 0x0300_0001),
                "init" => (cidrs.cover(address, Owner::Pod), 5, 0x0300_0001),
                _ => (cidrs.cover(address, Owner::Pod), 8, 0x0300_0001),
            },
        }
    }

    fn place_outside(&self, address: IpAddr, labels: &mut LabelSet) -> (Cover, u32, u32) {
        let partition = self.snapshot.cidrs().partition();
        let holding = partition.iter().filter(|(net, _)| net.contains(&address));
        let longest = holding.max_by_key(|(net, _)| net.prefix_len());
        let cover = longest.map(|(_, cover)| cover.clone()).unwrap_or_default();
        if let Some((net, _)) = longest.filter(|(net, _)| net.prefix_len() > 0) {
            let own = Label::new(Source::Cidr, net.to_string().replace(':', "-"), "");
            *labels = labels.iter().cloned().chain([own]).collect();
            return (cover, 0x0100_0001, 0x0100_0001);
        }
        let number = match (self.world.dual_stack, address.is_ipv4()) {
            (true, true) => 9,
            (true, false) => 10,
            // A cluster of one family does not meet addresses of the other; here it does.
            (false, true) => 2,
            (false, false) => 0x0100_0001,
        };
        (cover, number, number)
    }

    /// The peer of a party, as the ipcache gives it: an identity, or a number of this node's own where CIDR selectors
    /// cut one out.
    fn peer(&mut self, party: &Party) -> Peer {
        let mut labels = self.labels(party);
        let (cover, whole, cut) = self.place(party, &mut labels);
        let facts = PeerFacts {
            labels: labels.clone(),
            cover: cover.clone(),
            named_ports: self.named_ports(party),
        };
        let base = if cover.is_empty() { whole } else { cut };
        let key = (labels, cover, facts.named_ports.clone(), base);
        let next = if base < 0x100 {
            Peer(base)
        } else {
            Peer(base + self.numbers.len() as u32)
        };
        let peer = *self.numbers.entry(key).or_insert(next);
        self.snapshot.apply(Change::Peer(peer, facts));
        peer
    }

    fn subject(&mut self, party: &Party) -> SubjectId {
        let facts = SubjectFacts {
            labels: self.labels(party),
            named_ports: self.named_ports(party),
            ..SubjectFacts::default()
        };
        let next = SubjectId(self.subjects.len() as u64);
        let id = *self
            .subjects
            .entry((facts.labels.clone(), facts.named_ports.clone()))
            .or_insert(next);
        self.snapshot.apply(Change::Subject(id, facts));
        id
    }

    fn compile(&mut self) {
        let keys: Vec<PolicyKey> = self.snapshot.policies().cloned().collect();
        self.rows = keys
            .into_iter()
            .filter_map(|key| self.snapshot.row(&key, None).map(|rows| (key, rows)))
            .collect();
    }

    fn ask(
        &self,
        subject: SubjectId,
        peer: Peer,
        question: &Question,
    ) -> Result<(Enforcing, Audit, PortVerdict), String> {
        let direction = if question.way == Way::In {
            Direction::Ingress
        } else {
            Direction::Egress
        };
        let key = self
            .snapshot
            .policy_of(subject, direction)
            .ok_or("the endpoint has no policy")?;
        let rows = self.rows.get(key).ok_or("the policy has no rows")?;
        let icmp = question.protocol == 1 || question.protocol == 58;
        let port = if icmp {
            Protocol::icmp_port(question.port as u8)
        } else {
            question.port
        };
        let found = look_up(rows, peer, numbered(question.protocol), port, self.sabotage);
        let found = found.ok_or_else(|| format!("{peer:?} finds no row"))?;
        if self.sabotage == Sabotage::Nothing
            && found != rows.look_up(peer, numbered(question.protocol), port)
        {
            return Err("the two ways to look up differ".to_owned());
        }
        if self.sabotage == Sabotage::Nothing {
            let explained = self.explained(peer, question, direction, port);
            if explained != Some(found.verdict) {
                return Err(format!("explained as {explained:?}, compiled as {found:?}"));
            }
        }
        Ok((rows.enforcing, rows.audit, found))
    }

    /// The verdict that the explanation of the question gives.
    fn explained(
        &self,
        peer: Peer,
        question: &Question,
        direction: Direction,
        port: u16,
    ) -> Option<Verdict> {
        let (_, facts) = self.snapshot.peers().find(|(known, _)| *known == peer)?;
        let other = model::policy::Party {
            name: "other".into(),
            facts: facts.clone(),
            governed: Governed::No,
        };
        let subject = model::policy::Party {
            name: "subject".into(),
            facts: PeerFacts {
                labels: self.labels(&question.subject),
                named_ports: self.named_ports(&question.subject),
                ..PeerFacts::default()
            },
            governed: Governed::Yes,
        };
        let (from, to) = match direction {
            Direction::Ingress => (&other, &subject),
            Direction::Egress => (&subject, &other),
        };
        let protocol = numbered(question.protocol);
        let explanation = self.snapshot.explain(from, to, protocol, port);
        Some(explanation.verdict())
    }
}

/// A second look-up, over the plain rows: class of the peer or of its scope, then the longest prefix of the protocol's
/// rows, or of the rows for other protocols if there is none.
fn look_up(
    rows: &PolicyRows,
    peer: Peer,
    protocol: Protocol,
    port: u16,
    sabotage: Sabotage,
) -> Option<PortVerdict> {
    assert_eq!(rows.fit, Fit::Whole);
    let scope = match peer.0 {
        2 | 9 | 10 => 1,
        1 | 6 | 7 => 2,
        number => match number >> 24 {
            1 => 1,
            2 => 2,
            _ => 0,
        },
    };
    let class = rows.peers.get(&peer).copied().unwrap_or(Class(scope));
    let longest = |protocol: Protocol| {
        let of_protocol = rows
            .ports
            .iter()
            .filter(|(key, _)| key.class == class && key.protocol == protocol);
        let matching = of_protocol.filter(|(key, _)| {
            let bits = u32::from(key.prefix_len);
            bits == 0 || u32::from(key.port ^ port) >> (16 - bits) == 0
        });
        matching
            .max_by_key(|(key, _)| key.prefix_len)
            .map(|(_, verdict)| *verdict)
    };
    if sabotage == Sabotage::OtherProtocolsFirst {
        return longest(Protocol::OTHER);
    }
    longest(protocol).or_else(|| longest(Protocol::OTHER))
}

/// What is denied is only reported while audit is on; what is allowed passes anyway.
fn is_audited_rightly(world: &World, audit: Audit, answer: &Answer) -> bool {
    matches!(answer, Answer::Allowed(_)) || (audit == Audit::On) == world.audit
}

/// Why the engine's answer is not the oracle's.
fn disagreement(
    engine: &Engine<'_>,
    enforcing: Enforcing,
    found: PortVerdict,
    answer: &Answer,
) -> Option<String> {
    let origin = engine.snapshot.rule_ids().get(found.rule);
    let wrong = || {
        let origin = origin.map_or("nothing known".to_owned(), ToString::to_string);
        Some(format!(
            "engine: {found:?} ({origin}), {enforcing:?}; oracle: {answer:?}"
        ))
    };
    let is_rule = |names: &BTreeSet<String>| match origin.map(|origin| &**origin) {
        Some(Origin::Rule { object, path, .. }) => names.contains(&format!("{object} {path}")),
        _ => false,
    };
    let agrees = match (answer, found.verdict) {
        (Answer::Allowed(names), Verdict::Allow) if names.is_empty() => {
            [RuleId::NONE, RuleId::LOCALHOST, RuleId::HEALTH].contains(&found.rule)
        }
        (Answer::Allowed(names), Verdict::Allow) | (Answer::Denied(names), Verdict::Deny) => {
            is_rule(names)
        }
        (Answer::NotAllowed(names), Verdict::DefaultDeny) => match origin.map(|origin| &**origin) {
            Some(Origin::DefaultDeny { policies, .. }) => {
                policies
                    .iter()
                    .map(ToString::to_string)
                    .collect::<BTreeSet<_>>()
                    == *names
            }
            _ => names.is_empty() && [RuleId::MODE_ALWAYS, RuleId::INIT].contains(&found.rule),
        },
        _ => false,
    };
    let agrees =
        agrees && (enforcing == Enforcing::Yes || *answer == Answer::Allowed(BTreeSet::new()));
    if agrees { None } else { wrong() }
}

/// The first question of a world on which engine and oracle differ. `Err` if the world is not valid.
fn first_mismatch(
    world: &World,
    questions: &[Question],
    sabotage: Sabotage,
) -> Result<Option<(usize, String)>, String> {
    let mut engine = Engine::new(world, sabotage)?;
    let parties: Vec<(SubjectId, Peer)> = questions
        .iter()
        .map(|question| {
            (
                engine.subject(&question.subject),
                engine.peer(&question.other),
            )
        })
        .collect();
    engine.compile();
    for (at, (question, (subject, peer))) in questions.iter().zip(parties).enumerate() {
        let answer = judge(world, question);
        let problem = match engine.ask(subject, peer, question) {
            Ok((_, audit, _)) if !is_audited_rightly(world, audit, &answer) => Some(format!(
                "{audit:?} where audit is {}: {answer:?}",
                world.audit
            )),
            Ok((enforcing, _, found)) => disagreement(&engine, enforcing, found, &answer),
            Err(problem) => Some(problem),
        };
        if let Some(problem) = problem {
            return Ok(Some((at, problem)));
        }
    }
    Ok(None)
}

/// Copies of a value with one child less, the larger cuts first.
fn smaller(value: &Value) -> Vec<Value> {
    let mut copies = Vec::new();
    match value {
        Value::Array(items) => {
            for at in 0..items.len() {
                let mut fewer = items.clone();
                fewer.remove(at);
                copies.push(Value::Array(fewer));
            }
            for (at, item) in items.iter().enumerate() {
                for cut in smaller(item) {
                    let mut changed = items.clone();
                    changed[at] = cut;
                    copies.push(Value::Array(changed));
                }
            }
        }
        Value::Object(members) => {
            for name in members.keys() {
                let mut fewer = members.clone();
                fewer.remove(name);
                copies.push(Value::Object(fewer));
            }
            for (name, member) in members {
                for cut in smaller(member) {
                    let mut changed = members.clone();
                    changed.insert(name.clone(), cut);
                    copies.push(Value::Object(changed));
                }
            }
        }
        _ => {}
    }
    copies
}

/// The smallest objects that still show a mismatch on a question, found greedily.
fn minimised(world: &World, question: &Question, sabotage: Sabotage) -> World {
    let mut best = world.clone();
    loop {
        let cuts = smaller(&Value::Array(best.objects.clone()));
        let better = cuts.into_iter().find_map(|cut| {
            let objects = cut.as_array().cloned().unwrap_or_default();
            let world = World {
                objects,
                ..best.clone()
            };
            let differs = first_mismatch(&world, std::slice::from_ref(question), sabotage);
            matches!(differs, Ok(Some(_))).then_some(world)
        });
        match better {
            Some(world) => best = world,
            None => return best,
        }
    }
}

fn case(seed: u64) -> (World, Vec<Question>) {
    let mut dice = Dice::new(seed);
    let world = random_world(&mut dice);
    let questions = (0..QUESTIONS_PER_WORLD)
        .map(|_| random_question(&mut dice, &world))
        .collect();
    (world, questions)
}

fn check(seed: u64, sabotage: Sabotage) -> Result<(), String> {
    let (world, questions) = case(seed);
    match first_mismatch(&world, &questions, sabotage) {
        Ok(None) => Ok(()),
        Err(problem) => Err(format!(
            "seed {seed}: the world is not valid: {problem}\n{:#?}",
            world.objects
        )),
        Ok(Some((at, problem))) => {
            let question = &questions[at];
            let small = minimised(&world, question, sabotage);
            let objects = serde_json::to_string_pretty(&small.objects).unwrap_or_default();
            Err(format!(
                "seed {seed}: {problem}\nquestion: {question:?}\nobjects, minimised: {objects}\nworld: {small:#?}"
            ))
        }
    }
}

fn cases() -> u64 {
    std::env::var("AXONEME_CASES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(100_000)
}

#[test]
fn compiled_rows_say_what_the_oracle_says() {
    let worlds = cases().div_ceil(QUESTIONS_PER_WORLD);
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= worlds {
                return Ok(());
            }
            check(seed, Sabotage::Nothing)?;
        }
    };
    let results: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    for result in results {
        result.unwrap_or_else(|problem| panic!("{problem}"));
    }
    println!(
        "figure: {} questions answered alike",
        worlds * QUESTIONS_PER_WORLD
    );
}

fn is_ordered(names: &BTreeSet<String>) -> bool {
    let mut names = names.iter();
    names.any(|name| name.starts_with("ClusterNetworkPolicy"))
}

#[test]
fn the_questions_have_every_kind_of_answer() {
    let mut counts = BTreeMap::new();
    for seed in 0..1000 {
        let (world, questions) = case(seed);
        for question in &questions {
            let kind = match judge(&world, question) {
                Answer::Denied(_) | Answer::NotAllowed(_) if world.audit => "only reported",
                Answer::Allowed(names) if names.is_empty() => "passes unasked",
                Answer::Allowed(names) if is_ordered(&names) => "allowed by an ordered rule",
                Answer::Denied(names) if is_ordered(&names) => "denied by an ordered rule",
                Answer::Allowed(_) => "allowed by a rule",
                Answer::Denied(_) => "denied by a rule",
                Answer::NotAllowed(_) => "denied by default",
            };
            *counts.entry(kind).or_insert(0) += 1;
        }
    }
    for kind in [
        "passes unasked",
        "allowed by a rule",
        "denied by a rule",
        "denied by default",
        "only reported",
        "allowed by an ordered rule",
        "denied by an ordered rule",
    ] {
        assert!(
            counts.get(kind).is_some_and(|count| *count >= 300),
            "{kind}: {counts:?}"
        );
    }
}

#[test]
fn a_wrong_engine_is_found_out() {
    for sabotage in [
        Sabotage::DenyIgnored,
        Sabotage::ExceptIgnored,
        Sabotage::NamedPortsForgotten,
        Sabotage::DefaultDenyForgotten,
        Sabotage::RangesOneShort,
        Sabotage::NobodyIsEverybody,
        Sabotage::BlocksSpareThePods,
        Sabotage::OtherProtocolsFirst,
        Sabotage::SelectorsForgetOneRequirement,
        Sabotage::TiersAreOne,
        Sabotage::PrioritiesAreOne,
        Sabotage::PassIsAllow,
        Sabotage::AuditForgotten,
    ] {
        let found = (0..3000).any(|seed| {
            let (world, questions) = case(seed);
            first_mismatch(&world, &questions, sabotage).is_ok_and(|mismatch| mismatch.is_some())
        });
        assert!(found, "{sabotage:?} goes unnoticed");
    }
}

#[test]
fn a_mismatch_is_reported_with_its_seed_and_fewer_objects() {
    let failing = (0..3000).find_map(|seed| {
        check(seed, Sabotage::DenyIgnored)
            .err()
            .map(|problem| (seed, problem))
    });
    let (seed, problem) = failing.unwrap();
    assert!(
        problem.contains(&format!("seed {seed}:")) && problem.contains("objects, minimised:"),
        "{problem}"
    );
    let (world, _) = case(seed);
    let full = serde_json::to_string_pretty(&world.objects).unwrap();
    let shown = problem
        .split("objects, minimised: ")
        .nth(1)
        .and_then(|rest| rest.split("\nworld:").next())
        .unwrap();
    assert!(shown.len() < full.len(), "{shown}");
}

#[test]
fn the_oracle_knows_the_two_languages_apart() {
    let mut dice = Dice::new(1);
    let mut world = World {
        mode: Mode::Default,
        localhost_always: false,
        default_local: false,
        ordered: Vec::new(),
        ..random_world(&mut dice)
    };
    let pod = &world.pods[0];
    let namespace = pod.namespace.clone();
    let outside: IpAddr = "1.1.1.1".parse().unwrap();
    let question = Question {
        subject: Party::Pod(0, 0),
        way: Way::In,
        other: Party::World(outside),
        protocol: 6,
        port: 80,
    };
    let metadata = serde_json::json!({"name": "p", "namespace": namespace});
    world.objects = vec![
        serde_json::json!({"kind": "NetworkPolicy", "metadata": metadata, "spec": {"podSelector": {}, "ingress": [{}]}}),
    ];
    assert!(matches!(judge(&world, &question), Answer::Allowed(names) if names.len() == 1));
    world.objects = vec![
        serde_json::json!({"kind": "CiliumNetworkPolicy", "metadata": metadata, "spec": {"endpointSelector": {}, "ingress": [{}]}}),
    ];
    assert!(matches!(judge(&world, &question), Answer::NotAllowed(names) if names.len() == 1));
}

/// Copies of a value in which one part is something else.
fn damaged(value: &Value) -> Vec<Value> {
    let strange = [
        "null",
        "7",
        "-1",
        "true",
        "\"\\u0000x\"",
        "[]",
        "[[]]",
        "{}",
        "{\"x\":1}",
    ];
    let mut copies: Vec<Value> = strange
        .iter()
        .filter_map(|text| serde_json::from_str(text).ok())
        .collect();
    match value {
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                for other in damaged(item) {
                    let mut changed = items.clone();
                    changed[at] = other;
                    copies.push(Value::Array(changed));
                }
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                for other in damaged(member) {
                    let mut changed = members.clone();
                    changed.insert(name.clone(), other);
                    copies.push(Value::Object(changed));
                }
            }
        }
        _ => {}
    }
    copies
}

#[test]
fn damaged_objects_are_refused_with_a_path_into_them() {
    let (mut refused, mut accepted) = (0, 0);
    for seed in 0..60 {
        let (world, _) = case(seed);
        for object in world
            .objects
            .iter()
            .flat_map(|object| [smaller(object), damaged(object)].concat())
        {
            let Err(error) = parse_policy(&object, &ParseOptions::default()) else {
                accepted += 1;
                continue;
            };
            refused += 1;
            let first = error.path.split(['.', '[']).next().unwrap_or_default();
            assert!(
                ["object", "kind", "metadata", "spec", "specs"].contains(&first),
                "{error}"
            );
            assert!(!error.problem.is_empty());
        }
    }
    assert!(
        refused > 1000 && accepted > 1000,
        "{refused} refused, {accepted} accepted"
    );
}
