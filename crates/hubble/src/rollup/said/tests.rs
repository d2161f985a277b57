use api::hubble::answers::Sketch;
use proptest::prelude::*;

use super::*;

fn http(path: &str, status: i32, requests: u64) -> HttpCounters {
    HttpCounters {
        method: "GET".into(),
        path: path.into(),
        requests,
        status: vec![CodeCount {
            code: status,
            count: requests,
        }],
        latency: Some(Sketch {
            bucket: vec![status.unsigned_abs()],
            count: vec![requests],
        }),
        ..HttpCounters::default()
    }
}

fn row(http: Vec<HttpCounters>) -> Row {
    Row {
        http,
        ..Row::default()
    }
}

fn summed(rows: impl IntoIterator<Item = Row>) -> Row {
    let mut said = Said::default();
    for mut row in rows {
        said.take(&mut row);
    }
    let mut sum = Row::default();
    said.give(&mut sum);
    sum
}

fn requests(row: &Row) -> u64 {
    row.http.iter().map(|of| of.requests).sum()
}

#[test]
fn what_is_of_one_name_adds_up() {
    let rows = [
        row(vec![http("/a", 200, 2)]),
        row(vec![http("/b", 200, 1)]),
        row(vec![http("/a", 500, 3)]),
    ];
    let sum = summed(rows);
    let [a, b] = sum.http.as_slice() else {
        panic!("{sum:?}");
    };
    assert_eq!((a.path.as_str(), a.requests), ("/a", 5));
    assert_eq!((b.path.as_str(), b.requests), ("/b", 1));
    let status: Vec<_> = a.status.iter().map(|of| (of.code, of.count)).collect();
    assert_eq!(status, [(200, 2), (500, 3)]);
    assert_eq!(a.latency.as_ref().unwrap().count, [2, 3]);
}

#[test]
fn names_beyond_the_bound_are_one_and_none_is_lost() {
    let rows = (0..3 * OPEN).map(|number| row(vec![http(&format!("/{number}"), 200, 1)]));
    let busy = row(vec![http("/busy", 200, 9)]);
    let sum = summed(rows.chain([busy]));
    assert_eq!(sum.http.len(), KEPT + 1);
    assert_eq!(requests(&sum), 3 * OPEN as u64 + 9);
    let rest = sum.http.iter().find(|of| of.path == REST_PATH).unwrap();
    assert_eq!((rest.method.as_str(), rest.status.len()), ("", 1));
    // A bounded sum stays bounded.
    let again = summed([sum.clone(), sum]);
    assert_eq!(again.http.len(), KEPT + 1);
    assert_eq!(requests(&again), 6 * OPEN as u64 + 18);
}

#[test]
fn codes_groups_and_addresses_are_bounded() {
    let codes = (0..1000).map(|status| http("/a", status, 1));
    let sum = sum(codes).unwrap();
    assert_eq!(sum.status.len(), CODES + 1);
    assert_eq!(sum.status.iter().map(|of| of.count).sum::<u64>(), 1000);
    assert_eq!(sum.status[0].code, REST_CODE);
    let mut addresses = Vec::new();
    for number in 0..100 {
        merge_addresses(&mut addresses, vec![format!("10.0.0.{number}")]);
    }
    assert_eq!(
        (addresses.len(), addresses[0].as_str()),
        (ADDRESSES, "10.0.0.99")
    );
}

#[test]
fn addresses_of_names_that_are_not_told_apart_are_not_kept() {
    let of = |name: &str, address: &str| DnsCounters {
        name: name.into(),
        questions: 1,
        addresses: vec![address.into()],
        ..DnsCounters::default()
    };
    let all = sum([of("a", "10.0.0.1"), of("b", "10.0.0.2")]).unwrap();
    assert_eq!((all.questions, all.addresses.len()), (2, 0));
    let mut same = of("a", "10.0.0.1");
    same.merge(of("a", "10.0.0.2"));
    assert_eq!(same.addresses, ["10.0.0.2", "10.0.0.1"]);
}

proptest! {
    #[test]
    fn sums_in_parts_are_the_sum_of_the_whole(
        records in prop::collection::vec((0_usize..40, 0_i32..20, 1_u64..5), 0..200),
        at in any::<prop::sample::Index>(),
    ) {
        let rows: Vec<Row> = records
            .iter()
            .map(|(path, status, count)| row(vec![http(&format!("/{path}"), *status, *count)]))
            .collect();
        let split = if rows.is_empty() { 0 } else { at.index(rows.len()) };
        let (first, second) = rows.split_at(split);
        let whole = summed(rows.iter().cloned());
        let parts = summed([summed(first.iter().cloned()), summed(second.iter().cloned())]);
        prop_assert_eq!(&parts, &whole);
        let all: u64 = records.iter().map(|(.., count)| count).sum();
        prop_assert_eq!(requests(&whole), all);
    }

    #[test]
    fn distributions_add_up_however_they_are_written(
        one in prop::collection::vec((0_u32..2000, 1_u64..9), 0..30),
        other in prop::collection::vec((0_u32..2000, 1_u64..9), 0..30),
    ) {
        let message = |of: &[(u32, u64)]| {
            let (bucket, count) = of.iter().copied().unzip();
            Sketch { bucket, count }
        };
        let mut sum = Some(message(&one));
        merge_sketch(&mut sum, Some(message(&other)));
        let mut expected = crate::sketch::Sketch::from(&message(&one));
        expected.merge(&message(&other));
        prop_assert_eq!(crate::sketch::Sketch::from(&sum.unwrap()), expected);
    }
}
