//! All connections: samples in, records out.

mod connection;
#[cfg(test)]
mod tests;
mod undecided;

use std::{collections::HashMap, hash::Hash};

use crate::{
    classify::Protocol, conversation::Direction, dns, kafka::TopicNames, record::Record,
    stream::Sample, template::Templates,
};
use connection::{Connection, Shared};

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
}

/// How much may be kept.
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
    resolvers: HashMap<K, dns::Questions>,
    octets: usize,
    shared: Shared,
}

impl<K: Copy + Eq + Hash> Tracker<K> {
    /// Follows nothing yet.
    pub fn new(budget: Budget) -> Self {
        Self {
            budget,
            connections: HashMap::new(),
            resolvers: HashMap::new(),
            octets: 0,
            shared: Shared::default(),
        }
    }

    /// Takes a sample of a TCP segment. Those of both directions have to come in the order in which they cause each other,
    /// as from one ring they do; each direction for itself may be out of order.
    pub fn segment(
        &mut self,
        key: K,
        origin: Origin,
        direction: Direction,
        sample: Sample<'_>,
        out: &mut Vec<(K, Record)>,
    ) {
        let known = self.connections.get(&key);
        let other =
            sample.syn && known.is_some_and(|known| known.is_other(direction, sample.sequence));
        if other {
            self.closed(key, None, out);
        }
        let new = !self.connections.contains_key(&key);
        let full =
            self.connections.len() >= self.budget.connections || self.octets >= self.budget.octets;
        if new && full {
            self.over_budget(Protocol::Other);
            return;
        }
        let connection = self
            .connections
            .entry(key)
            .or_insert_with(|| Connection::new(origin));
        let before = if new { 0 } else { connection.octets() };
        let records = connection.segment(direction, sample, &mut self.shared);
        self.octets = self.octets + connection.octets() - before;
        if self.octets > self.budget.octets {
            let protocol = connection.protocol();
            let kept = connection.octets();
            connection.drop_state();
            self.octets = self.octets + connection.octets() - kept;
            self.over_budget(protocol);
        }
        out.extend(records.into_iter().map(|record| (key, record)));
    }

    /// Takes a sample of a UDP datagram that is one of DNS.
    pub fn datagram(
        &mut self,
        key: K,
        direction: Direction,
        octets: &[u8],
        time_ns: u64,
        out: &mut Vec<(K, Record)>,
    ) {
        let full = self.resolvers.len() >= self.budget.connections;
        if full && !self.resolvers.contains_key(&key) {
            self.over_budget(Protocol::Dns);
            return;
        }
        let questions = self.resolvers.entry(key).or_default();
        let mut records = Vec::new();
        questions.message(direction, octets, time_ns, &mut records);
        let losses = std::mem::take(&mut questions.losses);
        if questions.is_idle() {
            self.resolvers.remove(&key);
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
            self.octets -= connection.octets();
            let records = connection.closed(ends, &mut self.shared);
            out.extend(records.into_iter().map(|record| (key, record)));
        }
        if let Some(mut questions) = self.resolvers.remove(&key) {
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
        self.resolvers.values_mut().for_each(dns::Questions::missed);
    }

    /// What time alone brings: time-outs, gaps that nobody fills, connections whose end was missed. To be called once a
    /// second or so.
    pub fn tick(&mut self, now_ns: u64, out: &mut Vec<(K, Record)>) {
        let shared = &mut self.shared;
        let mut octets = 0;
        self.connections.retain(|key, connection| {
            let idle = connection.is_idle(now_ns);
            let records = if idle {
                connection.closed(None, shared)
            } else {
                let records = connection.tick(now_ns, shared);
                octets += connection.octets();
                records
            };
            out.extend(records.into_iter().map(|record| (*key, record)));
            !idle
        });
        self.octets = octets;
        self.resolvers.retain(|key, questions| {
            let mut records = Vec::new();
            questions.tick(now_ns, &mut records);
            shared.dns(std::mem::take(&mut questions.losses), records.len());
            out.extend(
                records
                    .into_iter()
                    .map(|dns| (*key, Record::Dns(Box::new(dns)))),
            );
            !questions.is_idle()
        });
    }

    /// What is known of a connection's protocol.
    pub fn protocol(&self, key: K) -> Option<Protocol> {
        self.connections.get(&key).map(Connection::protocol)
    }

    /// Which samples of this connection are wanted from now on: none, if there is no room for it.
    pub fn wants(&self, key: K) -> Want {
        self.connections
            .get(&key)
            .map_or(Want::Nothing, Connection::wants)
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
        self.octets
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

    fn over_budget(&mut self, protocol: Protocol) {
        self.shared.totals.add(
            protocol,
            Counts {
                over_budget: 1,
                ..Counts::default()
            },
        );
    }
}

impl<K: Copy + Eq + Hash> Default for Tracker<K> {
    fn default() -> Self {
        Self::new(Budget::default())
    }
}
