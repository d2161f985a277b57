//! From records with names to counts: what begins, what becomes of it, what is denied or dropped.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use api::hubble::answers::{Cause, CauseKind, Direction, PolicyRef, Sample};
use datapath::abi::connection::{Connection, ConnectionKey};
use hashbrown::HashMap;
use l7::record::{Dns, DnsOutcome};

use crate::connections::{Change, Entry, Follower};
use crate::edges::edge;
use crate::enrich::Enriched;
use crate::names::{EndpointNames, PolicyOrigin};
use crate::records::{Party, Point, Record, Side, What, protocol};
use crate::rollup::{Counted, Rollup};
use crate::spoken::counters::{self, NO_SUCH_NAME};
use crate::spoken::search::{Missing, Searches};

/// Number of the drop reason of a deny rule.
const DENY_RULE: u8 = 181;
/// A SYN that is sent again belongs to the same attempt for so long.
const ATTEMPT_NS: u64 = 60_000_000_000;
/// Attempts that are remembered; when there are more, the oldest are not.
const ATTEMPTS: usize = 16_384;

/// Counts what the data plane says.
pub struct Recorder {
    rollup: Rollup,
    // All are written by the readers of the rings and of the connections, and read by nobody else.
    follower: Mutex<Follower>,
    attempts: Mutex<Attempts>,
    searches: Mutex<Searches>,
}

impl Recorder {
    /// A recorder that begins at `now_ns`, monotonic nanoseconds.
    pub fn new(rollup: Rollup, now_ns: u64) -> Self {
        Self {
            rollup,
            follower: Mutex::new(Follower::new(now_ns)),
            attempts: Mutex::new(Attempts::default()),
            searches: Mutex::new(Searches::default()),
        }
    }

    /// What it has counted.
    pub const fn rollup(&self) -> &Rollup {
        &self.rollup
    }

    /// What is new of a connection, see [`Follower::look`].
    pub fn look(
        &self,
        key: &ConnectionKey,
        connection: &Connection,
        now_ns: u64,
        entry: Entry,
    ) -> Option<Change> {
        let mut follower = self.follower.lock().unwrap_or_else(PoisonError::into_inner);
        follower.look(key, connection, now_ns, entry)
    }

    /// Counts a record that tells of one packet.
    pub fn record(&self, enriched: &Enriched) {
        let record = &enriched.record;
        if is_nobodys(record) {
            return;
        }
        let counted = match record.what {
            What::New { point, .. } => Counted::Opened {
                from: record.source.address,
                led_on: is_led_on(record, point),
            },
            What::Closed { .. } => return,
            What::Denied { side, reason, .. } => {
                let cause = denied(enriched, side, reason);
                Counted::Lost(cause, self.is_new(record), sample(enriched))
            }
            What::Dropped { side, reason } => {
                let cause = Cause {
                    kind: CauseKind::Dropped.into(),
                    direction: side.map_or(Direction::Unknown, direction).into(),
                    drop_reason: reason.into(),
                    ..Cause::default()
                };
                Counted::Lost(cause, self.is_new(record), sample(enriched))
            }
        };
        self.rollup.count(enriched, counted, record.time_ns);
    }

    /// Counts what became of the connection of a record.
    pub fn changed(&self, enriched: &Enriched, change: Change) {
        let evidence = change.is_failure().then(|| sample(enriched));
        let time_ns = enriched.record.time_ns;
        let counted = Counted::Changed(change, evidence);
        self.rollup.count(enriched, counted, time_ns);
    }

    /// Counts what was said on a connection.
    pub fn said(&self, enriched: &Enriched, said: &l7::record::Record) {
        if is_nobodys(&enriched.record) {
            return;
        }
        let now_ns = enriched.record.time_ns;
        let row = counters::row(said, || sample(enriched), now_ns);
        let counted = Counted::Said(Box::new(row));
        self.rollup.count(enriched, counted, now_ns);
        if let l7::record::Record::Dns(dns) = said {
            self.searched(enriched, dns);
        }
    }

