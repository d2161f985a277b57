//! Tables of services: what a change touches, and what numbers mean.

use std::collections::HashMap;
use std::hash::Hash;

use super::*;

fn none() -> Services {
    Services {
        enabled: true,
        snapshot: Snapshot::new("here"),
        rows: BTreeMap::new(),
        ids: ServiceIds::default(),
        backends: Numbers::new(1..=u32::MAX - 1),
        slices: BTreeMap::new(),
        seen: (0, 0),
    }
}

fn name(number: u8) -> ServiceName {
    ServiceName {
        namespace: "shop".into(),
        name: format!("s{number}").into(),
    }
}

fn tell(services: &mut Services, change: Change) {
    for key in services.snapshot.apply(change) {
        services.refresh(&key);
    }
}

fn service(services: &mut Services, number: u8) {
    let service = Service {
        cluster_ips: vec![[10, 96, 0, number].into()],
        ports: vec![ServicePort {
            name: "".into(),
            protocol: Protocol::Tcp,
            port: 80,
            node_port: None,
        }],
        ..Service::default()
    };
    tell(
        services,
        Change::Service(name(number), Some(Arc::new(service))),
    );
}

/// The endpoints of a service: last octets of their addresses, with their condition.
fn endpoints(services: &mut Services, number: u8, endpoints: &[(u8, Condition)]) {
    let slice = Slice {
        ports: vec![SlicePort {
            name: "".into(),
            protocol: Protocol::Tcp,
            port: 8080,
        }],
        endpoints: endpoints
            .iter()
            .map(|&(octet, condition)| SliceEndpoint {
                address: [10, 0, 0, octet].into(),
                node: None,
                condition,
            })
            .collect(),
    };
    tell(
        services,
        Change::Slice(name(number), "slice".into(), Some(Arc::new(slice))),
    );
}

fn tables(services: &Services) -> Desired {
    let mut desired = Desired::default();
    services.compose(&mut desired);
    desired
}

/// Entries that are to be written or removed between two tables.
fn difference<K: Eq + Hash, V: PartialEq>(old: &HashMap<K, V>, new: &HashMap<K, V>) -> usize {
    let written = new
        .iter()
        .filter(|(key, value)| old.get(key) != Some(value));
    let removed = old.keys().filter(|key| !new.contains_key(key));
    written.count() + removed.count()
}

const READY: Condition = Condition::Ready;

#[test]
fn a_change_of_one_service_touches_its_own_entries_only() {
    let mut services = none();
    for number in 0..200 {
        service(&mut services, number);
        endpoints(
            &mut services,
            number,
            &[(1, READY), (2, READY), (number, READY)],
        );
    }
    let before = tables(&services);
    endpoints(
        &mut services,
        100,
        &[(1, READY), (2, READY), (100, READY), (250, READY)],
    );
    let after = tables(&services);
    assert_eq!(difference(&before.frontends, &after.frontends), 1);
    assert_eq!(difference(&before.slots, &after.slots), 1);
    assert_eq!(difference(&before.backends, &after.backends), 1);
}

#[test]
fn a_backend_on_its_way_out_keeps_its_row_and_loses_its_slot_and_goes_when_it_is_gone() {
    let mut services = none();
    service(&mut services, 1);
    endpoints(&mut services, 1, &[(1, READY), (2, READY)]);
    assert_eq!(tables(&services).slots.len(), 2);
    endpoints(
        &mut services,
        1,
        &[(1, READY), (2, Condition::TerminatingServing)],
    );
    let on_its_way = tables(&services);
    assert_eq!((on_its_way.slots.len(), on_its_way.backends.len()), (1, 2));
    let states: Vec<u8> = on_its_way.backends.values().map(|b| b.state).collect();
    assert!(states.contains(&backend_state::TERMINATING), "{states:?}");
    endpoints(&mut services, 1, &[(1, READY), (2, Condition::NotServing)]);
    let gone = tables(&services);
    assert_eq!((gone.slots.len(), gone.backends.len()), (1, 1));
}

#[test]
fn a_pod_that_leaves_one_of_its_services_is_no_longer_a_number_of_it() {
    let mut services = none();
    for number in [1, 2] {
        service(&mut services, number);
        endpoints(&mut services, number, &[(1, READY), (9, READY)]);
    }
    let before = tables(&services);
    let first = services
        .ids
        .iter()
        .map(|(_, id)| id)
        .min()
        .expect("a service");
    let theirs = |tables: &Desired| -> BTreeSet<u32> {
        let of = tables.slots.iter().filter(|(key, _)| key.service == first);
        of.map(|(_, id)| *id).collect()
    };
    let old = theirs(&before);
    endpoints(&mut services, 1, &[(9, READY)]);
    let after = tables(&services);
    let left: Vec<&u32> = old
        .iter()
        .filter(|id| after.backends.contains_key(id))
        .collect();
    assert_eq!(
        left.len(),
        1,
        "a client's last backend counts while its number is there"
    );
    assert_eq!(after.slots.len(), 3);
}
