//! What fails, with one cause each: what both nodes saw of a connection is put together.

use api::hubble::answers::{
    Cause, CauseKind, Completeness, Counters, Edge, Failure, Fault, Row, Tally,
};

use super::pairs::Pair;
use super::{from_ns, sentence, words};
use crate::rollup::{attempts, is_outside, is_said};

/// All failures, the most frequent first; alike ones in one order from answer to answer.
pub(super) fn failures(pairs: &[Pair<'_>], completeness: &Completeness) -> Vec<Failure> {
    let mut failures: Vec<Failure> = pairs
        .iter()
        .flat_map(|pair| {
            let mut all = of_connections(pair, completeness);
            all.extend(of_said(pair, completeness));
            all
        })
        .collect();
    failures.sort_by_cached_key(|failure| {
        let edge = format!("{:?}{:?}", failure.edge, failure.cause);
        (std::cmp::Reverse(failure.count), edge)
    });
    failures
}

/// Whether it is how many programs end connections, after both sides had spoken.
pub(super) fn is_end(failure: &Failure) -> bool {
    let kind = failure.cause.as_ref().map(Cause::kind);
    matches!(
        kind,
        Some(CauseKind::ResetByClient | CauseKind::ResetByServer)
    )
}

fn of_connections(pair: &Pair<'_>, completeness: &Completeness) -> Vec<Failure> {
    let tallies = |row: Option<&Row>| -> Vec<Tally> {
        let all = row.iter().flat_map(|row| &row.failures);
        all.filter(|of| !is_of_said(of)).cloned().collect()
    };
    let counters = |row: Option<&Row>| row.and_then(|row| row.counters).unwrap_or_default();
    let mut all = tallies(Some(pair.own));
    let mut theirs = tallies(pair.other);
    explain(&mut all, &mut theirs);
    // What only the other node sees: its policy, its drops, its silent pods.
    all.extend(theirs.into_iter().filter(is_of_one_node));
    let attempts = attempts_of(&counters(Some(pair.own)), &counters(pair.other));
    let tallies = all.into_iter().filter(|of| of.count > 0);
    tallies
        .map(|tally| failure(pair.edge, tally, attempts, completeness))
        .collect()
}

/// What fails of what was said, as the side tells it that is believed.
fn of_said(pair: &Pair<'_>, completeness: &Completeness) -> Vec<Failure> {
    let (row, _) = pair.said();
    let tallies = row.failures.iter().filter(|of| is_of_said(of));
    tallies
        .filter(|of| of.count > of.excused)
        .map(|of| {
            let tally = Tally {
                count: of.count - of.excused,
                ..of.clone()
            };
            let attempts = said_like(row, &tally.cause.clone().unwrap_or_default());
            failure(pair.edge, tally, attempts, completeness)
        })
        .collect()
}

fn is_of_said(tally: &Tally) -> bool {
    tally.cause.as_ref().is_some_and(is_said)
}

/// How often was said what failed for this cause: of its name or, where it has none, of its protocol.
fn said_like(row: &Row, cause: &Cause) -> u64 {
    let http = row.http.iter().map(|of| {
        let name = format!("{} {}", of.method, of.path);
        (name.trim().to_owned(), of.requests)
    });
    let dns = row.dns.iter().map(|of| (of.name.clone(), of.questions));
    let kafka = row.kafka.iter().map(|of| {
        let name = if of.topic.is_empty() {
            &of.id
        } else {
            &of.topic
        };
        (name.clone(), of.produces + of.fetches + of.others)
    });
    let tls = row
        .tls
        .iter()
        .map(|of| (of.server_name.clone(), of.handshakes));
    let all: Vec<(String, u64)> = match cause.kind() {
        CauseKind::HttpError | CauseKind::GrpcError => http.collect(),
        CauseKind::DnsTimeout | CauseKind::DnsError | CauseKind::DnsNoSuchName => dns.collect(),
        CauseKind::KafkaError => kafka.collect(),
        CauseKind::TlsAlertByClient | CauseKind::TlsAlertByServer | CauseKind::TlsUnfinished => {
            tls.collect()
        }
        _ => http.chain(dns).chain(kafka).collect(),
    };
    let sum = |is_chosen: &dyn Fn(&str) -> bool| {
        let chosen = all.iter().filter(|(name, _)| is_chosen(name));
        chosen.fold(0_u64, |sum, (_, count)| sum.saturating_add(*count))
    };
    match sum(&|name| name == cause.name) {
        0 => sum(&|_| true),
        of_name => of_name,
    }
}

/// Attempts of an edge: each denial is one, wherever it was made; what the client's side let out is one only there.
fn attempts_of(own: &Counters, other: &Counters) -> u64 {
    attempts(own).max(attempts(other))
}

/// Whether the other node's tally adds to what the client's node knows; what ends a connection is seen by both.
fn is_of_one_node(tally: &Tally) -> bool {
    let cause = tally.cause.clone().unwrap_or_default();
    match cause.kind() {
        CauseKind::StalledAtServer => cause.delivered,
        // What was lost on its way to the client.
        CauseKind::StalledAtClient => !cause.delivered,
        _ => explains_silence(&cause),
    }
}

/// Whether the server's node knows by it why the client had no answer.
fn explains_silence(cause: &Cause) -> bool {
    match cause.kind() {
        CauseKind::DeniedByRule | CauseKind::DeniedByDefault | CauseKind::Dropped => true,
        CauseKind::Unanswered => cause.delivered,
        _ => false,
    }
}

/// Takes from the unanswered what the other node explains: it denied or dropped them, or handed them to a silent pod; and in the same
/// way from what stalled at either end what reached its pod.
fn explain(own: &mut [Tally], theirs: &mut [Tally]) {
    let reached = |kind: CauseKind| move |of: &Cause| of.kind() == kind && of.delivered;
    take(own, CauseKind::Unanswered, count(theirs, explains_silence));
    let at_server = count(theirs, reached(CauseKind::StalledAtServer));
    take(own, CauseKind::StalledAtServer, at_server);
    let at_client = count(own, reached(CauseKind::StalledAtClient));
    take(theirs, CauseKind::StalledAtClient, at_client);
}

fn count(tallies: &[Tally], is_meant: impl Fn(&Cause) -> bool) -> u64 {
    let meant = tallies
        .iter()
        .filter(|of| of.cause.as_ref().is_some_and(&is_meant));
    meant.fold(0, |sum, of| sum.saturating_add(of.count))
}

/// Takes so many from those that were not delivered.
fn take(tallies: &mut [Tally], kind: CauseKind, mut count: u64) {
    for tally in tallies {
        let cause = tally.cause.as_ref();
        if cause.is_some_and(|of| of.kind() == kind && !of.delivered) {
            let taken = count.min(tally.count);
            tally.count -= taken;
            count -= taken;
        }
    }
}

fn failure(edge: &Edge, tally: Tally, attempts: u64, completeness: &Completeness) -> Failure {
    let cause = tally.cause.unwrap_or_default();
    Failure {
        layer: layer(edge, &cause).into(),
        fault: fault(edge, &cause, completeness).into(),
        sentence: sentence::sentence(edge, &cause, completeness),
        edge: Some(edge.clone()),
        cause: Some(cause),
        count: tally.count,
        attempts: attempts.max(tally.count),
        packets: tally.packets,
        first: from_ns(tally.first_ns),
        last: from_ns(tally.last_ns),
        samples: tally.samples,
    }
}

fn layer(edge: &Edge, cause: &Cause) -> &'static str {
    match cause.kind() {
        _ if is_said(cause) => "L7",
        CauseKind::Dropped => "L3",
        _ if edge.port == 0 => "L3",
        _ => "L4",
    }
}

