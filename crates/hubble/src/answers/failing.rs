//! What fails, with one cause each: what both nodes saw of a connection is put together.

use std::collections::HashMap;

use api::hubble::answers::{
    Cause, CauseKind, Completeness, Counters, Edge, Failure, Fault, Row, Side, Tally,
};

use super::{from_ns, of_side, sentence};
use crate::rollup::{attempts, is_outside};

/// All failures, the most frequent first; alike ones in one order from answer to answer.
pub(super) fn failures(rows: &HashMap<Edge, Row>, completeness: &Completeness) -> Vec<Failure> {
    let mut failures = Vec::new();
    for (edge, own) in rows {
        let (client, server) = (of_side(edge, Side::Client), of_side(edge, Side::Server));
        let is_client = edge.side() == Side::Client;
        if is_client || !rows.contains_key(&client) {
            let other = rows.get(&server).filter(|_| is_client);
            failures.extend(of_edge(edge, own, other, completeness));
        }
    }
    failures.sort_by_cached_key(|failure| {
        let edge = format!("{:?}", failure.edge);
        (std::cmp::Reverse(failure.count), edge)
    });
    failures
}

fn of_edge(
    edge: &Edge,
    own: &Row,
    other: Option<&Row>,
    completeness: &Completeness,
) -> Vec<Failure> {
    let tallies = |row: Option<&Row>| row.map(|row| row.failures.clone()).unwrap_or_default();
    let counters = |row: Option<&Row>| row.and_then(|row| row.counters).unwrap_or_default();
    let mut all = own.failures.clone();
    let theirs = tallies(other);
    explain(&mut all, &theirs);
    // What only the other node sees: its policy, its drops, its silent pods.
    all.extend(theirs.into_iter().filter(is_of_one_node));
    let attempts = attempts_of(&counters(Some(own)), &counters(other));
    let tallies = all.into_iter().filter(|of| of.count > 0);
    tallies
        .map(|tally| failure(edge, tally, attempts, completeness))
        .collect()
}

/// Attempts of an edge: each denial is one, wherever it was made; what the client's side let out is one only there.
fn attempts_of(own: &Counters, other: &Counters) -> u64 {
    attempts(own).max(attempts(other))
}

/// Whether the other node's tally adds to what the client's node knows; what ends a connection is seen by both.
fn is_of_one_node(tally: &Tally) -> bool {
    let cause = tally.cause.clone().unwrap_or_default();
    match cause.kind() {
        CauseKind::DeniedByRule | CauseKind::DeniedByDefault | CauseKind::Dropped => true,
        CauseKind::Unanswered => cause.delivered,
        _ => false,
    }
}

/// Takes from the unanswered what the other node explains: it denied or dropped them, or handed them to a silent pod.
fn explain(own: &mut [Tally], theirs: &[Tally]) {
    let mut explained: u64 = theirs
        .iter()
        .filter(|of| is_of_one_node(of))
        .fold(0, |sum, of| sum.saturating_add(of.count));
    for tally in own {
        let cause = tally.cause.clone().unwrap_or_default();
        if cause.kind() == CauseKind::Unanswered && !cause.delivered {
            let taken = explained.min(tally.count);
            tally.count -= taken;
            explained -= taken;
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
        CauseKind::Dropped => "L3",
        _ if edge.port == 0 => "L3",
        _ => "L4",
    }
}

fn fault(edge: &Edge, cause: &Cause, completeness: &Completeness) -> Fault {
    let is_outside = edge.destination.as_ref().is_some_and(is_outside);
    match cause.kind() {
        CauseKind::DeniedByRule | CauseKind::DeniedByDefault => Fault::Policy,
        CauseKind::Refused | CauseKind::ResetByServer => Fault::Server,
        CauseKind::ResetByClient => Fault::Client,
        CauseKind::Dropped => Fault::Network,
        CauseKind::Unanswered if cause.delivered => Fault::Server,
        CauseKind::Unanswered if !is_outside && completeness.missing.is_empty() => Fault::Network,
        CauseKind::Unanswered | CauseKind::CauseUnknown => Fault::Unknown,
    }
}
