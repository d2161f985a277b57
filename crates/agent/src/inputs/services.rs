//! Services and endpoint slices as rows: only what the data plane needs of them is kept.

use std::net::IpAddr;
use std::sync::Arc;

use api::kubernetes::{EndpointSlice, Service as ServiceObject};
use model::endpoint::PodName;
use model::service::{
    Condition, Service, ServiceName, ServicePort, Slice, SliceEndpoint, SlicePort, TrafficPolicy,
};

const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// A slice, and which service it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceRow {
    /// The service.
    pub service: ServiceName,
    /// Its ports and endpoints.
    pub slice: Arc<Slice>,
}

/// The row of a service; one without a virtual address has none.
pub(crate) fn service_row(from: &ServiceObject) -> Vec<(ServiceName, Service)> {
    let addresses: Vec<IpAddr> = from
        .spec
        .cluster_ips
        .iter()
        .filter_map(|text| text.parse().ok())
        .collect();
    if addresses.is_empty() {
        return Vec::new();
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
    let row = Service {
        cluster_ips: addresses,
        ports: ports.collect(),
        affinity_seconds: affinity(from),
        external_policy: policy(&from.spec.external_traffic_policy),
        internal_policy: policy(&from.spec.internal_traffic_policy),
        ..Service::default()
    };
    let name = ServiceName {
        namespace: from.metadata.namespace.as_str().into(),
        name: from.metadata.name.as_str().into(),
    };
    vec![(name, row)]
}

/// The row of a slice; one that is of no service has none.
pub(crate) fn slice_row(from: &EndpointSlice) -> Vec<(PodName, SliceRow)> {
    let Some(service) = from.metadata.labels.get(SERVICE_LABEL) else {
        return Vec::new();
    };
    let namespace: Arc<str> = from.metadata.namespace.as_str().into();
    let row = SliceRow {
        service: ServiceName {
            namespace: Arc::clone(&namespace),
            name: service.as_str().into(),
        },
        slice: Arc::new(slice_of(from)),
    };
    let name = PodName {
        namespace,
        name: from.metadata.name.as_str().into(),
    };
    vec![(name, row)]
}

fn affinity(from: &ServiceObject) -> Option<u32> {
    const DEFAULT_SECONDS: u32 = 10_800;
    (from.spec.session_affinity == "ClientIP").then(|| {
        let config = from.spec.session_affinity_config.as_ref();
        let seconds = config
            .and_then(|of| of.client_ip.as_ref())
            .and_then(|of| of.timeout_seconds);
        seconds.unwrap_or(DEFAULT_SECONDS)
    })
}

fn slice_of(from: &EndpointSlice) -> Slice {
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
