//! Edges with what both nodes saw of them.

use std::collections::HashMap;

use api::hubble::answers::{Edge, Party, Row, Side, Sketch};

use crate::rollup::{attempts, sum};
use crate::sketch;

/// An edge, each once: as the client's side sees it, or the server's where nobody saw the client's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair<'a> {
    /// The edge.
    pub(super) edge: &'a Edge,
    /// What that side saw.
    pub(super) own: &'a Row,
    /// What the node of who was asked saw, if it is another one.
    pub(super) other: Option<&'a Row>,
}

/// Source, destination, port and protocol: what both nodes call alike. By which service the client asked, only its node knows.
type Ends<'a> = (Option<&'a Party>, Option<&'a Party>, u32, u32);

fn ends(edge: &Edge) -> Ends<'_> {
    let (source, destination) = (edge.source.as_ref(), edge.destination.as_ref());
    (source, destination, edge.port, edge.protocol)
}

/// All edges, in no order.
pub(super) fn pairs(rows: &HashMap<Edge, Row>) -> Vec<Pair<'_>> {
    let mut pairs: Vec<Pair<'_>> = Vec::with_capacity(rows.len());
    let mut of_client: HashMap<Ends<'_>, Vec<usize>> = HashMap::new();
    let of_side = |side| rows.iter().filter(move |(edge, _)| edge.side() == side);
    for (edge, own) in of_side(Side::Client) {
        of_client.entry(ends(edge)).or_default().push(pairs.len());
        let other = None;
        pairs.push(Pair { edge, own, other });
    }
    for (edge, own) in of_side(Side::Server) {
        let known = of_client.get(&ends(edge)).map(Vec::as_slice);
        match known.and_then(|known| counterpart(&pairs, known, edge)) {
            Some(at) => {
                if let Some(pair) = pairs.get_mut(at) {
                    pair.other = Some(own);
                }
            }
            None => pairs.push(Pair {
                edge,
                own,
                other: None,
            }),
        }
    }
    pairs
}

/// The client's side of what a server's node saw: of the same service or, where that is not known, the busiest.
fn counterpart(pairs: &[Pair<'_>], known: &[usize], edge: &Edge) -> Option<usize> {
    let free = known.iter().filter_map(|at| Some((*at, pairs.get(*at)?)));
    let free = free.filter(|(_, pair)| pair.other.is_none());
    let same = free
        .clone()
        .find(|(_, pair)| pair.edge.service == edge.service);
    let busy = |pair: &Pair<'_>| {
        let counters = pair.own.counters.unwrap_or_default();
        (attempts(&counters), pair.edge.service.clone())
    };
    let busiest = || free.max_by_key(|(_, pair)| busy(pair));
    let found = same.or_else(|| edge.service.is_empty().then(busiest).flatten());
    found.map(|(at, _)| at)
}

impl<'a> Pair<'a> {
    /// Who tells what was said: the client's side or, if it saw nothing, the other; and who tells it as well.
    pub(super) fn said(&self) -> (&'a Row, Option<&'a Row>) {
        match self.other {
            Some(other) if says_nothing(self.own) => (other, None),
            other => (self.own, other.filter(|other| !says_nothing(other))),
        }
    }

    /// What the client's side measured or, if its socket is none that is seen, the other.
    fn measured(&self, of: impl Fn(&Row) -> &Option<Sketch>) -> Option<Sketch> {
        let other = || self.other.and_then(|row| of(row).clone());
        of(self.own).clone().or_else(other)
    }

    /// The edge's row, and of what was said one sum each.
    pub(super) fn summed(&self) -> Row {
        let (said, other) = self.said();
        let mut served = None;
        for of in other.into_iter().flat_map(|row| &row.http) {
            sketch::merge(&mut served, of.latency.clone());
        }
        Row {
            edge: Some(self.edge.clone()),
            http: sum(said.http.iter().cloned()).into_iter().collect(),
            dns: sum(said.dns.iter().cloned()).into_iter().collect(),
            kafka: sum(said.kafka.iter().cloned()).into_iter().collect(),
            tls: sum(said.tls.iter().cloned()).into_iter().collect(),
            served,
            number: self.own.number,
            counters: self.own.counters,
            connect: self.own.connect.clone(),
            round_trip: self.measured(|row| &row.round_trip),
            least_round_trip: self.measured(|row| &row.least_round_trip),
            failures: self.own.failures.clone(),
            outsiders: self.own.outsiders.clone(),
            first_ns: self.own.first_ns,
            last_ns: self.own.last_ns,
        }
    }
}

fn says_nothing(row: &Row) -> bool {
    row.http.is_empty() && row.dns.is_empty() && row.kafka.is_empty() && row.tls.is_empty()
}

/// What was said, and of that what has no name or no end, because it was not seen.
pub(super) fn said(pairs: &[Pair<'_>]) -> (u64, u64) {
    let (mut said, mut unknown) = (0_u64, 0_u64);
    let mut count = |all: u64, without_end: u64, is_named: bool| {
        said = said.saturating_add(all);
        unknown = unknown.saturating_add(if is_named { without_end } else { all });
    };
    for pair in pairs {
        let (row, _) = pair.said();
        for of in &row.http {
            count(of.requests, of.unknown, !of.path.is_empty());
        }
        for of in &row.dns {
            count(of.questions, of.unknown, true);
        }
        for of in &row.kafka {
            let all = of.produces + of.fetches + of.others;
            count(all, of.unknown, of.id.is_empty());
        }
        for of in &row.tls {
            count(of.handshakes, of.unknown, true);
        }
    }
    (said, unknown)
}

/// Handshakes of TLS.
pub(super) fn handshakes(pairs: &[Pair<'_>]) -> u64 {
    let all = pairs.iter().flat_map(|pair| &pair.said().0.tls);
    all.fold(0, |sum, of| sum.saturating_add(of.handshakes))
}
