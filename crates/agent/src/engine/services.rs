//! Services: from objects to frontends, slots and backends, under numbers that survive a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use datapath::abi::address::Address;
use datapath::abi::service::{self as abi, FrontendKey, SlotKey, backend_state, flags};
use kernel::{MapError, Maps};
use model::endpoint::PodName;
use model::numbers::Numbers;
use model::service::{
    Algorithm, BackendAddress, BackendState, Change, ClientScope, Condition, FrontendAddress,
    FrontendKind, Protocol, Row, RowKey, Service, ServiceIds, ServiceName, ServicePort, Slice,
    SliceEndpoint, SlicePort, Snapshot, TrafficPolicy,
};
use reconcile::Changes;

use super::ServiceRow;
use crate::config::Config;
use crate::forwarding::Desired;

const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// The services of the cluster, as this node sees them.
pub struct Services {
    enabled: bool,
    snapshot: Snapshot,
    rows: BTreeMap<RowKey, Row>,
    ids: ServiceIds,
    /// One for each service that a backend is of: a client's last backend counts while it is of that service.
    backends: Numbers<(u32, BackendAddress)>,
    /// Which service each slice is of.
    slices: BTreeMap<PodName, ServiceName>,
    seen: (u64, u64),
}

impl Services {
    /// Takes over the numbers that the kernel's tables hold.
    pub fn recover(config: &Config, maps: &Maps) -> Result<Self, MapError> {
        let mut ids = ServiceIds::default();
        let frontends = maps.frontends.dump()?;
        ids.restore(
            frontends
                .iter()
                .filter_map(|(key, value)| Some((frontend_address(key)?, value.service))),
        );
        let backends = recover_backends(maps)?;
        Ok(Self {
            enabled: config.services.enabled,
            snapshot: Snapshot::new(config.node.as_str()),
            rows: BTreeMap::new(),
            ids,
            backends,
            slices: BTreeMap::new(),
            seen: (0, 0),
        })
    }

    /// Takes in what changed; says whether anything did.
    pub fn absorb(
        &mut self,
        services: &reconcile::Snapshot<PodName, api::kubernetes::Service>,
        slices: &reconcile::Snapshot<PodName, api::kubernetes::EndpointSlice>,
    ) -> bool {
        if !self.enabled {
            return false;
        }
        let mut touched = BTreeSet::new();
        for (name, value) in changes(services, self.seen.0, || self.snapshot.names()) {
            let model = value
                .and_then(|service| Self::service(&service))
                .map(Arc::new);
            touched.extend(
                self.snapshot
                    .apply(Change::Service(service_name(&name), model)),
            );
        }
        for (name, value) in changes(slices, self.seen.1, || {
            self.slices.keys().cloned().collect()
        }) {
            let of = value.as_ref().and_then(|slice| service_of(slice));
            if let Some(old) = self
                .slices
                .remove(&name)
                .filter(|old| Some(old) != of.as_ref())
            {
                touched.extend(self.snapshot.apply(Change::Slice(
                    old,
                    Arc::clone(&name.name),
                    None,
                )));
            }
            if let (Some(of), Some(slice)) = (of, value) {
                self.slices.insert(name.clone(), of.clone());
                touched.extend(self.snapshot.apply(Change::Slice(
                    of,
                    name.name,
                    Some(Arc::new(slice_of(&slice))),
                )));
            }
        }
        self.seen = (services.revision(), slices.revision());
        for key in &touched {
            self.refresh(key);
        }
        !touched.is_empty()
    }

    fn refresh(&mut self, key: &RowKey) {
        let (new, old) = (self.snapshot.row(key), self.rows.remove(key));
        let before = self.ids.get(key);
        if let Some(row) = &new
            && self.ids.assign(key, row).is_none()
        {
            tracing::error!(service = %key.service, "a service has no number and is left out");
        }
        let numbered = |service: Option<u32>, row: Option<&Row>| -> Vec<(u32, BackendAddress)> {
            let backends = row.map_or(&[][..], |row| &row.backends);
            service
                .into_iter()
                .flat_map(|service| backends.iter().map(move |b| (service, b.address)))
                .collect()
        };
        for backend in numbered(self.ids.get(key), new.as_ref()) {
            if let Err(error) = self.backends.acquire(&backend) {
                tracing::error!(service = %key.service, %error, "a backend has no number and is left out");
            }
        }
        for backend in numbered(before, old.as_ref()) {
            if self.backends.release(&backend) == model::numbers::Release::Unused
                && let Some(id) = self.backends.get(&backend)
            {
                self.backends.forget(id);
            }
        }
        if let Some(row) = new {
            self.rows.insert(key.clone(), row);
        } else {
            self.ids.release(key);
        }
    }

