//! What was said on an edge, while it is counted: counters of one name each, of which a bounded number is told apart.
//!
//! What one record counts for, what a span has, and what a node has are the same messages, and add up in the same way.

use std::collections::{HashMap, HashSet};

use api::hubble::answers::{
    CodeCount, DnsCounters, HttpCounters, KafkaCounters, NameCount, Row, TlsCounters,
};

use crate::sketch::merge as merge_sketch;

/// Names of one protocol that are told apart while they are counted.
const OPEN: usize = 256;
/// Names that are kept of one span, those with the most counts; the rest is one more, without a name.
const KEPT: usize = 64;
/// Codes of one kind that are told apart; the rest is -1.
const CODES: usize = 32;
/// Code of those that are too many.
pub(crate) const REST_CODE: i32 = -1;
/// Addresses that are kept of a name.
const ADDRESSES: usize = 16;
/// Groups of a topic, or protocols of a server's name, that are told apart.
const NAMES: usize = 8;
/// Path of those that are too many.
pub(crate) const REST_PATH: &str = "/*";

/// Counters of one name.
pub(crate) trait Counted: Clone + Default {
    /// What they are of.
    fn key(&self) -> String;
    /// How much they count.
    fn weight(&self) -> u64;
    /// Makes them those of what is too many to be told apart.
    fn forget_name(&mut self);
    /// Adds others, whatever they are of.
    fn merge(&mut self, of: Self);
}

/// Counters by their names.
#[derive(Clone, Default)]
struct Named<T>(HashMap<String, T>);

impl<T: Counted> Named<T> {
    fn add(&mut self, mut of: T) {
        let mut key = of.key();
        if self.0.len() >= OPEN && !self.0.contains_key(&key) {
            of.forget_name();
            key = of.key();
        }
        match self.0.get_mut(&key) {
            Some(into) => into.merge(of),
            None => {
                self.0.insert(key, of);
            }
        }
    }

    fn closed(self) -> Vec<T> {
        bounded(self.0.into_values().collect())
    }
}

/// Those with the most counts first, and the rest as one, which is the last.
fn bounded<T: Counted>(mut all: Vec<T>) -> Vec<T> {
    let mut rest = T::default();
    rest.forget_name();
    let nameless = rest.key();
    all.sort_by_cached_key(|of| {
        let key = of.key();
        (key == nameless, std::cmp::Reverse(of.weight()), key)
    });
    if all.len() > KEPT {
        for of in all.split_off(KEPT) {
            rest.merge(of);
        }
        all.push(rest);
    }
    all
}

/// All that was said on an edge.
#[derive(Clone, Default)]
pub(crate) struct Said {
    http: Named<HttpCounters>,
    dns: Named<DnsCounters>,
    kafka: Named<KafkaCounters>,
    tls: Named<TlsCounters>,
}

impl Said {
    /// Adds what a row has, which then has it no more.
    pub(crate) fn take(&mut self, row: &mut Row) {
        for of in std::mem::take(&mut row.http) {
            self.http.add(of);
        }
        for of in std::mem::take(&mut row.dns) {
            self.dns.add(of);
        }
        for of in std::mem::take(&mut row.kafka) {
            self.kafka.add(of);
        }
        for of in std::mem::take(&mut row.tls) {
            self.tls.add(of);
        }
    }

    /// Gives a row what was said.
    pub(crate) fn give(self, row: &mut Row) {
        row.http = self.http.closed();
        row.dns = self.dns.closed();
        row.kafka = self.kafka.closed();
        row.tls = self.tls.closed();
    }
}

/// The sum of counters of any names; none of none.
pub(crate) fn sum<T: Counted>(all: impl IntoIterator<Item = T>) -> Option<T> {
    all.into_iter().fold(None, |sum: Option<T>, of| {
        let mut sum = sum.unwrap_or_default();
        sum.merge(of);
        Some(sum)
    })
}

fn add(into: &mut u64, of: u64) {
    *into = into.saturating_add(of);
}

