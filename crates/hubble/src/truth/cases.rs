//! Connections of every outcome.

use std::net::SocketAddr;
use std::time::Duration;

use api::hubble::answers::{Cause, CauseKind, Counters, Direction, PolicyRef};
use datapath::abi::connection::Connection;
use datapath::abi::event::kind;
use datapath::abi::sample::{marks, mode};
use datapath::wire::tcp::flags::{ACK, SYN};
use l7::record::{DnsOutcome, Ending, Record as Said, TlsEnding};
use rand::Rng;
use rand::rngs::StdRng;

use super::talk::{Form, Talk, judgement};
use super::town::{self, CLIENTS, LOCAL, SERVERS, Server, Speaks};
use super::{Case, Step, Way, speech};
use crate::connections::{Entry, RoundTrip};
use crate::records::{Side, What};

/// The first port of clients, and how many they have.
const PORTS: (u16, u64) = (20_000, 40_000);
/// Numbers of drop reasons: by a rule, for the lack of one, and one of another kind.
const DENY_RULE: u8 = 181;
const NO_RULE: u8 = 133;
const OTHER: u8 = 140;

/// A connection that begins at a moment, and what the kernel gives of it, in order.
pub(super) fn case(
    random: &mut StdRng,
    number: u64,
    at_ns: u64,
    way: Way,
) -> (Case, Vec<(u64, Step)>) {
    let server = SERVERS[random.random_range(0..SERVERS.len())];
    let client = random.random_range(0..CLIENTS);
    let by_service = client < LOCAL && random.random_range(0..2) == 0;
    let party = town::client(client, PORTS.0 + (number % PORTS.1) as u16);
    let decided = match server.speaks {
        Speaks::Http => mode::HEADS,
        Speaks::Kafka => mode::FRAMES,
        Speaks::Tls | Speaks::Dns | Speaks::Nothing => mode::OPAQUE,
    };
    let service = SocketAddr::from((town::service_address(server), server.port));
    let mut talk = Talk::new(
        (party, town::of_server(server)),
        by_service.then_some(service),
        (town::protocol_of(server), decided),
        at_ns,
    );
    let mut case = Case {
        edge: town::edge(client, server, by_service),
        client: party,
        counters: Counters::default(),
        connect: None,
        round_trip: None,
        failure: None,
        said: Vec::new(),
        searched: 0,
        lost: 0,
    };
    match server.speaks {
        Speaks::Nothing => silent(random, &mut talk, &mut case),
        Speaks::Dns => asks(random, &mut talk, &mut case, number),
        Speaks::Http | Speaks::Kafka | Speaks::Tls => {
            speaks(random, &mut talk, &mut case, (server, number));
        }
    }
    traffic(&talk, &mut case);
    if way == Way::Losing && !case.said.is_empty() && random.random_range(0..3) == 0 {
        lose(random, &mut talk.steps, &mut case);
    }
    (case, talk.steps)
}

/// What the entry has counted in the end.
fn traffic(talk: &Talk, case: &mut Case) {
    let (sent, received) = (&talk.entry.sent, &talk.entry.received);
    let counters = &mut case.counters;
    if sent.packets == 0 {
        // There never was an entry.
        return;
    }
    counters.opened = 1;
    counters.packets_sent = sent.packets;
    counters.bytes_sent = sent.bytes;
    counters.packets_received = received.packets;
    counters.bytes_received = received.bytes;
    counters.syn_retransmits = sent.syn_retransmits.into();
    counters.retransmits_sent = talk.entry.retransmits_sent.into();
    counters.retransmits_received = talk.entry.retransmits_received.into();
    if received.packets > 0 {
        counters.answered = 1;
        case.connect = Some(Duration::from_nanos(received.first_ns - sent.first_ns));
        case.round_trip = measured(&talk.entry);
    }
}

fn measured(entry: &Connection) -> Option<RoundTrip> {
    let (client, server) = (entry.round_trip_sent, entry.round_trip_received);
    let of = if client.least_us > 0 { client } else { server };
    (of.smoothed_us > 0).then(|| RoundTrip {
        smoothed: Duration::from_micros(of.smoothed_us.into()),
        least: Duration::from_micros(of.least_us.into()),
    })
}