fn fault(edge: &Edge, cause: &Cause, completeness: &Completeness) -> Fault {
    let far = match cause.kind() {
        CauseKind::StalledAtClient => &edge.source,
        _ => &edge.destination,
    };
    let is_outside = far.as_ref().is_some_and(is_outside);
    let is_known = !is_outside && completeness.missing.is_empty();
    match cause.kind() {
        CauseKind::DeniedByRule | CauseKind::DeniedByDefault => Fault::Policy,
        CauseKind::Refused
        | CauseKind::ResetByServer
        | CauseKind::CutByServer
        | CauseKind::FullAtServer
        | CauseKind::UnclosedAtServer
        | CauseKind::HttpError
        | CauseKind::GrpcError
        | CauseKind::Overdue => Fault::Server,
        // Who asks for what does not exist, or does not read.
        CauseKind::ResetByClient | CauseKind::FullAtClient | CauseKind::DnsNoSuchName => {
            Fault::Client
        }
        CauseKind::Dropped => Fault::Network,
        CauseKind::Unanswered | CauseKind::StalledAtServer if cause.delivered => Fault::Server,
        CauseKind::StalledAtClient if cause.delivered => Fault::Client,
        CauseKind::Unanswered | CauseKind::StalledAtServer | CauseKind::StalledAtClient
            if is_known =>
        {
            Fault::Network
        }
        CauseKind::DnsTimeout | CauseKind::DnsError => Fault::Dns,
        CauseKind::KafkaError => words::kafka_fault(cause.code),
        CauseKind::TlsAlertByClient | CauseKind::TlsAlertByServer => words::tls_fault(cause),
        CauseKind::Unanswered
        | CauseKind::StalledAtServer
        | CauseKind::StalledAtClient
        | CauseKind::NoAnswer
        | CauseKind::TlsUnfinished
        | CauseKind::CauseUnknown => Fault::Unknown,
    }
}
