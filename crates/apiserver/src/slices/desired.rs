//! Which slices a service should have, as a plan against those it has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use api::kubernetes::{
    Container, Endpoint, EndpointConditions, EndpointPort, EndpointSlice, IntOrString,
    ObjectReference, OwnerReference, Pod, Service,
};

use crate::object;

/// Label that names the service.
pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Label that says who keeps the slice.
pub(super) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// Value of that label for slices kept here; the name the controller has in a cluster.
pub(super) const OURS: &str = "endpointslice-controller.k8s.io";
/// Mark of slices of headless services.
const HEADLESS: &str = "service.kubernetes.io/headless";
/// Most endpoints in a slice.
const MOST: usize = 100;

/// Endpoints of one family that serve the same ports share slices.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group {
    family: String,
    ports: Vec<(String, String, Option<u16>, Option<String>)>,
}

/// Changes that make the slices what they should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// To be created or replaced.
    pub(super) write: Vec<EndpointSlice>,
    /// Names to be removed.
    pub(super) remove: Vec<String>,
}

/// Whether slices of the service are kept here.
pub(super) fn is_kept(service: &Service) -> bool {
    !service.spec.selector.is_empty() && service.spec.service_type != "ExternalName"
}

/// Whether the pod is one the service selects.
pub(super) fn selects(service: &Service, pod: &Pod) -> bool {
    service
        .spec
        .selector
        .iter()
        .all(|(key, value)| pod.metadata.labels.get(key) == Some(value))
}

/// Endpoints by group and pod name. A group without pods stands for each family, so that "no endpoints" is stated.
pub(super) fn endpoints<'a>(
    service: &Service,
    pods: impl Iterator<Item = &'a Pod>,
) -> BTreeMap<Group, BTreeMap<String, Endpoint>> {
    let mut groups: BTreeMap<Group, BTreeMap<String, Endpoint>> = BTreeMap::new();
    for pod in pods.filter(|pod| selects(service, pod)) {
        if matches!(pod.status.phase.as_str(), "Succeeded" | "Failed") {
            continue;
        }
        let ports = ports(service, pod);
        for family in &service.spec.ip_families {
            let Some(address) = address(pod, family) else {
                continue;
            };
            let group = Group {
                family: family.clone(),
                ports: ports.clone(),
            };
            groups
                .entry(group)
                .or_default()
                .insert(pod.metadata.name.clone(), endpoint(service, pod, address));
        }
    }
    for family in &service.spec.ip_families {
        if !groups.keys().any(|group| group.family == *family) {
            groups.insert(
                Group {
                    family: family.clone(),
                    ports: Vec::new(),
                },
                BTreeMap::new(),
            );
        }
    }
    groups
}

fn address<'a>(pod: &'a Pod, family: &str) -> Option<&'a str> {
    let single = [pod.status.pod_ip.as_str()];
    let listed = pod.status.pod_ips.iter().map(|ip| ip.ip.as_str());
    listed.chain(single).find(|text| {
        let parsed = text.parse::<IpAddr>();
        parsed.is_ok_and(|address| address.is_ipv4() == (family == "IPv4"))
    })
}

