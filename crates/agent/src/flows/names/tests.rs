use model::endpoint::{LifeCycle, Mac};
use model::ipam::Family;
use model::node::IpPair;
use model::service::{
    Algorithm, Backend, BackendAddress, BackendState, Protocol, Reach, Row, ServiceName as Key,
};
use reconcile::Table;

use super::*;
use crate::inputs::{PodRow, RemoteEndpoint};
use crate::view;

const BACKEND: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 2, 3));

/// A port of a service whose one backend is the one that all tests ask for.
fn port(service: &str, port: &str) -> (RowKey, (u32, Arc<Row>)) {
    let key = RowKey {
        service: Key {
            namespace: "shop".into(),
            name: service.into(),
        },
        port: port.into(),
        protocol: Protocol::Tcp,
        family: Family::Ipv4,
        reach: Reach::All,
    };
    let backend = Backend {
        state: BackendState::Active,
        address: BackendAddress {
            address: BACKEND,
            port: 8080,
            protocol: Protocol::Tcp,
        },
    };
    let row = Row {
        frontends: Vec::new(),
        backends: vec![backend],
        affinity_seconds: None,
        algorithm: Algorithm::Random,
    };
    (key, (1, Arc::new(row)))
}

fn behind(names: &NamesNow, port: u16, protocol: u8) -> Option<String> {
    let service = names.service_behind(BACKEND, port, protocol)?;
    Some(format!("{}/{}", service.namespace, service.name))
}

#[test]
fn a_backend_has_the_name_of_the_one_service_that_leads_to_it() {
    let of = |services: Vec<_>| {
        let (writer, reader) = view::channel();
        writer.publish(View {
            services: services.into_iter().collect(),
            ..View::default()
        });
        NamesNow::new(reader, Inputs::nothing(), [])
    };
    let one = of(vec![port("api", "http"), port("api", "admin")]);
    assert_eq!(behind(&one, 8080, 6).as_deref(), Some("shop/api"));
    assert_eq!(behind(&one, 8081, 6), None);
    assert_eq!(behind(&one, 8080, 17), None);
    // Which of several was asked for cannot be told.
    let shared = of(vec![
        port("api", "http"),
        port("old", "http"),
        port("api", "admin"),
    ]);
    assert_eq!(behind(&shared, 8080, 6), None);
}

#[test]
fn names_are_those_of_the_view_of_now_wherever_it_lies_in_memory() {
    let (writer, reader) = view::channel();
    let names = NamesNow::new(reader, Inputs::nothing(), []);
    for number in 0..64 {
        let name = format!("api-{number}");
        writer.publish(View {
            services: std::iter::once(port(&name, "http")).collect(),
            ..View::default()
        });
        assert_eq!(behind(&names, 8080, 6), Some(format!("shop/{name}")));
        // Nobody looks at this one, after which the next may lie where the last that was looked at did.
        writer.publish(View::default());
    }
}

fn web() -> PodName {
    PodName {
        namespace: "shop".into(),
        name: "web-5d9c7-x".into(),
    }
}

fn workload() -> Workload {
    Workload {
        name: "web".into(),
        kind: "Deployment".into(),
    }
}

/// That pod's endpoint on this node.
fn endpoint_of_web(labels: &[&str]) -> EndpointRow {
    EndpointRow {
        id: EndpointId(7),
        pod: Some(web()),
        pod_uid: None,
        container_id: "c".into(),
        container_interface: "eth0".into(),
        netns: "".into(),
        netns_cookie: 0,
        ips: IpPair::first_of([BACKEND]),
        mac: Mac::default(),
        host_mac: Mac::default(),
        ifname: "lxc7".into(),
        ifindex: 7,
        labels: LabelSet::parse(labels.iter().copied()).unwrap(),
        identity: None,
        named_ports: Vec::new(),
        service_account: None,
        skip_masquerade: model::endpoint::SkipMasquerade::default(),
        policy_revision: 0,
        life: LifeCycle::created(),
    }
}

/// The names of an address, where that pod has it, as (pod, workloads, cluster).
fn of_pod(workload: Option<Workload>, labels: &[&str]) -> (String, Vec<String>, String) {
    let (mut pods, table) = Table::new("pods", &["store"]);
    pods.set(
        web(),
        PodRow {
            workload,
            ..PodRow::default()
        },
    );
    let inputs = Inputs {
        pods: table,
        ..Inputs::nothing()
    };
    let (writer, reader) = view::channel();
    writer.publish(View {
        endpoints: vec![endpoint_of_web(labels)],
        ..View::default()
    });
    let all = NamesNow::new(reader, inputs, [(2, "eth0".into())]);
    let interfaces = [7, 2, 3].map(|number| all.interface(number));
    assert_eq!(
        interfaces,
        [Some("lxc7".into()), Some("eth0".into()), None],
        "of the pod, of the node, and one that nobody knows"
    );
    let names = all.endpoint(BACKEND, 1000).unwrap();
    let workloads = names.workloads.iter();
    (
        format!("{}/{}", names.namespace, names.pod_name),
        workloads
            .map(|(name, kind)| format!("{kind}/{name}"))
            .collect(),
        names.cluster_name.to_string(),
    )
}

