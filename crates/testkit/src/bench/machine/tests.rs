//! Reading what the kernel says of processors, processes and maps.

use super::*;

const BEFORE: &str = "cpu  100 0 50 1000 10 0 5 2 0 0\ncpu0 50 0 25 500 5 0 3 1 0 0\ncpu1 50 0 25 500 5 0 2 1 0 0\nintr 5\n";
const AFTER: &str = "cpu  180 0 90 1060 20 0 15 2 0 0\ncpu0 90 0 45 530 10 0 8 1 0 0\ncpu1 90 0 45 530 10 0 7 1 0 0\nintr 9\n";

#[test]
fn what_is_not_idle_is_busy_softirq_included() {
    let (before, after) = (Processors::parse(BEFORE), Processors::parse(AFTER));
    let (before, after) = (before.expect("before"), after.expect("after"));
    assert_eq!(after.count(), 2);
    // One second of two processors, of which 0.6 s idle and 0.1 s waiting.
    let busy = after.busy_since(&before, Duration::from_secs(1));
    assert!((busy - 1.3).abs() < 1e-9, "{busy}");
}

#[test]
fn this_process_has_memory() {
    assert!(resident_mib(std::process::id()).expect("resident") > 1.0);
    assert!(resident_mib(u32::MAX).is_err());
}

#[test]
fn only_descriptors_of_maps_count() {
    let map = "pos:\t0\nmap_type:\t1\nkey_size:\t4\nmemlock:\t8192\nmap_id:\t17\nfrozen:\t0\n";
    assert_eq!(map_of(map), Some((17, 8192.0)));
    assert_eq!(
        map_of("pos:\t0\nprog_type:\t3\nmemlock:\t4096\nprog_id:\t9\n"),
        None
    );
}

#[test]
fn the_times_of_a_process_are_found_behind_any_name() {
    let stat = "17 (a (b) c) S 1 17 17 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 8 0 1000 0 0";
    assert_eq!(worked_of(stat), Some(3.0));
    assert_eq!(worked_of("17 (a"), None);
}