fn endpoint(service: &Service, pod: &Pod, address: &str) -> Endpoint {
    let serving = pod
        .status
        .conditions
        .iter()
        .any(|c| c.condition == "Ready" && c.status == "True");
    let terminating = pod.metadata.deletion_timestamp.is_some();
    let always = service.spec.publish_not_ready_addresses == Some(true);
    let named = !pod.spec.hostname.is_empty() && pod.spec.subdomain == service.metadata.name;
    Endpoint {
        addresses: vec![address.to_owned()],
        conditions: EndpointConditions {
            ready: Some(always || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        },
        hostname: named.then(|| pod.spec.hostname.clone()),
        node_name: (!pod.spec.node_name.is_empty()).then(|| pod.spec.node_name.clone()),
        zone: None,
        target_ref: Some(ObjectReference {
            kind: "Pod".to_owned(),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
        }),
    }
}

fn ports(service: &Service, pod: &Pod) -> Vec<(String, String, Option<u16>, Option<String>)> {
    let mut ports = Vec::new();
    for port in &service.spec.ports {
        let protocol = if port.protocol.is_empty() {
            "TCP"
        } else {
            &port.protocol
        };
        let number = match &port.target_port {
            None | Some(IntOrString::Int(0)) => Some(port.port),
            Some(IntOrString::Int(number)) => u16::try_from(*number).ok(),
            Some(IntOrString::String(name)) => named_port(pod, name, protocol),
        };
        if let Some(number) = number {
            ports.push((
                port.name.clone(),
                protocol.to_owned(),
                Some(number),
                port.app_protocol.clone(),
            ));
        }
    }
    ports.sort();
    ports
}

fn named_port(pod: &Pod, name: &str, protocol: &str) -> Option<u16> {
    let containers = pod.spec.containers.iter().chain(&pod.spec.init_containers);
    let mut ports = containers.flat_map(|Container { ports, .. }| ports);
    let same = |found: &str| found == protocol || (found.is_empty() && protocol == "TCP");
    ports
        .find(|port| port.name == name && same(&port.protocol))
        .map(|port| port.container_port)
}

/// What to write and remove. An endpoint stays in the slice it is in: between two writes, a reader that sees only the
/// first must not miss an endpoint that merely moved.
pub(super) fn plan(service: &Service, pods: &[&Pod], existing: &[&EndpointSlice]) -> Plan {
    let mut groups = endpoints(service, pods.iter().copied());
    let mut plan = Plan::default();
    let mut open: BTreeMap<Group, Vec<EndpointSlice>> = BTreeMap::new();
    for slice in existing {
        let group = group_of(slice);
        match groups.get_mut(&group) {
            None => plan.remove.push(slice.metadata.name.clone()),
            Some(left) => {
                let mut kept = (*slice).clone();
                kept.endpoints = slice
                    .endpoints
                    .iter()
                    .filter_map(|old| left.remove(pod_name(old)?))
                    .collect();
                open.entry(group).or_default().push(kept);
            }
        }
    }
    for (group, left) in groups {
        let mut slices = open.remove(&group).unwrap_or_default();
        let mut left = left.into_values();
        for slice in &mut slices {
            let room = MOST.saturating_sub(slice.endpoints.len());
            slice.endpoints.extend(left.by_ref().take(room));
        }
        loop {
            let chunk: Vec<Endpoint> = left.by_ref().take(MOST).collect();
            if chunk.is_empty() && !slices.is_empty() {
                break;
            }
            slices.push(new_slice(service, &group, chunk));
        }
        // One empty slice is kept per group that has none else; the rest of the empty ones go.
        let used = slices
            .iter()
            .filter(|slice| !slice.endpoints.is_empty())
            .count();
        let mut spare = usize::from(used == 0);
        for slice in slices {
            if slice.endpoints.is_empty() && spare == 0 {
                plan.remove.push(slice.metadata.name);
                continue;
            }
            spare -= usize::from(slice.endpoints.is_empty());
            let slice = labelled(service, slice);
            if !existing.contains(&&slice) {
                plan.write.push(slice);
            }
        }
    }
    let written: BTreeSet<&str> = plan
        .write
        .iter()
        .map(|slice| slice.metadata.name.as_str())
        .collect();
    plan.remove
        .retain(|name| !name.is_empty() && !written.contains(name.as_str()));
    plan
}

fn pod_name(endpoint: &Endpoint) -> Option<&str> {
    endpoint
        .target_ref
        .as_ref()
        .map(|target| target.name.as_str())
}

fn group_of(slice: &EndpointSlice) -> Group {
    let port = |port: &EndpointPort| {
        (
            port.name.clone(),
            port.protocol.clone(),
            port.port,
            port.app_protocol.clone(),
        )
    };
    let mut ports: Vec<_> = slice.ports.iter().map(port).collect();
    ports.sort();
    Group {
        family: slice.address_type.clone(),
        ports,
    }
}

fn new_slice(service: &Service, group: &Group, endpoints: Vec<Endpoint>) -> EndpointSlice {
    let mut slice = EndpointSlice {
        address_type: group.family.clone(),
        endpoints,
        ports: group
            .ports
            .iter()
            .cloned()
            .map(|(name, protocol, port, app_protocol)| EndpointPort {
                name,
                protocol,
                port,
                app_protocol,
            })
            .collect(),
        ..EndpointSlice::default()
    };
    slice
        .metadata
        .namespace
        .clone_from(&service.metadata.namespace);
    slice.metadata.name = format!("{}-{}", service.metadata.name, object::suffix());
    slice.metadata.owner_references = vec![OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Service".to_owned(),
        name: service.metadata.name.clone(),
        uid: service.metadata.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }];
    slice
}

/// Labels follow the service's.
fn labelled(service: &Service, mut slice: EndpointSlice) -> EndpointSlice {
    let mut labels = service.metadata.labels.clone();
    labels.insert(SERVICE_NAME.to_owned(), service.metadata.name.clone());
    labels.insert(MANAGED_BY.to_owned(), OURS.to_owned());
    if service.spec.cluster_ip == "None" {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    slice.metadata.labels = labels;
    slice
}
