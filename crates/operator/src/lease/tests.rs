use std::time::Duration;

use api::kubernetes::{Lease, LeaseSpec};
use tokio::time::Instant;

use super::record::{Watch, released, renewed, taken};

const OURS: Duration = Duration::from_secs(15);

fn spec(holder: &str, renewed: &str) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(holder.to_owned()),
        lease_duration_seconds: Some(15),
        renew_time: Some(renewed.to_owned()),
        ..LeaseSpec::default()
    }
}

#[test]
fn a_lease_is_free_only_after_it_stood_still_for_its_whole_time_by_our_clock() {
    let mut watch = Watch::default();
    let begin = Instant::now();
    let at = |seconds| begin + Duration::from_secs(seconds);
    // What the time stamp says does not matter: its writer's clock may be years behind.
    let first = spec("a", "1999-01-01T00:00:00.000000Z");
    assert!(!watch.is_free(&first, "b", OURS, at(0)));
    assert!(!watch.is_free(&first, "b", OURS, at(15)));
    let second = spec("a", "1999-01-01T00:00:02.000000Z");
    assert!(!watch.is_free(&second, "b", OURS, at(16)));
    assert!(!watch.is_free(&second, "b", OURS, at(31)));
    assert!(watch.is_free(&second, "b", OURS, at(32)));
}

#[test]
fn the_longer_of_two_times_counts() {
    let begin = Instant::now();
    let mut long = spec("a", "x");
    long.lease_duration_seconds = Some(60);
    let mut watch = Watch::default();
    assert!(!watch.is_free(&long, "b", OURS, begin));
    assert!(!watch.is_free(&long, "b", OURS, begin + Duration::from_secs(59)));
    assert!(watch.is_free(&long, "b", OURS, begin + Duration::from_secs(61)));
}

#[test]
fn nobodys_lease_and_our_own_are_free_at_once() {
    let now = Instant::now();
    assert!(Watch::default().is_free(&spec("", "x"), "b", OURS, now));
    assert!(Watch::default().is_free(&LeaseSpec::default(), "b", OURS, now));
    assert!(Watch::default().is_free(&spec("b", "x"), "b", OURS, now));
    assert!(!Watch::default().is_free(&spec("a", "x"), "b", OURS, now));
}

#[test]
fn a_lease_is_written_as_other_clients_read_it() {
    let found = Lease {
        spec: LeaseSpec {
            lease_transitions: Some(4),
            ..spec("a", "x")
        },
        ..Lease::default()
    };
    let lease = taken(&found, "b", OURS);
    assert_eq!(lease.spec.holder_identity.as_deref(), Some("b"));
    assert_eq!(lease.spec.lease_transitions, Some(5));
    assert_eq!(lease.spec.lease_duration_seconds, Some(15));
    assert_eq!(lease.spec.acquire_time, lease.spec.renew_time);
    let time = lease.spec.renew_time.clone().unwrap();
    assert!(time.parse::<jiff::Timestamp>().is_ok(), "{time}");
    assert_eq!(time.len(), "2026-01-01T00:00:00.000000Z".len(), "{time}");
    assert_eq!(time.find('.'), Some(19), "{time}");
    assert_eq!(taken(&lease, "b", OURS).spec.lease_transitions, Some(5));
    assert_eq!(
        taken(&Lease::default(), "b", OURS).spec.lease_transitions,
        Some(0)
    );
    let again = renewed(&lease, OURS);
    assert_eq!(again.spec.holder_identity.as_deref(), Some("b"));
    assert_eq!(again.spec.acquire_time, lease.spec.acquire_time);
    let free = released(&lease);
    assert_eq!(free.spec.holder_identity.as_deref(), Some(""));
    assert_eq!(free.spec.lease_duration_seconds, Some(1));
}