/// One sample of a connection does not come.
fn lose(random: &mut StdRng, steps: &mut [(u64, Step)], case: &mut Case) {
    let is_open = case.said.iter().any(is_open);
    let is_candidate = |step: &Step| match step {
        Step::Sample(sample, octets) => {
            let is_end = sample.marks & marks::CLOSED != 0;
            let is_syn = sample.tcp_flags == SYN;
            // Of what is open nobody tells before its connection is forgotten.
            !octets.is_empty() || is_syn || (is_end && !is_open)
        }
        _ => false,
    };
    // What is sent again is seen when it comes again.
    let place = |step: &Step| match step {
        Step::Sample(sample, octets) if !octets.is_empty() => {
            Some((sample.way, sample.sequence, octets.clone()))
        }
        _ => None,
    };
    let places: Vec<_> = steps.iter().filter_map(|(_, step)| place(step)).collect();
    let is_again = |step: &Step| {
        let of = place(step);
        of.is_some()
            && places
                .iter()
                .filter(|other| Some(*other) == of.as_ref())
                .count()
                > 1
    };
    let mut all: Vec<&mut Step> = steps.iter_mut().map(|(_, step)| step).collect();
    all.retain(|step| is_candidate(step) && !is_again(step));
    if all.is_empty() {
        return;
    }
    let chosen = random.random_range(0..all.len());
    if let Some(step) = all.get_mut(chosen) {
        **step = Step::Lost;
        case.lost = 1;
    }
}

/// Whether it has no answer, so that only the end of its connection tells of it.
fn is_open(said: &Said) -> bool {
    match said {
        Said::Http(of) => of.ending == Ending::Closed,
        Said::Kafka(of) => of.ending == Ending::Closed,
        Said::Tls(of) => of.ending == TlsEnding::Closed,
        Said::Dns(of) => of.outcome == DnsOutcome::Timeout,
    }
}

/// A connection on which something is said.
fn speaks(random: &mut StdRng, talk: &mut Talk, case: &mut Case, (server, number): (Server, u64)) {
    talk.connects(speech::latency(random));
    case.said = match server.speaks {
        Speaks::Kafka => speech::kafka(random, talk),
        Speaks::Tls => speech::tls(random, talk),
        _ => speech::http(random, talk, number),
    };
    let has_answer = talk.segments_of_server() > 0;
    match random.random_range(0..20) {
        0 => reset_by_client(random, talk, case),
        1 => {
            talk.resets(1);
            case.counters.reset_by_server = 1;
            case.counters.cut = u64::from(!has_answer);
            let kind = if has_answer {
                CauseKind::ResetByServer
            } else {
                CauseKind::CutByServer
            };
            fails(talk, case, kind);
            goes(random, talk);
        }
        // The end of a long answer is known by what follows it.
        2 if server.speaks != Speaks::Http && !case.said.iter().any(is_open) => {
            idles(random, talk, case);
        }
        _ => closes(random, talk, case),
    }
}

fn closes(random: &mut StdRng, talk: &mut Talk, case: &mut Case) {
    talk.closes();
    case.counters.closed = 1;
    goes(random, talk);
}

fn reset_by_client(random: &mut StdRng, talk: &mut Talk, case: &mut Case) {
    talk.resets(0);
    case.counters.reset_by_client = 1;
    fails(talk, case, CauseKind::ResetByClient);
    goes(random, talk);
}

/// Its ends forget it; somebody may look at it before its life time is over.
fn idles(random: &mut StdRng, talk: &mut Talk, case: &mut Case) {
    case.counters.idle = 1;
    if random.random_range(0..2) == 0 {
        talk.looked_at(Duration::from_millis(10_200), Entry::Stays);
        talk.looked_at(Duration::from_secs(2), Entry::Goes);
    } else {
        talk.looked_at(Duration::from_secs(12), Entry::Goes);
    }
}

/// What ended is mostly looked at at once, and then removed.
fn goes(random: &mut StdRng, talk: &mut Talk) {
    if random.random_range(0..5) > 0 {
        talk.looked_at(Duration::from_millis(12), Entry::Stays);
    }
    talk.looked_at(
        Duration::from_millis(random.random_range(500..2500)),
        Entry::Goes,
    );
}

