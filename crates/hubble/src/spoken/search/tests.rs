use std::net::Ipv4Addr;

use super::*;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const MS: u64 = 1_000_000;

fn missing(qname: &str) -> Missing {
    Missing {
        edge: Arc::default(),
        qname: qname.into(),
        qtype: 1,
    }
}

fn names(excused: &[Missing]) -> Vec<&str> {
    excused.iter().map(|of| of.qname.as_str()).collect()
}

/// Takes names as a client tries them, a millisecond apart; those that are excused in the end.
fn tried(tries: &[(&str, bool)]) -> Vec<String> {
    let mut searches = Searches::default();
    let mut excused = Vec::new();
    for ((qname, exists), at) in tries.iter().zip(0..) {
        let found = if *exists {
            searches.exists(CLIENT, qname, at * MS)
        } else {
            searches.missing(CLIENT, missing(qname), at * MS)
        };
        excused.extend(found.into_iter().map(|of| of.qname));
    }
    excused.sort();
    excused
}

#[test]
fn names_that_a_search_list_makes_are_no_failures_once_one_of_them_exists() {
    let outside = [
        ("example.com.shop.svc.cluster.local", false),
        ("example.com.svc.cluster.local", false),
        ("example.com.cluster.local", false),
        ("example.com", true),
    ];
    assert_eq!(tried(&outside).len(), 3);
    let other_namespace = [
        ("api.pay.shop.svc.cluster.local", false),
        ("api.pay.svc.cluster.local", true),
    ];
    assert_eq!(tried(&other_namespace), ["api.pay.shop.svc.cluster.local"]);
    // Both families at once: the answers of one may come before those of the other.
    let late = [
        ("example.com", true),
        ("example.com.svc.cluster.local", false),
    ];
    assert_eq!(tried(&late), ["example.com.svc.cluster.local"]);
    let absolute_first = [("api.pay", false), ("api.pay.svc.cluster.local", true)];
    assert_eq!(tried(&absolute_first), ["api.pay"]);
}

#[test]
fn a_search_that_finds_nothing_fails_once_for_the_name_that_was_meant() {
    let tries = [
        ("exmaple.com.shop.svc.cluster.local", false),
        ("exmaple.com.svc.cluster.local", false),
        ("exmaple.com.cluster.local", false),
        ("exmaple.com", false),
    ];
    let excused = tried(&tries);
    assert_eq!(excused.len(), 3);
    assert!(!excused.contains(&"exmaple.com".to_owned()), "{excused:?}");
}

#[test]
fn names_that_have_nothing_to_do_with_each_other_excuse_nothing() {
    for (absent, present) in [
        ("api.shop", "db.shop"),
        ("a.example.com", "a.example.org"),
        ("example.com", "example.com"),
        ("one.two.three", "two.three"),
    ] {
        assert_eq!(
            tried(&[(absent, false), (present, true)]),
            [""; 0],
            "{absent}"
        );
    }
}

#[test]
fn what_another_client_finds_or_is_found_later_excuses_nothing() {
    let mut searches = Searches::default();
    let other = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
    let qname = "example.com.svc.cluster.local";
    assert_eq!(searches.missing(CLIENT, missing(qname), 0), []);
    assert_eq!(searches.exists(other, "example.com", MS), []);
    assert_eq!(searches.exists(CLIENT, "example.com", 1001 * MS), []);
    assert_eq!(searches.missing(CLIENT, missing(qname), 2100 * MS), []);
    assert_eq!(
        names(&searches.exists(CLIENT, "example.com", 2900 * MS)),
        [qname]
    );
    // Nothing is taken back twice.
    assert_eq!(searches.exists(CLIENT, "example.com", 2901 * MS), []);
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut searches = Searches::default();
    for number in 0..3 * CLIENTS as u32 {
        let client = IpAddr::V4(Ipv4Addr::from(number));
        searches.exists(client, "example.com", u64::from(number));
    }
    assert!(searches.clients.len() <= CLIENTS);
    for number in 0..3 * ANSWERS {
        searches.exists(CLIENT, &format!("n{number}"), MS);
    }
    assert!(searches.clients[&CLIENT].len() <= ANSWERS);
}