    /// Takes back failures that an answer shows to be none.
    fn searched(&self, enriched: &Enriched, dns: &Dns) {
        let (client, now_ns) = (enriched.record.source.address, enriched.record.time_ns);
        let mut searches = self.searches.lock().unwrap_or_else(PoisonError::into_inner);
        let excused = match dns.outcome {
            DnsOutcome::Code(0) => searches.exists(client, &dns.qname, now_ns),
            DnsOutcome::Code(NO_SUCH_NAME) => {
                let missing = Missing {
                    edge: Arc::new(edge(enriched)),
                    qname: dns.qname.clone(),
                    qtype: dns.qtype,
                };
                searches.missing(client, missing, now_ns)
            }
            _ => return,
        };
        drop(searches);
        for Missing { edge, qname, qtype } in excused {
            let row = counters::excuse(&qname, qtype, now_ns);
            let counted = Counted::Said(Box::new(row));
            self.rollup.count(&*edge, counted, now_ns);
        }
    }

    /// Whether no packet of the same attempt was seen before.
    fn is_new(&self, record: &Record) -> bool {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.is_new(record)
    }
}

/// Whether a service led it on to another node with native routing: it goes there with this node's address.
const fn is_led_on(record: &Record, point: Point) -> bool {
    record.asked.is_some()
        && record.source.endpoint == 0
        && record.destination.endpoint == 0
        && matches!(point, Point::ToNetwork | Point::ToStack)
}

/// What stacks tell their link (solicitations, reports of groups) is nobody's talk, and what has no addresses has no ends.
pub(crate) const fn is_nobodys(record: &Record) -> bool {
    let (from, to) = (record.source.address, record.destination.address);
    if from.is_unspecified() || to.is_unspecified() {
        return true;
    }
    match (from, to) {
        (IpAddr::V6(from), to) => from.is_unicast_link_local() || to.is_multicast(),
        (IpAddr::V4(from), to) => from.is_link_local() || to.is_multicast(),
    }
}

fn denied(enriched: &Enriched, side: Side, reason: u8) -> Cause {
    let (kind, policies) = (
        if reason == DENY_RULE {
            CauseKind::DeniedByRule
        } else {
            CauseKind::DeniedByDefault
        },
        match side {
            Side::Ingress => &enriched.ingress_policies,
            Side::Egress => &enriched.egress_policies,
        },
    );
    Cause {
        kind: kind.into(),
        direction: direction(side).into(),
        policies: policies.iter().map(|origin| policy(origin)).collect(),
        ..Cause::default()
    }
}

const fn direction(side: Side) -> Direction {
    match side {
        Side::Ingress => Direction::Ingress,
        Side::Egress => Direction::Egress,
    }
}

fn policy(origin: &PolicyOrigin) -> PolicyRef {
    PolicyRef {
        kind: origin.kind.to_string(),
        namespace: origin.namespace.to_string(),
        name: origin.name.to_string(),
    }
}

fn sample(enriched: &Enriched) -> Sample {
    let record = &enriched.record;
    let address = |of: &Party| match of.port {
        0 => of.address.to_string(),
        port => SocketAddr::new(of.address, port).to_string(),
    };
    let pod = |names: Option<&EndpointNames>| {
        names
            .filter(|names| !names.pod_name.is_empty())
            .map(|names| format!("{}/{}", names.namespace, names.pod_name))
            .unwrap_or_default()
    };
    Sample {
        time_ns: record.time_ns,
        source_pod: pod(enriched.source.as_deref()),
        source: address(&record.source),
        destination_pod: pod(enriched.destination.as_deref()),
        destination: address(&record.destination),
    }
}

/// Attempts of late, so that a SYN that is sent again is not another one.
#[derive(Default)]
struct Attempts {
    /// Two halves: the older is forgotten when the newer is full.
    halves: [HashMap<(SocketAddr, SocketAddr, u8), u64>; 2],
}

impl Attempts {
    fn is_new(&mut self, record: &Record) -> bool {
        let key = (
            SocketAddr::new(record.source.address, record.source.port),
            SocketAddr::new(record.destination.address, record.destination.port),
            record.protocol,
        );
        let [newer, older] = &mut self.halves;
        let before = newer.get(&key).or_else(|| older.get(&key)).copied();
        if newer.len() >= ATTEMPTS / 2 {
            *older = std::mem::take(newer);
        }
        newer.insert(key, record.time_ns);
        let lasts = match record.protocol {
            protocol::TCP => ATTEMPT_NS,
            // What has no connection is asked anew when it is sent anew, but for a burst.
            _ => ATTEMPT_NS / 60,
        };
        before.is_none_or(|before| record.time_ns.saturating_sub(before) > lasts)
    }
}

#[cfg(test)]
mod tests;
