//! Records of the ring of events: decoded, given names, and shown as flows.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use api::hubble::flow::Flow;
use datapath::abi::event::{Event, direction, hook, kind};
use datapath::abi::{Address, Plain};
use hubble::enrich::{enrich, flows};
use hubble::flow::Node;
use hubble::names::{EndpointNames, Names, PolicyOrigin, ServiceName};
use hubble::records::decode::{Clock, decode};

use super::{Shape, Target};

pub(super) const TARGET: Target = Target {
    name: "events",
    shape: Shape::Bytes,
    seeds,
    run,
};

fn run(data: &[u8]) {
    // Longer and shorter records are counted as malformed by the reader; here their beginning is looked at.
    let mut record = data.to_vec();
    record.resize(size_of::<Event>(), 0);
    for flow in messages(&record) {
        let text = serde_json::to_string(&flow).expect("a flow is written as JSON");
        let again: Flow = serde_json::from_str(&text).expect("and read");
        assert_eq!(again, flow);
    }
}

/// The flows of a record.
pub(super) fn messages(record: &[u8]) -> Vec<Flow> {
    let Some(event) = Event::from_bytes(record) else {
        return Vec::new();
    };
    let clock = Clock::new(1, SystemTime::UNIX_EPOCH + Duration::from_hours(400_000));
    let Some(record) = decode(&event, clock) else {
        return Vec::new();
    };
    let node = Node {
        name: "default/n1".into(),
        labels: vec!["zone=a".into()],
    };
    flows(Arc::new(enrich(record, &Everybody)))
        .map(|observed| observed.message(&node))
        .collect()
}

/// Knows a name for everything.
struct Everybody;

impl Names for Everybody {
    fn endpoint(&self, address: IpAddr, _: u32) -> Option<Arc<EndpointNames>> {
        Some(Arc::new(EndpointNames {
            namespace: "shop".into(),
            pod_name: format!("web-{address}").into(),
            labels: vec![
                "k8s:app=web".into(),
                "k8s:io.kubernetes.pod.namespace=shop".into(),
            ],
            workloads: vec![("web".into(), "Deployment".into())],
            cluster_name: "default".into(),
        }))
    }

    fn service(&self, _: IpAddr, port: u16) -> Option<Arc<ServiceName>> {
        (port == 80).then(|| {
            Arc::new(ServiceName {
                name: "api".into(),
                namespace: "shop".into(),
            })
        })
    }

    fn service_behind(&self, address: IpAddr, port: u16, _: u8) -> Option<Arc<ServiceName>> {
        self.service(address, port)
    }

    fn fqdns(&self, _: u16, _: IpAddr) -> Vec<Arc<str>> {
        vec!["api.shop.svc".into()]
    }

    fn rule(&self, rule: u32) -> Vec<Arc<PolicyOrigin>> {
        vec![Arc::new(PolicyOrigin {
            name: format!("p{rule}").into(),
            namespace: "shop".into(),
            kind: "CiliumNetworkPolicy".into(),
            labels: vec![],
            revision: 3,
            log: "audit of p".into(),
        })]
    }

    fn interface(&self, _: u32) -> Option<Arc<str>> {
        Some("lxc1".into())
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for kind in [
        kind::OPENED,
        kind::DENIED,
        kind::DROPPED,
        kind::CLOSING,
        kind::ANSWERED,
    ] {
        for (protocol, hook) in [
            (6, hook::FROM_CONTAINER),
            (17, hook::TO_CONTAINER),
            (1, hook::FROM_NETDEV),
            (58, hook::FROM_OVERLAY),
        ] {
            let event = Event {
                time_ns: 5_000_000_000,
                kind,
                hook,
                direction: direction::INGRESS,
                reason: 133,
                protocol,
                tcp_flags: 2,
                match_type: 2,
                source: Address::v4([10, 0, 1, 5]),
                destination: Address::v4([10, 0, 1, 6]),
                source_port: 40000_u16.to_be(),
                destination_port: 80_u16.to_be(),
                ..Event::default()
            };
            seeds.push(event.as_bytes().to_vec());
        }
    }
    seeds
}
