//! Every component is killed at random moments while pods come and go under probers. Afterwards nothing was lost, nothing was
//! delivered that must not be, and nothing is left over.

#[path = "kills/left.rs"]
mod left;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use netlink::{Handle, NamedNamespace, link};
use serde_json::{Value, json};
use testkit::cluster::{Cluster, Node, relay_address};
use testkit::kubelet::{Pod, RunningPod, addresses_of};
use testkit::oracle::Dice;
use testkit::streams::{Stream, Told, Way};
use testkit::topology::Process;

use crate::cases::{self, eventually, only_from, within};
use crate::churn;
use crate::services::servers::PORT;
use crate::services::{FRONT, cluster_ips, service};
use crate::sockets;
use left::state;

/// What a runtime tries again for so long before it is a failure.
const PATIENCE: Duration = Duration::from_mins(2);
/// A plugin has done its work by then, most of the time.
const LONGEST_CALL_MS: usize = 25;
/// Pods that each node has at a time, beside those that stay.
const GUESTS: usize = 3;
/// After so long an address is free again that was given to an ADD which nobody finished.
const ADDRESS_EXPIRY: Duration = Duration::from_mins(11);
/// From so many kills on that is waited for.
const LONG: usize = 100;

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Component {
    Agent(usize),
    ApiServer,
    Operator,
    Relay,
    Plugin,
}

/// A plugin to kill: how long after its start. Whoever calls the next one takes it.
#[derive(Default)]
struct Order {
    // Not a table: one thread gives it and one of several takes it.
    after: Mutex<Option<Duration>>,
}

impl Order {
    fn give(&self, after: Duration) {
        *self.after.lock().unwrap_or_else(PoisonError::into_inner) = Some(after);
    }

    fn take(&self) -> Option<Duration> {
        self.after
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn is_taken(&self) -> bool {
        self.after
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_none()
    }
}

/// What one node's stand-in for a kubelet and a runtime works with.
struct Churn<'a> {
    cluster: &'a Cluster,
    node: &'a Node,
    order: &'a Order,
    stop: &'a AtomicBool,
    /// A pod of the other node that all may reach.
    open: &'a RunningPod,
    made: &'a AtomicUsize,
    halved: &'a AtomicUsize,
}

/// A pod that was added.
struct Guest {
    pod: Pod,
    container: String,
    sandbox: NamedNamespace,
}

