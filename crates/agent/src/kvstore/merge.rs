//! Tables of etcd in the form in which the agent knows them: addresses become endpoints, and while two stores are in use, what
//! one of them lacks is taken from the other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::endpoint::PodName;
use reconcile::table::{Key, Value};
use reconcile::{Changes, Revision, Table, TableWriter};
use tokio_util::sync::CancellationToken;

use super::values::AddressRow;
use crate::inputs::RemoteEndpoint;

/// Keys that changed since a revision, which becomes the present one; after a gap those of `known` are among them.
fn changed<K: Key, V: Value>(
    table: &Table<K, V>,
    since: &mut Revision,
    known: impl FnOnce() -> Vec<K>,
) -> BTreeSet<K> {
    let now = table.snapshot();
    let before = std::mem::replace(since, now.revision());
    match now.changes_since(before) {
        Changes::Since(changes) => changes.into_iter().map(|change| change.key).collect(),
        Changes::Everything => known().into_iter().chain(now.keys().cloned()).collect(),
    }
}

/// Whose address is which.
#[derive(Default)]
struct Owners {
    by_address: BTreeMap<IpAddr, PodName>,
    by_pod: BTreeMap<PodName, BTreeSet<IpAddr>>,
}

impl Owners {
    /// Takes in an address; names the pods that have others now.
    fn take(&mut self, address: IpAddr, row: Option<&AddressRow>) -> Vec<PodName> {
        let owner = row.map(|row| {
            // What is no pod is named by its address.
            row.pod.clone().unwrap_or_else(|| PodName {
                namespace: "".into(),
                name: address.to_string().as_str().into(),
            })
        });
        let mut touched = Vec::new();
        if let Some(before) = self.by_address.remove(&address) {
            if let Some(addresses) = self.by_pod.get_mut(&before) {
                addresses.remove(&address);
                if addresses.is_empty() {
                    self.by_pod.remove(&before);
                }
            }
            touched.push(before);
        }
        if let Some(owner) = owner {
            let addresses = self.by_pod.entry(owner.clone()).or_default();
            addresses.insert(address);
            self.by_address.insert(address, owner.clone());
            touched.push(owner);
        }
        touched
    }
}

/// Keeps `writer` at one row for each pod, made of the rows of its addresses, until `stop`.
pub async fn endpoints(
    addresses: Table<IpAddr, AddressRow>,
    mut writer: TableWriter<PodName, RemoteEndpoint>,
    source: &'static str,
    stop: CancellationToken,
) {
    let mut owners = Owners::default();
    let mut since = 0;
    let mut subscription = addresses.subscribe();
    while stop
        .run_until_cancelled(subscription.changed())
        .await
        .is_some()
    {
        let known = || owners.by_address.keys().copied().collect();
        let changed = changed(&addresses, &mut since, known);
        let now = addresses.snapshot();
        let mut touched = BTreeSet::new();
        for address in changed {
            touched.extend(owners.take(address, now.get(&address)));
        }
        writer.write(|batch| {
            for pod in &touched {
                let of = owners.by_pod.get(pod).into_iter().flatten();
                let rows: Vec<(IpAddr, &AddressRow)> = of
                    .filter_map(|address| Some((*address, now.get(address)?)))
                    .collect();
                match rows.first() {
                    Some((_, first)) => {
                        let row = RemoteEndpoint {
                            identity: first.identity,
                            node: first.node,
                            addresses: rows.iter().map(|(address, _)| *address).collect(),
                            named_ports: first.named_ports.as_slice().into(),
                        };
                        batch.set(pod.clone(), row);
                    }
                    None => drop(batch.remove(pod)),
                }
            }
            if now.is_initialized() {
                batch.mark_initialized(source);
            }
        });
    }
}

/// Keeps `writer` at the rows of `first`, and those of `second` whose keys `first` has not, until `stop`.
pub async fn prefer<K: Key, V: Value + Clone>(
    (first, second): (Table<K, V>, Table<K, V>),
    mut writer: TableWriter<K, V>,
    source: &'static str,
    stop: CancellationToken,
) {
    let (mut since, mut since_second) = (0, 0);
    let (mut one, mut two) = (first.subscribe(), second.subscribe());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = one.changed() => {}
            _ = two.changed() => {}
        }
        let before = writer.snapshot();
        let known = || before.keys().cloned().collect();
        let mut keys = changed(&first, &mut since, known);
        keys.extend(changed(&second, &mut since_second, known));
        let (first, second) = (first.snapshot(), second.snapshot());
        writer.write(|batch| {
            for key in keys {
                match first.get(&key).or_else(|| second.get(&key)) {
                    Some(value) => batch.set(key, value.clone()),
                    None => batch.remove(&key),
                };
            }
            if first.is_initialized() && second.is_initialized() {
                batch.mark_initialized(source);
            }
        });
    }
}

#[cfg(test)]
mod tests;
