use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::cilium::{
    AddressPair, CiliumEndpoint, CiliumEndpointSlice, EndpointIdentity, EndpointNetworking,
    EndpointStatus, NamedPort, SlicedEndpoint,
};
use api::kubernetes::ObjectMeta;
use model::endpoint::PodName;
use model::identity::Identity;
use proptest::prelude::*;
use reconcile::Table;
use tokio::time::timeout;

use super::{RemoteEndpoint, all_sliced, endpoint_rows, have_all, merge, slice_rows};

const SOURCE: &str = "slices";

fn networking() -> EndpointNetworking {
    EndpointNetworking {
        node: "172.30.0.1".to_owned(),
        addressing: vec![AddressPair {
            ipv4: "10.0.1.7".to_owned(),
            ipv6: "fd00::7".to_owned(),
        }],
    }
}

fn slice(name: &str, version: u64, endpoints: &[(&str, i64)]) -> CiliumEndpointSlice {
    let endpoint = |(name, id): &(&str, i64)| SlicedEndpoint {
        name: (*name).to_owned(),
        id: Some(*id),
        networking: networking(),
        ..SlicedEndpoint::default()
    };
    CiliumEndpointSlice {
        metadata: ObjectMeta {
            name: name.to_owned(),
            resource_version: version.to_string(),
            ..ObjectMeta::default()
        },
        namespace: "shop".to_owned(),
        endpoints: endpoints.iter().map(endpoint).collect(),
        ..CiliumEndpointSlice::default()
    }
}

#[test]
fn an_endpoint_reads_the_same_from_its_own_object_and_from_a_slice() {
    let port = NamedPort {
        name: "http".to_owned(),
        port: 80,
        protocol: "TCP".to_owned(),
    };
    let single = CiliumEndpoint {
        metadata: ObjectMeta {
            name: "cart".to_owned(),
            namespace: "shop".to_owned(),
            ..ObjectMeta::default()
        },
        status: EndpointStatus {
            identity: Some(EndpointIdentity {
                id: 4711,
                labels: Vec::new(),
            }),
            networking: Some(networking()),
            named_ports: vec![port.clone()],
            ..EndpointStatus::default()
        },
        ..CiliumEndpoint::default()
    };
    let mut sliced = slice("ces-1", 9, &[("cart", 4711)]);
    sliced.endpoints[0].named_ports.push(port);
    let rows = slice_rows(&sliced).into_iter();
    let rows = rows.map(|((name, _), row)| (name, RemoteEndpoint::clone(&row.endpoint)));
    let rows: Vec<_> = rows.collect();
    assert_eq!(rows, endpoint_rows(&single));
    assert_eq!(rows[0].1.identity, Identity(4711));
    assert_eq!(rows[0].1.addresses.len(), 2);
}

fn name(of: &str) -> PodName {
    PodName {
        namespace: "shop".into(),
        name: of.into(),
    }
}

async fn until(table: &Table<PodName, RemoteEndpoint>, wanted: &BTreeMap<PodName, Identity>) {
    let same = || {
        let now = table.snapshot();
        let pairs = now.iter().map(|(name, row)| (name.clone(), row.identity));
        pairs.collect::<BTreeMap<_, _>>() == *wanted
    };
    let mut changed = table.subscribe();
    let work = async {
        while !same() {
            changed.changed().await;
        }
    };
    let done = timeout(Duration::from_secs(10), work).await;
    done.unwrap_or_else(|_| panic!("{:?} and not {wanted:?}", table.snapshot()));
}

/// CiliumEndpoints that nobody follows any more.
fn nobody() -> Table<PodName, RemoteEndpoint> {
    Table::new("single", &["single"]).1
}

