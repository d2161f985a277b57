use std::thread;

use proptest::prelude::*;

use super::*;

fn entry(number: u64) -> Entry {
    let event = pb::LostEvent {
        num_events_lost: number,
        ..pb::LostEvent::default()
    };
    Entry::Lost(Arc::new(Lost {
        time: Timestamp::from_unix_nanos(number),
        event,
    }))
}

fn number(entry: &Entry) -> u64 {
    match entry {
        Entry::Lost(lost) => lost.event.num_events_lost,
        other => panic!("not one of ours: {other:?}"),
    }
}

#[test]
fn capacities_are_a_power_of_two_less_one() {
    for good in [1, 3, 7, 4095, 65535] {
        assert_eq!(Capacity::new(good).unwrap().events(), good);
    }
    for bad in [0, 2, 4, 4096, 65536, 131_071, u64::MAX] {
        assert_eq!(Capacity::new(bad), Err(InvalidCapacity(bad)));
    }
}

proptest! {
    #[test]
    fn whatever_was_written_the_newest_are_read_and_the_rest_is_counted(
        bits in 1_u32..6, written in 0_u64..200, from in 0_u64..220,
    ) {
        let ring = Ring::new(Capacity::new((1 << bits) - 1).unwrap());
        for n in 0..written {
            prop_assert_eq!(ring.push(entry(n)), n);
        }
        let oldest = written.saturating_sub(ring.capacity());
        prop_assert_eq!(ring.len(), written - oldest);
        let (mut at, mut seen, mut lost) = (from, Vec::new(), 0);
        loop {
            match ring.read(at) {
                Read::Entry(e) => { seen.push(number(&e)); at += 1; }
                Read::Lost { count, next } => { lost += count; at = next; }
                Read::Head => break,
            }
        }
        prop_assert_eq!(seen, (oldest.max(from)..written).collect::<Vec<_>>());
        prop_assert_eq!(lost, oldest.saturating_sub(from));
    }
}

#[test]
fn readers_beside_a_fast_writer_see_or_count_every_entry_once_in_order() {
    const WRITTEN: u64 = 200_000;
    let ring = Ring::new(Capacity::new(63).unwrap());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let (mut at, mut seen, mut lost) = (0, 0, 0);
                while at < WRITTEN {
                    match ring.read(at) {
                        Read::Entry(e) => {
                            assert_eq!(number(&e), at);
                            seen += 1;
                            at += 1;
                        }
                        Read::Lost { count, next } => {
                            assert_eq!(next, at + count);
                            lost += count;
                            at = next;
                        }
                        Read::Head => thread::yield_now(),
                    }
                }
                assert_eq!(seen + lost, WRITTEN);
            });
        }
        for n in 0..WRITTEN {
            ring.push(entry(n));
        }
    });
}

#[tokio::test]
async fn a_waiting_reader_is_woken_by_the_entry_it_waits_for() {
    let ring = Arc::new(Ring::new(Capacity::default()));
    let waiting = tokio::spawn({
        let ring = ring.clone();
        async move { ring.written(1).await }
    });
    ring.push(entry(0));
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    ring.push(entry(1));
    tokio::time::timeout(std::time::Duration::from_secs(5), waiting)
        .await
        .unwrap()
        .unwrap();
}