impl Churn<'_> {
    /// Adds and deletes until told to stop; then deletes what is left.
    fn live(&self, seed: u64) -> anyhow::Result<()> {
        let (mut dice, mut guests) = (Dice::new(seed), VecDeque::new());
        let mut number = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let guest = self.add(number, &mut dice)?;
            number += 1;
            self.made.fetch_add(1, Ordering::Relaxed);
            if dice.chance(30) {
                let address = self.open.ipv4()?;
                within(PATIENCE, || {
                    sockets::tcp(&guest.sandbox, &self.open.sandbox, address)
                })
                .with_context(|| format!("{} reaches nobody", guest.pod.name))?;
            }
            guests.push_back(guest);
            if guests.len() > GUESTS {
                let oldest = guests.pop_front().context("a guest")?;
                self.delete(oldest)?;
            }
        }
        guests.into_iter().try_for_each(|guest| self.delete(guest))
    }

    /// As a runtime does: what failed is deleted, and tried again in a new sandbox.
    fn add(&self, number: usize, dice: &mut Dice) -> anyhow::Result<Guest> {
        let name = format!("g{number}-{}", self.node.machine.name());
        let pod = Pod::new("default", &name, &format!("guest{}", dice.below(5)));
        let object = pod.object(self.node.machine.name());
        within(PATIENCE, || match self.cluster.create(&object) {
            // Made by a try whose answer was lost.
            Err(error) if format!("{error:#}").contains("already exists") => Ok(()),
            done => done,
        })?;
        let end = Instant::now() + PATIENCE;
        for attempt in 0.. {
            let container = format!("{name}-{attempt}");
            let topology = self.cluster.topology.name();
            let sandbox = NamedNamespace::create(&format!("{topology}-{container}"))?;
            Handle::open_in(&sandbox)?.run(&link::set_up("lo"))?;
            let guest = Guest {
                pod: pod.clone(),
                container,
                sandbox,
            };
            let error = match self.call("ADD", &guest) {
                Ok(answer) => {
                    addresses_of(&answer)?;
                    return Ok(guest);
                }
                Err(error) => error,
            };
            self.remove(&guest)?;
            if Instant::now() > end {
                return Err(error.context("it is not added"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("as many attempts as there are numbers")
    }

    fn delete(&self, guest: Guest) -> anyhow::Result<()> {
        self.remove(&guest)?;
        drop(guest.sandbox);
        let object = guest.pod.object(self.node.machine.name());
        within(PATIENCE, || self.cluster.delete(&object))
    }

    /// A DEL is called until it succeeds.
    fn remove(&self, guest: &Guest) -> anyhow::Result<()> {
        within(PATIENCE, || self.call("DEL", guest).map(drop))
            .with_context(|| format!("{} is not deleted", guest.container))
    }

    /// Calls the plugin, or kills it in the middle if that is its turn.
    fn call(&self, verb: &str, guest: &Guest) -> anyhow::Result<Value> {
        let (kubelet, machine) = (&self.node.kubelet, &self.node.machine);
        let (container, sandbox) = (guest.container.as_str(), Some(&guest.sandbox));
        let Some(after) = self.order.take() else {
            return kubelet.plugin(machine, verb, container, sandbox, &guest.pod);
        };
        let mut child = kubelet.start_plugin(machine, verb, container, sandbox, &guest.pod)?;
        std::thread::sleep(after);
        child.kill().context("kill the plugin")?;
        let output = child.wait_with_output()?;
        ensure!(!output.status.success(), "it was too late for its killer");
        if verb == "ADD" {
            self.halved.fetch_add(1, Ordering::Relaxed);
        }
        bail!("killed after {after:?}")
    }
}

/// What is killed and started again; the store is the cluster's own.
struct Victims<'a> {
    cluster: &'a Cluster,
    operator: Option<Process>,
    relay: Option<Process>,
    killed: BTreeMap<Component, usize>,
    order: &'a Order,
}

impl Victims<'_> {
    fn start_operator(&mut self) -> anyhow::Result<()> {
        let keys = [
            ("identity-heartbeat-timeout", "2s"),
            ("leader-election-lease-duration", "3s"),
            ("leader-election-renew-deadline", "2s"),
            ("leader-election-retry-period", "1s"),
        ];
        self.operator = Some(self.cluster.start_operator(&keys)?);
        Ok(())
    }

    fn start_relay(&mut self) -> anyhow::Result<()> {
        self.relay = Some(self.cluster.start_relay()?);
        Ok(())
    }

    /// Kills one, and starts it again after a pause in which the others may meet nobody.
    fn kill(&mut self, dice: &mut Dice) -> anyhow::Result<()> {
        let component = match dice.below(100) {
            0..20 => Component::Agent(0),
            20..40 => Component::Agent(1),
            40..55 => Component::ApiServer,
            55..65 => Component::Operator,
            65..72 => Component::Relay,
            _ => Component::Plugin,
        };
        *self.killed.entry(component).or_default() += 1;
        let pause = Duration::from_millis(if dice.chance(50) {
            dice.below(400) as u64
        } else {
            0
        });
        match component {
            Component::Agent(index) => {
                let node = &self.cluster.nodes[index];
                node.kill_agent()?;
                std::thread::sleep(pause);
                node.start_agent()
            }
            Component::ApiServer => {
                self.cluster.kill_apiserver()?;
                std::thread::sleep(pause);
                self.cluster.start_apiserver()
            }
            Component::Operator => {
                self.operator = None;
                std::thread::sleep(pause);
                self.start_operator()
            }
            Component::Relay => {
                self.relay = None;
                std::thread::sleep(pause);
                self.start_relay()
            }
            Component::Plugin => {
                self.order
                    .give(Duration::from_millis(dice.below(LONGEST_CALL_MS) as u64));
                within(PATIENCE, || {
                    ensure!(self.order.is_taken(), "nobody calls a plugin");
                    Ok(())
                })
            }
        }
    }

    /// Operators end by themselves when they cannot renew their lease; a Deployment starts another.
    fn keep_operator(&mut self) -> anyhow::Result<()> {
        let ended = match &mut self.operator {
            Some(operator) => operator.ended()?.is_some(),
            None => true,
        };
        if ended { self.start_operator() } else { Ok(()) }
    }
}

/// The pods that stay.
struct Residents {
    allowed: RunningPod,
    denied: RunningPod,
    near: RunningPod,
    server: RunningPod,
    open: [RunningPod; 2],
    front: std::net::SocketAddr,
}

impl Residents {
    fn settle(cluster: &Cluster) -> Self {
        let run = |node, name| cases::run(cluster, node, name);
        let web = service(cluster, "web", "server", &json!({}));
        let front: IpAddr = *cluster_ips(&web).first().expect("an address");
        let residents = Self {
            allowed: run(0, "allowed"),
            denied: run(0, "denied"),
            near: run(1, "near"),
            server: run(1, "server"),
            open: [run(0, "open0"), run(1, "open1")],
            front: (front, FRONT).into(),
        };
        let policy = only_from("server", "allowed");
        cluster.create(&policy).expect("policy");
        let (server, address) = (&residents.server, residents.server.ipv4().expect("address"));
        eventually(|| sockets::udp(&residents.allowed.sandbox, &server.sandbox, address))
            .expect("the allowed pod gets through");
        for pod in [&residents.denied, &residents.near] {
            eventually(|| {
                let denied = sockets::udp(&pod.sandbox, &server.sandbox, address);
                ensure!(denied.is_err(), "the policy is not in force");
                Ok(())
            })
            .expect("the policy comes into force");
        }
        residents
    }

    /// One allowed directly, one through the service, two that are denied.
    fn probers(&self) -> [Stream; 4] {
        let through = |from: &RunningPod, port, service| {
            let way = Way {
                port,
                service,
                ..Way::default()
            };
            Stream::by(way, &from.sandbox, &self.server).expect("a stream")
        };
        [
            through(&self.allowed, 0, None),
            through(&self.allowed, PORT, Some(self.front)),
            through(&self.denied, 0, None),
            through(&self.near, 0, None),
        ]
    }
}

/// So many kills of components at random.
#[allow(clippy::too_many_lines, reason = "one story from its begin to its end")]
pub(crate) fn at_random(cluster: &Cluster, number: usize) {
    let seed = std::env::var("AXONEME_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(rand::random::<u64>);
    println!("AXONEME_SEED={seed} begins with the same dice");
    let residents = Residents::settle(cluster);
    let order = Order::default();
    let mut victims = Victims {
        cluster,
        operator: None,
        relay: None,
        killed: BTreeMap::new(),
        order: &order,
    };
    victims.start_operator().expect("operator");
    victims.start_relay().expect("relay");
    std::thread::sleep(Duration::from_secs(2));
    let before = state(cluster);
    let probers = residents.probers();
    let (stop, made, halved) = (
        AtomicBool::new(false),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    let begun = Instant::now();
    let churned = std::thread::scope(|scope| {
        let churners = [0, 1].map(|index| {
            let churn = Churn {
                cluster,
                node: &cluster.nodes[index],
                order: &order,
                stop: &stop,
                open: &residents.open[1 - index],
                made: &made,
                halved: &halved,
            };
            scope.spawn(move || churn.live(seed ^ (index as u64 + 1)))
        });
        let mut dice = Dice::new(seed);
        let killed = (0..number).try_for_each(|_| {
            std::thread::sleep(Duration::from_millis(dice.below(900) as u64));
            victims.keep_operator()?;
            victims.kill(&mut dice)
        });
        let ready = killed.and_then(|()| {
            let nodes = cluster.nodes.iter();
            nodes
                .map(|node| node.wait_ready(Duration::from_mins(1)))
                .collect::<Result<Vec<_>, _>>()
        });
        stop.store(true, Ordering::Relaxed);
        let ended = churners.map(|churner| churner.join().expect("churner"));
        ready
            .and(ended.into_iter().collect::<anyhow::Result<Vec<()>>>())
            .map(drop)
    });
    let took = begun.elapsed();
    let ended = probers.map(|stream| stream.finish().expect("a stream"));
    let sum = |range: std::ops::Range<usize>| {
        ended[range].iter().fold((0, 0), |sum, told: &Told| {
            (sum.0 + told.sent, sum.1 + told.arrived.len())
        })
    };
    let (allowed, denied) = (sum(0..2), sum(2..4));
    println!("{:?}", victims.killed);
    println!(
        "figure: {number} kills in {:.0} s, {} pods came and went, {} of {} allowed arrived, {} of {} denied",
        took.as_secs_f64(),
        made.load(Ordering::Relaxed),
        allowed.1,
        allowed.0,
        denied.1,
        denied.0,
    );
    churned.expect("pods come and go in spite of kills");
    for (what, told) in ["directly", "through the service"].iter().zip(&ended) {
        assert_eq!(told.missing(), Vec::<u64>::new(), "lost {what}");
    }
    assert_eq!(denied.1, 0, "delivered in spite of the policy");
    assert!(denied.0 > 1000 && made.load(Ordering::Relaxed) > number / 4);
    victims.keep_operator().expect("operator");
    eventually(|| {
        let nodes = cluster.ask(
            "nodes",
            &["hubble", "list", "nodes", "--server", &relay_address()],
        )?;
        ensure!(nodes.contains("n1") && nodes.contains("n2"), "{nodes}");
        Ok(())
    })
    .expect("the relay tells of both nodes");
    if number >= LONG {
        churn::settles(ADDRESS_EXPIRY, &before, || state(cluster));
        return;
    }
    // An address of an ADD that was killed is kept for ten minutes, for a slow plugin.
    let kept = |of: &String| of.contains(" address ") && of.contains(" of default/g");
    churn::settles(Duration::from_secs(45), &before, || {
        let now = state(cluster);
        let (late, mut rest): (BTreeSet<_>, BTreeSet<_>) = now.into_iter().partition(kept);
        if late.len() > 2 * halved.load(Ordering::Relaxed) {
            rest.extend(late);
        }
        rest
    });
}