    /// Frees numbers that a former run gave and nobody took over.
    pub fn forget_restored(&mut self) {
        self.ids.forget_restored();
        for id in self.backends.unused() {
            self.backends.forget(id);
        }
    }

    /// All rows with their numbers.
    pub fn rows(&self) -> Vec<ServiceRow> {
        self.rows
            .iter()
            .filter_map(|(key, row)| Some((key.clone(), self.ids.get(key)?, row.clone())))
            .collect()
    }

    /// The tables of services.
    pub fn compose(&self, desired: &mut Desired) {
        let conflicts = Snapshot::conflicts(&self.rows);
        for (key, row) in &self.rows {
            let Some(service) = self.ids.get(key) else {
                continue;
            };
            let usable = row.usable();
            let mut slots = 0;
            // The usable ones are the first. The others have a row and no slot: they keep what they have.
            for (at, backend) in row.backends.iter().enumerate() {
                let Some(id) = self.backends.get(&(service, backend.address)) else {
                    continue;
                };
                desired
                    .backends
                    .insert(id, backend_row(&backend.address, backend.state));
                if at < usable.len() {
                    let slot = slots;
                    desired.slots.insert(SlotKey { service, slot }, id);
                    slots += 1;
                }
            }
            for frontend in &row.frontends {
                // The first row that claims a frontend has it.
                if conflicts
                    .get(&frontend.address)
                    .is_some_and(|keys| keys.first() != Some(key))
                {
                    continue;
                }
                let mut bits = if row.affinity_seconds.is_some() {
                    flags::AFFINITY
                } else {
                    0
                };
                if frontend.kind == FrontendKind::NodePort {
                    bits |= flags::NODEPORT;
                }
                if key.reach == model::service::Reach::ThisNode {
                    bits |= if frontend.kind == FrontendKind::ClusterIp {
                        flags::INTERNAL_LOCAL
                    } else {
                        flags::EXTERNAL_LOCAL
                    };
                }
                if row.algorithm == Algorithm::Maglev {
                    bits |= flags::MAGLEV;
                }
                let value = abi::Frontend {
                    service,
                    slots,
                    affinity_seconds: row.affinity_seconds.unwrap_or_default(),
                    flags: bits,
                    pad: 0,
                };
                desired
                    .frontends
                    .insert(frontend_key(&frontend.address), value);
            }
        }
    }

    fn service(from: &api::kubernetes::Service) -> Option<Service> {
        let addresses: Vec<IpAddr> = from
            .spec
            .cluster_ips
            .iter()
            .filter_map(|text| text.parse().ok())
            .collect();
        if addresses.is_empty() {
            return None;
        }
        let policy = |text: &str| {
            if text == "Local" {
                TrafficPolicy::Local
            } else {
                TrafficPolicy::Cluster
            }
        };
        let ports = from.spec.ports.iter().filter_map(|port| {
            Some(ServicePort {
                name: port.name.as_str().into(),
                protocol: port.protocol.parse().ok()?,
                port: port.port,
                node_port: port.node_port.filter(|port| *port != 0),
            })
        });
        Some(Service {
            cluster_ips: addresses,
            ports: ports.collect(),
            affinity_seconds: affinity(from),
            external_policy: policy(&from.spec.external_traffic_policy),
            internal_policy: policy(&from.spec.internal_traffic_policy),
            ..Service::default()
        })
    }
}

/// The numbers that the kernel holds, by the slots that name them. A client's last backend that has no slot is forgotten, because
/// its number may be given to another.
fn recover_backends(maps: &Maps) -> Result<Numbers<(u32, BackendAddress)>, MapError> {
    let mut numbers = Numbers::new(1..=u32::MAX - 1);
    let held: BTreeMap<u32, abi::Backend> = maps.backends.dump()?.into_iter().collect();
    let slots = maps.service_slots.dump()?;
    numbers.restore(slots.iter().filter_map(|(key, id)| {
        let address = backend_address(held.get(id)?)?;
        Some((*id, (key.service, address)))
    }));
    let last = maps.affinity.dump()?;
    let stale: Vec<_> = last
        .iter()
        .filter(|(_, last)| numbers.key(last.backend).is_none())
        .map(|(key, _)| *key)
        .collect();
    maps.affinity.remove_all(&stale)?;
    Ok(numbers)
}

