//! Tables of services: what a change touches, and what numbers mean.

use std::collections::HashMap;
use std::hash::Hash;

use datapath::abi::service::{self as abi, FrontendKey, SlotKey, backend_state};
use model::service::{Condition, Protocol, ServicePort, Slice, SliceEndpoint, SlicePort};

use super::*;

fn none() -> Services {
    let backends = Numbers::new(1..=u32::MAX - 1);
    Services::new(true, "here", ServiceIds::default(), backends)
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
    service_at(services, number, number);
}

fn service_at(services: &mut Services, number: u8, octet: u8) {
    let service = Service {
        cluster_ips: vec![[10, 96, 0, octet].into()],
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

/// The tables as somebody has them who was told every change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tables {
    frontends: HashMap<FrontendKey, abi::Frontend>,
    slots: HashMap<SlotKey, u32>,
    backends: HashMap<u32, abi::Backend>,
}

impl Tables {
    /// Says how many entries were told.
    fn follow(&mut self, services: &mut Services) -> usize {
        let entries = services.take_changed();
        let told = entries.frontends.len() + entries.slots.len() + entries.backends.len();
        update(&mut self.frontends, entries.frontends);
        update(&mut self.slots, entries.slots);
        update(&mut self.backends, entries.backends);
        told
    }
}

fn update<K: Eq + Hash, V>(table: &mut HashMap<K, V>, entries: Vec<(K, Option<V>)>) {
    for (key, value) in entries {
        match value {
            Some(value) => drop(table.insert(key, value)),
            None => drop(table.remove(&key)),
        }
    }
}

/// The tables as they are made from nothing but the rows.
fn made_anew(services: &mut Services) -> Tables {
    let keys: Vec<RowKey> = services.rows.keys().cloned().collect();
    services.stale.rows.extend(keys);
    let mut tables = Tables::default();
    tables.follow(services);
    tables
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
    let before = made_anew(&mut services);
    endpoints(
        &mut services,
        100,
        &[(1, READY), (2, READY), (100, READY), (250, READY)],
    );
    let after = made_anew(&mut services);
    assert_eq!(difference(&before.frontends, &after.frontends), 1);
    assert_eq!(difference(&before.slots, &after.slots), 1);
    assert_eq!(difference(&before.backends, &after.backends), 1);
}

#[test]
fn a_backend_on_its_way_out_keeps_its_row_and_loses_its_slot_and_goes_when_it_is_gone() {
    let mut services = none();
    service(&mut services, 1);
    endpoints(&mut services, 1, &[(1, READY), (2, READY)]);
    assert_eq!(made_anew(&mut services).slots.len(), 2);
    endpoints(
        &mut services,
        1,
        &[(1, READY), (2, Condition::TerminatingServing)],
    );
    let on_its_way = made_anew(&mut services);
    assert_eq!((on_its_way.slots.len(), on_its_way.backends.len()), (1, 2));
    let states: Vec<u8> = on_its_way.backends.values().map(|b| b.state).collect();
    assert!(states.contains(&backend_state::TERMINATING), "{states:?}");
    endpoints(&mut services, 1, &[(1, READY), (2, Condition::NotServing)]);
    let gone = made_anew(&mut services);
    assert_eq!((gone.slots.len(), gone.backends.len()), (1, 1));
}

#[test]
fn a_pod_that_leaves_one_of_its_services_is_no_longer_a_number_of_it() {
    let mut services = none();
    for number in [1, 2] {
        service(&mut services, number);
        endpoints(&mut services, number, &[(1, READY), (9, READY)]);
    }
    let before = made_anew(&mut services);
    let first = services
        .ids
        .iter()
        .map(|(_, id)| id)
        .min()
        .expect("a service");
    let theirs = |tables: &Tables| -> BTreeSet<u32> {
        let of = tables.slots.iter().filter(|(key, _)| key.service == first);
        of.map(|(_, id)| *id).collect()
    };
    let old = theirs(&before);
    endpoints(&mut services, 1, &[(9, READY)]);
    let after = made_anew(&mut services);
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

#[test]
fn tables_that_follow_every_change_are_those_made_anew() {
    let mut services = none();
    let mut tables = Tables::default();
    let mut seed = 7_u64;
    let mut dice = |below: u64| {
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        ((seed >> 33) % below) as u8
    };
    for step in 0..2_000 {
        let number = dice(8);
        match dice(8) {
            // Several services may claim one address.
            0 | 1 => service_at(&mut services, number, dice(4)),
            2 => tell(&mut services, Change::Service(name(number), None)),
            3 => tell(
                &mut services,
                Change::Slice(name(number), "slice".into(), None),
            ),
            _ => {
                let conditions = [READY, Condition::TerminatingServing, Condition::NotServing];
                let some: Vec<(u8, Condition)> = (0..dice(5))
                    .map(|_| (dice(6), conditions[usize::from(dice(3))]))
                    .collect();
                endpoints(&mut services, number, &some);
            }
        }
        // Several changes may come before a look.
        if dice(3) > 0 {
            tables.follow(&mut services);
            assert_eq!(tables, made_anew(&mut services), "step {step}");
        }
    }
    assert!(!tables.frontends.is_empty());
}

#[test]
fn a_change_of_one_service_tells_as_much_among_many_as_among_few() {
    let told = |number: u8| {
        let mut services = none();
        for number in 0..number {
            service(&mut services, number);
            endpoints(&mut services, number, &[(1, READY), (2, READY)]);
        }
        let mut tables = Tables::default();
        tables.follow(&mut services);
        endpoints(&mut services, 1, &[(1, READY)]);
        tables.follow(&mut services)
    };
    assert_eq!(told(250), told(2));
}
