//! What this node keeps in etcd: itself, the addresses of its pods, and which identities it uses.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use model::endpoint::EndpointRow;
use model::identity::{Identity, Reserved, to_key};
use reconcile::TableWriter;
use store::etcd::{Own, layout};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::values;
use crate::addresses::Addresses;
use crate::view::ViewReader;

/// An identity that was asked for is kept so long for an endpoint that is not there yet.
const HOLD: Duration = Duration::from_mins(5);

/// Identities that were asked for and may not be used by an endpoint yet.
#[derive(Clone, Debug)]
pub struct Holds {
    // A table would not do: whoever asks writes, and they are many.
    held: Arc<Mutex<BTreeMap<String, (Identity, Instant)>>>,
    changed: Arc<watch::Sender<()>>,
    time: Duration,
}

impl Default for Holds {
    fn default() -> Self {
        Self::lasting(HOLD)
    }
}

impl Holds {
    fn lasting(time: Duration) -> Self {
        Self {
            held: Arc::default(),
            changed: Arc::new(watch::Sender::new(())),
            time,
        }
    }

    /// Keeps an identity for a while.
    pub fn hold(&self, labels: &str, identity: Identity) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert(labels.to_owned(), (identity, Instant::now() + self.time));
        drop(held);
        self.changed.send_replace(());
    }

    /// Keeps an identity for longer if it is kept; says whether it is.
    pub fn keep(&self, labels: &str, identity: Identity) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let Some((_, until)) = held
            .get_mut(labels)
            .filter(|(of, until)| *of == identity && *until > now)
        else {
            return false;
        };
        *until = now + self.time;
        true
    }

    /// What is kept now, and until when the first of it is.
    fn now(&self) -> (BTreeMap<String, Identity>, Option<Instant>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        held.retain(|_, (_, until)| *until > now);
        let next = held.values().map(|(_, until)| *until).min();
        let rows = held
            .iter()
            .map(|(labels, (identity, _))| (labels.clone(), *identity));
        (rows.collect(), next)
    }
}

/// How this node is named in etcd.
#[derive(Clone)]
pub struct Name {
    /// Name of the node.
    pub node: String,
    /// Its address.
    pub address: IpAddr,
    /// Its ranges.
    pub addresses: Addresses,
    /// Its key, and what that holds.
    pub own: (String, values::OwnNode),
    /// The numbers that are allocated; others need no keys.
    pub numbers: std::ops::RangeInclusive<u32>,
}

/// Keeps the table at what is to be in etcd, until `stop`.
pub async fn follow(
    mut view: ViewReader,
    holds: Holds,
    name: Name,
    mut writer: TableWriter<Arc<str>, Own>,
    stop: CancellationToken,
) {
    let mut changed = holds.changed.subscribe();
    let mut ranges_changed = name.addresses.changes();
    let mut last = None;
    loop {
        let now = view.get();
        let (held, next) = holds.now();
        // Endpoints are restored before anything is published, so any state that was published is complete.
        if now.revision > 0 || now.waiting_for.is_empty() {
            let endpoints: Vec<EndpointRow> = now.endpoints.iter().map(without_revision).collect();
            let wanted = Some((endpoints, held, name.addresses.ranges()));
            if last != wanted
                && let Some((endpoints, held, ranges)) = &wanted
            {
                writer.replace(rows(endpoints, held, ranges, &name));
                writer.mark_initialized("endpoints");
                last = wanted;
            }
        }
        let next = next.unwrap_or_else(|| Instant::now() + HOLD);
        tokio::select! {
            () = stop.cancelled() => return,
            more = view.changed() => if !more { return },
            _ = changed.changed() => {}
            _ = ranges_changed.changed() => {}
            () = tokio::time::sleep_until(next) => {}
        }
    }
}

/// What every change of a policy changes is not in etcd.
fn without_revision(row: &EndpointRow) -> EndpointRow {
    EndpointRow {
        policy_revision: 0,
        ..row.clone()
    }
}

fn rows(
    endpoints: &[EndpointRow],
    held: &BTreeMap<String, Identity>,
    ranges: &[IpNet],
    name: &Name,
) -> BTreeMap<Arc<str>, Own> {
    let mut rows = BTreeMap::new();
    let of_health = |row: &&EndpointRow| row.identity == Some(Reserved::Health.id());
    let health = endpoints.iter().find(of_health).map(|row| row.ips);
    let own = name.own.1.value(health.unwrap_or_default(), ranges);
    rows.insert(name.own.0.as_str().into(), Own::Leased(own));
    let used = endpoints
        .iter()
        .filter_map(|row| Some((to_key(&row.labels), row.identity?)));
    let held = held
        .iter()
        .map(|(labels, identity)| (labels.clone(), *identity));
    // What an endpoint has counts more than what was asked for.
    let identities = held
        .chain(used)
        .filter(|(_, id)| name.numbers.contains(&id.0));
    for (labels, Identity(number)) in identities {
        let usage = layout::usage(&labels, &name.address.to_string());
        rows.insert(usage.as_str().into(), Own::Leased(number.to_string()));
        let master = layout::identity(number);
        rows.insert(master.as_str().into(), Own::Protected(labels));
    }
    for row in endpoints.iter().filter(|row| row.pod.is_some()) {
        for (ip, value) in values::addresses(row, &name.node, name.address) {
            rows.insert(layout::address(ip).as_str().into(), Own::Leased(value));
        }
    }
    rows
}

#[cfg(test)]
mod tests;
