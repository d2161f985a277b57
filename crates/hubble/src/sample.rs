//! Records and names that tests share.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use crate::{
    names::{EndpointNames, Names, PolicyOrigin, ServiceName},
    records::{Judgement, Mode, Party, Point, Record, Side, What, protocol},
};

pub(crate) const WEB: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
pub(crate) const API: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
/// Where a NodePort is a frontend.
const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
pub(crate) const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 10));

/// Knows two pods, one service, one rule.
pub(crate) struct Shop;

impl Shop {
    fn service() -> Arc<ServiceName> {
        Arc::new(ServiceName {
            name: "api".into(),
            namespace: "shop".into(),
        })
    }
}

impl Names for Shop {
    fn endpoint(&self, address: IpAddr, _: u32) -> Option<Arc<EndpointNames>> {
        let pod = match address {
            WEB => "web",
            API => "api",
            _ => return None,
        };
        Some(Arc::new(EndpointNames {
            namespace: "shop".into(),
            pod_name: format!("{pod}-1").into(),
            labels: vec![format!("k8s:app={pod}").into()],
            workloads: vec![(pod.into(), "Deployment".into())],
            cluster_name: "default".into(),
        }))
    }

    fn service(&self, address: IpAddr, port: u16) -> Option<Arc<ServiceName>> {
        let is_node_port = address == ANY && port == 30080;
        (is_node_port || (address == VIP && port == 80)).then(Self::service)
    }

    fn service_behind(&self, address: IpAddr, port: u16, number: u8) -> Option<Arc<ServiceName>> {
        (address == API && port == 8080 && number == protocol::TCP).then(Self::service)
    }

    fn fqdns(&self, asker: u16, address: IpAddr) -> Vec<Arc<str>> {
        if asker == 7 && address == API {
            vec!["api.shop.svc".into()]
        } else {
            Vec::new()
        }
    }

    fn rule(&self, rule: u32) -> Vec<Arc<PolicyOrigin>> {
        vec![Arc::new(PolicyOrigin {
            name: format!("p{rule}").into(),
            namespace: "shop".into(),
            kind: "CiliumNetworkPolicy".into(),
            labels: vec![format!("k8s:policy=p{rule}").into()],
            revision: 3,
            log: if rule == 11 { "watched" } else { "" }.into(),
        })]
    }

    fn interface(&self, index: u32) -> Option<Arc<str>> {
        (index == 3).then(|| "lxc1".into())
    }
}

pub(crate) fn judgement(rule: u32) -> Judgement {
    Judgement {
        rule,
        match_type: 2,
        mode: Mode::Enforced,
        proxy_port: 0,
    }
}

/// A SYN from web to api, both on this node, through the service.
pub(crate) fn opened() -> Record {
    Record {
        time_ns: 1_700_000_000_000_000_000,
        source: Party {
            address: WEB,
            port: 40000,
            identity: 1000,
            endpoint: 7,
        },
        destination: Party {
            address: API,
            port: 8080,
            identity: 1001,
            endpoint: 8,
        },
        asked: Some(SocketAddr::new(VIP, 80)),
        translated_source: None,
        protocol: protocol::TCP,
        tcp_flags_or_icmp_type: 0x02,
        icmp_code: 0,
        interface: 3,
        macs: Some([[2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]]),
        what: What::New {
            point: Point::ToEndpoint,
            egress: Some(judgement(11)),
            ingress: Some(judgement(12)),
        },
    }
}

/// A SYN from web to api, denied at api.
pub(crate) fn denied() -> Record {
    Record {
        what: What::Denied {
            side: Side::Ingress,
            judgement: judgement(12),
            reason: 133,
        },
        ..opened()
    }
}