#[test]
fn a_pod_of_this_node_has_its_workload_and_the_cluster_of_its_labels() {
    assert_eq!(
        of_pod(
            Some(workload()),
            &["k8s:app=web", "k8s:io.cilium.k8s.policy.cluster=east"]
        ),
        (
            "shop/web-5d9c7-x".into(),
            vec!["Deployment/web".into()],
            "east".into()
        )
    );
    assert_eq!(
        of_pod(None, &["k8s:app=web"]),
        ("shop/web-5d9c7-x".into(), Vec::new(), String::new())
    );
}

/// Its first flow may come before its object does.
#[test]
fn a_workload_that_comes_late_is_told_from_then_on_and_names_are_made_when_something_changes() {
    let (mut pods, table) = Table::new("pods", &["store"]);
    let inputs = Inputs {
        pods: table,
        ..Inputs::nothing()
    };
    let (writer, reader) = view::channel();
    let publish = |labels: &[&str]| {
        writer.publish(View {
            endpoints: vec![endpoint_of_web(labels)],
            ..View::default()
        });
    };
    publish(&["k8s:app=web"]);
    let all = NamesNow::new(reader, inputs, []);
    let names = || all.endpoint(BACKEND, 1000).unwrap();
    let first = names();
    assert_eq!(first.workloads, []);
    let object = |workload| PodRow {
        workload,
        ..PodRow::default()
    };
    pods.set(web(), object(None));
    assert!(Arc::ptr_eq(&first, &names()), "nothing of it has changed");
    pods.set(web(), object(Some(workload())));
    let second = names();
    assert_eq!(second.workloads.len(), 1);
    assert!(Arc::ptr_eq(&second, &names()), "made once");
    publish(&["k8s:app=web"]);
    assert!(Arc::ptr_eq(&second, &names()), "another view, the same pod");
    publish(&["k8s:app=api"]);
    assert_eq!(names().labels, ["k8s:app=api".into()]);
}

#[test]
fn what_nobody_knows_has_no_names_and_no_cluster() {
    let (_writer, reader) = view::channel();
    assert_eq!(
        NamesNow::new(reader, Inputs::nothing(), []).endpoint(BACKEND, 2),
        None
    );
}

/// Names that were brought up to date after each of many changes are those of somebody who looks for the first time.
#[test]
fn names_that_follow_every_change_are_those_looked_up_anew() {
    let (writer, reader) = view::channel();
    let (mut remote, endpoints) = Table::new("endpoints", &[]);
    let inputs = Inputs {
        endpoints,
        ..Inputs::nothing()
    };
    let follows = NamesNow::new(reader.clone(), inputs.clone(), []);
    let mut services = ServiceRows::new();
    let mut seed = 5_u64;
    let mut dice = |below: u64| {
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (seed >> 33) % below
    };
    let address = |octet: u64| IpAddr::from([10, 0, 3, octet as u8]);
    for step in 0..500 {
        let name = format!("n{}", dice(5));
        let (key, row) = port(&name, ["http", "admin"][dice(2) as usize]);
        let pod = PodName {
            namespace: "shop".into(),
            name: name.as_str().into(),
        };
        match dice(4) {
            0 => drop(services.insert(key, row)),
            1 => drop(services.remove(&key)),
            2 => drop(remote.remove(&pod)),
            _ => {
                let row = RemoteEndpoint {
                    identity: Identity(1000 + dice(2) as u32),
                    addresses: [address(dice(4))].into(),
                    ..RemoteEndpoint::default()
                };
                remote.set(pod, row);
            }
        }
        writer.publish(View {
            services: services.clone(),
            ..View::default()
        });
        let anew = NamesNow::new(reader.clone(), inputs.clone(), []);
        assert_eq!(
            behind(&follows, 8080, 6),
            behind(&anew, 8080, 6),
            "step {step}"
        );
        for octet in 0..4 {
            let of = |names: &NamesNow| {
                let names = names.endpoint(address(octet), 0)?;
                Some(names.pod_name.to_string())
            };
            // Of two that claim one address either may be right.
            if claimants(&inputs, address(octet)) < 2 {
                assert_eq!(of(&follows), of(&anew), "step {step}");
            }
        }
    }
}

fn claimants(inputs: &Inputs, address: IpAddr) -> usize {
    let table = inputs.endpoints.snapshot();
    table
        .iter()
        .filter(|(_, row)| row.addresses.contains(&address))
        .count()
}