fn affinity(from: &api::kubernetes::Service) -> Option<u32> {
    const DEFAULT_SECONDS: u32 = 10_800;
    (from.spec.session_affinity == "ClientIP").then(|| {
        let config = from.spec.session_affinity_config.as_ref();
        let seconds = config
            .and_then(|of| of.client_ip.as_ref())
            .and_then(|of| of.timeout_seconds);
        seconds.unwrap_or(DEFAULT_SECONDS)
    })
}

type Changed<V> = Vec<(PodName, Option<Arc<V>>)>;

fn changes<V: reconcile::table::Value>(
    snapshot: &reconcile::Snapshot<PodName, V>,
    since: u64,
    known: impl FnOnce() -> Vec<PodName>,
) -> Changed<V> {
    match snapshot.changes_since(since) {
        Changes::Since(changes) => changes
            .into_iter()
            .map(|change| (change.key, change.value))
            .collect(),
        Changes::Everything => {
            let keys: BTreeSet<PodName> = known()
                .into_iter()
                .chain(snapshot.keys().cloned())
                .collect();
            keys.into_iter()
                .map(|key| {
                    let value = snapshot.get_shared(&key);
                    (key, value)
                })
                .collect()
        }
    }
}

trait Names {
    fn names(&self) -> Vec<PodName>;
}

impl Names for Snapshot {
    fn names(&self) -> Vec<PodName> {
        let names: BTreeSet<ServiceName> = self.keys().into_iter().map(|key| key.service).collect();
        names
            .into_iter()
            .map(|name| PodName {
                namespace: name.namespace,
                name: name.name,
            })
            .collect()
    }
}

fn service_name(name: &PodName) -> ServiceName {
    ServiceName {
        namespace: Arc::clone(&name.namespace),
        name: Arc::clone(&name.name),
    }
}

fn service_of(slice: &api::kubernetes::EndpointSlice) -> Option<ServiceName> {
    let name = slice.metadata.labels.get(SERVICE_LABEL)?;
    Some(ServiceName {
        namespace: slice.metadata.namespace.as_str().into(),
        name: name.as_str().into(),
    })
}

fn slice_of(from: &api::kubernetes::EndpointSlice) -> Slice {
    let ports = from.ports.iter().filter_map(|port| {
        Some(SlicePort {
            name: port.name.as_str().into(),
            protocol: port.protocol.parse().ok()?,
            port: port.port?,
        })
    });
    let endpoints = from.endpoints.iter().filter_map(|endpoint| {
        let condition = &endpoint.conditions;
        Some(SliceEndpoint {
            address: endpoint.addresses.first()?.parse().ok()?,
            node: endpoint.node_name.as_deref().map(Into::into),
            condition: Condition::from_api(
                condition.ready,
                condition.serving,
                condition.terminating,
            ),
        })
    });
    Slice {
        ports: ports.collect(),
        endpoints: endpoints.collect(),
    }
}

fn frontend_key(address: &FrontendAddress) -> FrontendKey {
    FrontendKey {
        address: address.address.into(),
        port: address.port.to_be(),
        protocol: address.protocol.number(),
        scope: u8::from(address.scope == ClientScope::Inside),
    }
}

fn frontend_address(key: &FrontendKey) -> Option<FrontendAddress> {
    Some(FrontendAddress {
        address: key.address.into(),
        port: u16::from_be(key.port),
        protocol: Protocol::from_number(key.protocol)?,
        scope: if key.scope == 1 {
            ClientScope::Inside
        } else {
            ClientScope::Everybody
        },
    })
}

fn backend_row(address: &BackendAddress, state: BackendState) -> abi::Backend {
    abi::Backend {
        address: Address::from(address.address),
        port: address.port.to_be(),
        protocol: address.protocol.number(),
        state: if state == BackendState::Active {
            backend_state::ACTIVE
        } else {
            backend_state::TERMINATING
        },
    }
}

fn backend_address(backend: &abi::Backend) -> Option<BackendAddress> {
    Some(BackendAddress {
        address: backend.address.into(),
        port: u16::from_be(backend.port),
        protocol: Protocol::from_number(backend.protocol)?,
    })
}

#[cfg(test)]
mod tests;
