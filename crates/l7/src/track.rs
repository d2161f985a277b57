//! All connections: samples in, records out.

mod connection;
mod shares;
#[cfg(test)]
mod tests;
mod undecided;

use std::hash::Hash;

use hashbrown::{HashMap, hash_map::Entry};

use crate::{
    classify::Protocol, conversation::Direction, dns, kafka::TopicNames, record::Record,
    stream::Sample, template::Templates,
};
use connection::{Connection, Shared};
use shares::Shares;

/// Connections that are followed; further ones are counted as over budget.
pub const CONNECTIONS: usize = 65_536;

/// Octets that all connections take together; one that would take more is not followed any further.
pub const OCTETS: usize = 64 << 20;

/// After this time without a sample a connection is forgotten: its end was missed.
pub const IDLE_NS: u64 = 3_600_000_000_000;

/// After this time without a sample a connection that is not read is forgotten: by then whoever takes samples has heard it.
pub const OPAQUE_NS: u64 = 60_000_000_000;

/// Which samples of a connection are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// All of its beginning: it is not known yet what it speaks, or it begins with all there is to say.
    Beginning,
    /// None.
    Nothing,
    /// Where a direction begins to speak after the other one.
    Heads,
    /// All segments, large ones as far as what says how long they are.
    Frames,
}

/// What the cluster knows of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origin {
    /// Whose paths these are: any number that stands for the service.
    pub service: u64,
    /// What the port's name or `appProtocol` says.
    pub hint: Option<Protocol>,
    /// The pod of this node on whose account it goes: number of its endpoint, 0 for none.
    pub pod: u16,
}

/// How much may be kept, of all pods together. Each has its share of it.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Connections.
    pub connections: usize,
    /// Octets of all connections together.
    pub octets: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS,
            octets: OCTETS,
        }
    }
}

/// What was seen, and what of it made no record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records made.
    pub records: u64,
    /// Gaps of segments that were cut or that nobody saw.
    pub gaps: u64,
    /// Octets in them.
    pub gap_octets: u64,
    /// Records of which a field that names them (method, path, topic, server's name) is unknown.
    pub unknown: u64,
    /// Times that requests and answers could not be told apart any more.
    pub doubts: u64,
    /// Messages that cannot be read.
    pub malformed: u64,
    /// Answers that came after their time-out.
    pub late: u64,
    /// Connections, questions and streams there was no room for.
    pub over_budget: u64,
    /// Connections that speak something else.
    pub other: u64,
    /// Connections whose beginning was not seen.
    pub midway: u64,
}

impl Counts {
    fn add(&mut self, more: Self) {
        self.records += more.records;
        self.gaps += more.gaps;
        self.gap_octets += more.gap_octets;
        self.unknown += more.unknown;
        self.doubts += more.doubts;
        self.malformed += more.malformed;
        self.late += more.late;
        self.over_budget += more.over_budget;
        self.other += more.other;
        self.midway += more.midway;
    }
}

/// Counts of each protocol; what is not classified yet counts as [`Protocol::Other`].
#[derive(Clone, Debug, Default)]
pub struct Totals {
    by_protocol: [Counts; 6],
}

impl Totals {
    /// Counts of a protocol.
    pub fn of(&self, protocol: Protocol) -> Counts {
        self.by_protocol[protocol as usize]
    }

    pub(crate) fn add(&mut self, protocol: Protocol, counts: Counts) {
        self.by_protocol[protocol as usize].add(counts);
    }
}

/// Follows connections. `K` says which one a sample is of.
#[derive(Debug)]
pub struct Tracker<K> {
    budget: Budget,
    connections: HashMap<K, Connection>,
    taken: Shares,
    resolvers: HashMap<K, Resolver>,
    resolving: Shares,
    shared: Shared,
}

/// Questions over UDP from one port.
#[derive(Debug)]
struct Resolver {
    questions: dns::Questions,
    pod: u16,
}

impl<K: Copy + Eq + Hash> Tracker<K> {
    /// Follows nothing yet.
    pub fn new(budget: Budget) -> Self {
        Self {
            budget,
            connections: HashMap::new(),
            taken: Shares::default(),
            resolvers: HashMap::new(),
            resolving: Shares::default(),
            shared: Shared::default(),
        }
    }