fn fails(talk: &Talk, case: &mut Case, kind: CauseKind) {
    let cause = Cause {
        kind: kind.into(),
        // Servers are pods of this node.
        delivered: kind == CauseKind::Unanswered,
        ..Cause::default()
    };
    case.failure = Some((cause, talk.entry.sent.packets));
}

/// Questions over UDP.
fn asks(random: &mut StdRng, talk: &mut Talk, case: &mut Case, number: u64) {
    talk.opens();
    (case.said, case.searched) = speech::dns(random, talk, number as u16);
    case.counters.idle = 1;
    talk.looked_at(Duration::from_secs(8), Entry::Goes);
}

/// A connection on which nothing is said that anybody reads.
fn silent(random: &mut StdRng, talk: &mut Talk, case: &mut Case) {
    let after = speech::latency(random);
    match random.random_range(0..10) {
        0 => {
            talk.opens();
            talk.packet(0, SYN, &[]);
            talk.wait(after);
            talk.resets(1);
            case.counters.refused = 1;
            fails(talk, case, CauseKind::Refused);
            goes(random, talk);
        }
        1 | 2 => unanswered(random, talk, case),
        3 => {
            talk.opens();
            talk.packet(0, SYN, &[]);
            reset_by_client(random, talk, case);
        }
        4 => {
            talk.connects(after);
            talk.says(0, &[0; 30], Form::Plain);
            reset_by_client(random, talk, case);
        }
        5 => {
            talk.connects(after);
            talk.resets(1);
            case.counters.reset_by_server = 1;
            case.counters.cut = 1;
            fails(talk, case, CauseKind::CutByServer);
            goes(random, talk);
        }
        6 => {
            talk.connects(after);
            idles(random, talk, case);
        }
        7 | 8 => denied(random, talk, case),
        _ => {
            talk.connects(after);
            for octet in 0..6 {
                talk.says(octet % 2, &[octet; 30], Form::Plain);
            }
            closes(random, talk, case);
        }
    }
}

/// Sent again and again; the answer may come late.
fn unanswered(random: &mut StdRng, talk: &mut Talk, case: &mut Case) {
    talk.opens();
    talk.packet(0, SYN, &[]);
    for _ in 0..random.random_range(0..3) {
        talk.wait(Duration::from_secs(1));
        talk.packet(0, SYN, &[]);
        talk.looked_at(Duration::from_millis(100), Entry::Stays);
    }
    talk.looked_at(Duration::from_secs(3), Entry::Stays);
    case.counters.unanswered = 1;
    fails(talk, case, CauseKind::Unanswered);
    if random.random_range(0..2) == 0 {
        talk.packet(1, SYN | ACK, &[]);
        case.counters.late = 1;
        closes(random, talk, case);
    } else {
        talk.looked_at(Duration::from_secs(1), Entry::Goes);
    }
}

/// Attempts that are let through by nobody: each is sent up to three times.
fn denied(random: &mut StdRng, talk: &mut Talk, case: &mut Case) {
    let packets = random.random_range(1..=3);
    let (reason, cause_kind) = match random.random_range(0..3) {
        0 => (DENY_RULE, CauseKind::DeniedByRule),
        1 => (NO_RULE, CauseKind::DeniedByDefault),
        _ => (OTHER, CauseKind::Dropped),
    };
    let mut cause = Cause {
        kind: cause_kind.into(),
        direction: Direction::Ingress.into(),
        ..Cause::default()
    };
    let is_dropped = cause_kind == CauseKind::Dropped;
    if is_dropped {
        cause.drop_reason = reason.into();
        case.counters.dropped = packets;
    } else {
        cause.policies = vec![PolicyRef {
            kind: "CiliumNetworkPolicy".into(),
            namespace: "shop".into(),
            name: "gates".into(),
        }];
        case.counters.denied = 1;
    }
    for _ in 0..packets {
        if is_dropped {
            let side = Some(Side::Ingress);
            talk.told(kind::DROPPED, What::Dropped { side, reason }, reason);
        } else {
            let what = What::Denied {
                side: Side::Ingress,
                judgement: judgement(),
                reason,
            };
            talk.told(kind::DENIED, what, reason);
        }
        talk.wait(Duration::from_secs(1));
    }
    case.failure = Some((cause, packets));
}