fn merge_codes(into: &mut Vec<CodeCount>, of: Vec<CodeCount>) {
    for CodeCount { code, count } in of {
        let is_known = into.iter().any(|of| of.code == code);
        let code = if is_known || into.len() < CODES {
            code
        } else {
            REST_CODE
        };
        match into.binary_search_by_key(&code, |of| of.code) {
            Ok(at) => {
                if let Some(into) = into.get_mut(at) {
                    add(&mut into.count, count);
                }
            }
            Err(at) => into.insert(at, CodeCount { code, count }),
        }
    }
}

/// Those beyond the bound are left out: each is counted elsewhere as well.
fn merge_names(into: &mut Vec<NameCount>, of: Vec<NameCount>) {
    for NameCount { name, count } in of {
        let has_room = into.len() < NAMES;
        match into.iter_mut().find(|of| of.name == name) {
            Some(into) => add(&mut into.count, count),
            None if has_room => into.push(NameCount { name, count }),
            None => {}
        }
    }
    into.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
}

/// Adds each counter of one message to that of another.
macro_rules! add_all {
    ($into:ident, $of:ident: $($field:ident)+) => { $(add(&mut $into.$field, $of.$field);)+ };
}

impl Counted for HttpCounters {
    fn key(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    fn weight(&self) -> u64 {
        self.requests
    }

    fn forget_name(&mut self) {
        self.method.clear();
        REST_PATH.clone_into(&mut self.path);
    }

    fn merge(&mut self, of: Self) {
        add_all!(self, of: requests unanswered unknown request_octets response_octets);
        merge_codes(&mut self.status, of.status);
        merge_codes(&mut self.grpc, of.grpc);
        merge_sketch(&mut self.latency, of.latency);
    }
}

impl Counted for DnsCounters {
    fn key(&self) -> String {
        format!("{} {}", self.r#type, self.name)
    }

    fn weight(&self) -> u64 {
        self.questions
    }

    fn forget_name(&mut self) {
        self.name.clear();
        self.r#type = 0;
        // Whose they would be is not known.
        self.addresses.clear();
    }

    fn merge(&mut self, of: Self) {
        add_all!(self, of: questions timeouts unanswered unknown searched repeats);
        merge_codes(&mut self.codes, of.codes);
        merge_sketch(&mut self.latency, of.latency);
        if !self.name.is_empty() && self.name == of.name {
            merge_addresses(&mut self.addresses, of.addresses);
        }
        if of.first_ns != 0 && (self.first_ns == 0 || of.first_ns < self.first_ns) {
            self.first_ns = of.first_ns;
        }
        self.last_ns = self.last_ns.max(of.last_ns);
    }
}

/// The newest are told first, and stay.
pub(crate) fn merge_addresses(into: &mut Vec<String>, of: Vec<String>) {
    let mut all = of;
    all.append(into);
    let mut seen = HashSet::new();
    all.retain(|address| seen.insert(address.clone()));
    all.truncate(ADDRESSES);
    *into = all;
}

impl Counted for KafkaCounters {
    fn key(&self) -> String {
        format!("{} {}", self.id, self.topic)
    }

    fn weight(&self) -> u64 {
        let of_records = self.produces.saturating_add(self.fetches);
        of_records.saturating_add(self.others)
    }

    fn forget_name(&mut self) {
        self.topic.clear();
        self.id.clear();
    }

    fn merge(&mut self, of: Self) {
        add_all!(self, of: produces fetches others produced_octets fetched_octets unanswered unknown);
        merge_codes(&mut self.errors, of.errors);
        merge_names(&mut self.groups, of.groups);
        merge_sketch(&mut self.produce_latency, of.produce_latency);
        merge_sketch(&mut self.fetch_latency, of.fetch_latency);
    }
}

impl Counted for TlsCounters {
    fn key(&self) -> String {
        self.server_name.clone()
    }

    fn weight(&self) -> u64 {
        self.handshakes
    }

    fn forget_name(&mut self) {
        self.server_name.clear();
    }

    fn merge(&mut self, of: Self) {
        add_all!(self, of: handshakes done unfinished unknown);
        merge_codes(&mut self.versions, of.versions);
        merge_names(&mut self.protocols, of.protocols);
        merge_codes(&mut self.client_alerts, of.client_alerts);
        merge_codes(&mut self.server_alerts, of.server_alerts);
        merge_sketch(&mut self.latency, of.latency);
    }
}

#[cfg(test)]
mod tests;