    /// Takes a sample of a TCP segment; says which ones are wanted from now on: none, if there is no room for the connection.
    /// Those of both directions have to come in the order in which they cause each other, as from one ring they do; each
    /// direction for itself may be out of order.
    pub fn segment(
        &mut self,
        key: K,
        origin: Origin,
        direction: Direction,
        sample: Sample<'_>,
        out: &mut Vec<(K, Record)>,
    ) -> Want {
        self.shared.heard_ns = self.shared.heard_ns.max(sample.time_ns);
        if sample.syn {
            let known = self.connections.get(&key);
            if known.is_some_and(|known| known.is_other(direction, sample.sequence)) {
                self.closed(key, None, out);
            }
        }
        let connection = match self.connections.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(room) => {
                if !self.taken.has_room(origin.pod, self.budget) {
                    self.shared.over_budget(Protocol::Other);
                    return Want::Nothing;
                }
                let connection = room.insert(Connection::new(origin));
                self.taken.add(origin.pod, connection.octets());
                connection
            }
        };
        let (pod, before) = (connection.pod(), connection.octets());
        let records = connection.segment(direction, sample, &mut self.shared);
        self.taken.change(pod, before, connection.octets());
        if self.taken.is_over(pod, self.budget) && connection.is_read() {
            let (protocol, kept) = (connection.protocol(), connection.octets());
            connection.drop_state();
            self.taken.change(pod, kept, connection.octets());
            self.shared.over_budget(protocol);
        }
        out.extend(records.into_iter().map(|record| (key, record)));
        connection.wants()
    }

    /// Takes a sample of a UDP datagram that is one of DNS, on the account of that pod.
    pub fn datagram(
        &mut self,
        key: K,
        pod: u16,
        direction: Direction,
        octets: &[u8],
        time_ns: u64,
        out: &mut Vec<(K, Record)>,
    ) {
        if !self.resolvers.contains_key(&key) {
            if !self.resolving.has_room(pod, self.budget) {
                self.shared.over_budget(Protocol::Dns);
                return;
            }
            self.resolving.add(pod, 0);
        }
        let resolver = self.resolvers.entry(key).or_insert_with(|| Resolver {
            questions: dns::Questions::default(),
            pod,
        });
        let (questions, pod) = (&mut resolver.questions, resolver.pod);
        let mut records = Vec::new();
        questions.message(direction, octets, time_ns, &mut records);
        let losses = std::mem::take(&mut questions.losses);
        if questions.is_idle() {
            self.resolvers.remove(&key);
            self.resolving.remove(pod, 0);
        }
        self.shared.dns(losses, records.len());
        out.extend(
            records
                .into_iter()
                .map(|dns| (key, Record::Dns(Box::new(dns)))),
        );
    }

    /// The connection was closed, or its entry has gone. `ends` are the sequence numbers behind the last octet of each
    /// direction, without FIN: only who has them can say that an answer did not come.
    pub fn closed(&mut self, key: K, ends: Option<[u32; 2]>, out: &mut Vec<(K, Record)>) {
        if let Some(mut connection) = self.connections.remove(&key) {
            self.taken.remove(connection.pod(), connection.octets());
            let records = connection.closed(ends, &mut self.shared);
            out.extend(records.into_iter().map(|record| (key, record)));
        }
        if let Some(Resolver { mut questions, pod }) = self.resolvers.remove(&key) {
            self.resolving.remove(pod, 0);
            let mut records = Vec::new();
            questions.closed(true, &mut records);
            self.shared.dns(questions.losses, records.len());
            out.extend(
                records
                    .into_iter()
                    .map(|dns| (key, Record::Dns(Box::new(dns)))),
            );
        }
    }

    /// Samples were lost, of which connections nobody knows. A stream shows by its numbers what is missing; of datagrams any may
    /// have been an answer.
    pub fn lost(&mut self) {
        self.shared.lost_ns = self.shared.heard_ns;
        for resolver in self.resolvers.values_mut() {
            resolver.questions.missed();
        }
    }

    /// What time alone brings: time-outs, gaps that nobody fills, connections whose end was missed. To be called once a
    /// second or so.
    pub fn tick(&mut self, now_ns: u64, out: &mut Vec<(K, Record)>) {
        let shared = &mut self.shared;
        let (taken, resolving) = (&mut self.taken, &mut self.resolving);
        self.connections.retain(|key, connection| {
            let idle = connection.is_idle(now_ns);
            let (pod, before) = (connection.pod(), connection.octets());
            let records = if idle {
                taken.remove(pod, before);
                connection.closed(None, shared)
            } else {
                let records = connection.tick(now_ns, shared);
                taken.change(pod, before, connection.octets());
                records
            };
            out.extend(records.into_iter().map(|record| (*key, record)));
            !idle
        });
        self.resolvers.retain(|key, Resolver { questions, pod }| {
            let mut records = Vec::new();
            questions.tick(now_ns, &mut records);
            shared.dns(std::mem::take(&mut questions.losses), records.len());
            out.extend(
                records
                    .into_iter()
                    .map(|dns| (*key, Record::Dns(Box::new(dns)))),
            );
            let idle = questions.is_idle();
            if idle {
                resolving.remove(*pod, 0);
            }
            !idle
        });
    }

    /// What is known of a connection's protocol.
    pub fn protocol(&self, key: K) -> Option<Protocol> {
        self.connections.get(&key).map(Connection::protocol)
    }

    /// Which samples of this connection are wanted, if it is followed.
    pub fn wants(&self, key: K) -> Option<Want> {
        self.connections.get(&key).map(Connection::wants)
    }

    /// Connections that are followed.
    pub fn len(&self) -> usize {
        self.connections.len() + self.resolvers.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Octets that all TCP connections take.
    pub fn octets(&self) -> usize {
        self.taken.octets()
    }

    /// What was counted since the start.
    pub fn totals(&self) -> &Totals {
        &self.shared.totals
    }

    /// Templates of the services' paths, for one that is gone.
    pub fn templates(&mut self) -> &mut Templates {
        &mut self.shared.templates
    }

    /// Names of Kafka's topics.
    pub fn topics(&mut self) -> &mut TopicNames {
        &mut self.shared.topics
    }
}

impl<K: Copy + Eq + Hash> Default for Tracker<K> {
    fn default() -> Self {
        Self::new(Budget::default())
    }
}