#[tokio::test]
async fn endpoints_that_are_in_no_slice_yet_are_known_from_their_own_objects_until_all_are_in_one()
{
    let (mut places, slices) = Table::new(SOURCE, &[SOURCE]);
    let (mut alone, single) = Table::new("single", &["single"]);
    let (writer, table) = Table::new("endpoints", &[SOURCE]);
    let merging = tokio::spawn(merge(slices.clone(), single.clone(), writer, SOURCE));
    // No slices is a complete answer of the server's, and still not all that there is.
    places.mark_initialized(SOURCE);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!table.snapshot().is_initialized());
    let rows = |endpoints| slice_rows(&slice("a", 1, endpoints));
    for ((name, _), of) in rows(&[("cart", 7), ("till", 8), ("gone", 9)]) {
        alone.write(|batch| batch.set_shared(name, of.endpoint));
    }
    alone.mark_initialized("single");
    let all = [("cart", 7), ("till", 8), ("gone", 9)].map(|(of, id)| (name(of), Identity(id)));
    until(&table, &all.clone().into()).await;
    table.until_initialized().await;
    let sliced = tokio::spawn(async move { all_sliced(&single, &slices).await });
    // What a slice says of an endpoint counts for all nodes, and so for this one.
    places.replace(rows(&[("cart", 17)]));
    alone.remove(&name("gone"));
    let wanted = [(name("cart"), Identity(17)), (name("till"), Identity(8))];
    until(&table, &wanted.into()).await;
    assert!(!sliced.is_finished());
    places.replace(rows(&[("cart", 17), ("till", 8)]));
    timeout(Duration::from_secs(10), sliced)
        .await
        .expect("all are sliced")
        .expect("no panic");
    drop(alone);
    // Now only slices count.
    places.replace(rows(&[("till", 8)]));
    until(&table, &[(name("till"), Identity(8))].into()).await;
    merging.abort();
}

#[test]
fn a_list_of_all_endpoints_is_worth_it_where_some_are_in_no_slice_but_not_for_those_on_their_way_in_a_large_cluster()
 {
    assert!(have_all(0, Some(0)));
    assert!(have_all(12, Some(12)) && !have_all(11, Some(12)));
    assert!(have_all(99_950, Some(100_000)) && !have_all(99_000, Some(100_000)));
    assert!(!have_all(12, None));
}

#[tokio::test]
async fn an_endpoint_that_moves_between_slices_is_there_all_the_time() {
    let (mut places, from) = Table::new(SOURCE, &[SOURCE]);
    let (writer, table) = Table::new("endpoints", &[SOURCE]);
    let merging = tokio::spawn(merge(from, nobody(), writer, SOURCE));
    assert!(!table.snapshot().is_initialized());
    let (old, new) = (slice("a", 1, &[("cart", 7)]), slice("b", 2, &[("cart", 8)]));
    places.replace(slice_rows(&old));
    places.mark_initialized(SOURCE);
    until(&table, &[(name("cart"), Identity(7))].into()).await;
    table.until_initialized().await;
    // In both: the slice written last knows better, whatever its name.
    places.replace(slice_rows(&new).into_iter().chain(slice_rows(&old)));
    until(&table, &[(name("cart"), Identity(8))].into()).await;
    let revision = table.snapshot().revision();
    places.replace(slice_rows(&new));
    places.replace(slice_rows(&slice("b", 3, &[("cart", 8), ("till", 9)])));
    until(
        &table,
        &[(name("cart"), Identity(8)), (name("till"), Identity(9))].into(),
    )
    .await;
    assert_eq!(table.snapshot().revision_of(&name("cart")), Some(revision));
    places.replace([]);
    until(&table, &BTreeMap::new()).await;
    merging.abort();
}

proptest! {
    #[test]
    fn whatever_is_in_slices_becomes_one_row_for_each_endpoint(
        rounds in proptest::collection::vec(
            proptest::collection::btree_map(0..4_u8, proptest::collection::btree_set(0..6_u8, 0..6), 0..4), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut places, from) = Table::new(SOURCE, &[SOURCE]);
            let (writer, table) = Table::new("endpoints", &[SOURCE]);
            let merging = tokio::spawn(merge(from, nobody(), writer, SOURCE));
            let mut version = 0;
            for slices in rounds {
                let mut wanted = BTreeMap::new();
                let mut rows = Vec::new();
                // Written in an order that is not that of their names.
                for (number, endpoints) in slices.iter().rev() {
                    version += 1;
                    let names: Vec<String> = endpoints.iter().map(|of| format!("p{of}")).collect();
                    let endpoints: Vec<(&str, i64)> = names.iter().map(|of| (of.as_str(), version)).collect();
                    rows.extend(slice_rows(&slice(&format!("s{number}"), version.unsigned_abs(), &endpoints)));
                    let number = Identity(u32::try_from(version).unwrap());
                    wanted.extend(names.iter().map(|of| (name(of), number)));
                }
                let distinct: BTreeSet<&Arc<str>> = rows.iter().map(|((name, _), _)| &name.name).collect();
                assert_eq!(distinct.len(), wanted.len());
                places.replace(rows.clone());
                until(&table, &wanted).await;
            }
            merging.abort();
        });
    }
}
