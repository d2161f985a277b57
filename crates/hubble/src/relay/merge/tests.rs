use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const DELAY: Duration = Duration::from_secs(1);

fn at(second: i64) -> Time {
    (second, 0)
}

/// All that may leave now.
fn leaving(merge: &mut Merge<u32>, now: Instant) -> Vec<(i64, u32)> {
    std::iter::from_fn(|| merge.pop(now))
        .map(|sorted| (sorted.time.0, sorted.message))
        .collect()
}

#[test]
fn nothing_leaves_before_the_buffer_is_full_or_the_delay_is_over() {
    let (mut merge, now) = (Merge::new(3, DELAY), Instant::now());
    merge.join(1);
    merge.push(1, at(2), 20, now);
    merge.push(1, at(1), 10, now + DELAY / 2);
    assert_eq!(leaving(&mut merge, now + DELAY / 2), []);
    assert_eq!(merge.due(), Some(now + DELAY));
    // What is due takes with it what is older, though that came later.
    assert_eq!(leaving(&mut merge, now + DELAY), [(1, 10), (2, 20)]);
    assert_eq!(merge.due(), None);
}

#[test]
fn a_full_buffer_lets_the_oldest_go() {
    let (mut merge, now) = (Merge::new(3, DELAY), Instant::now());
    merge.join(1);
    for second in [4, 3, 5] {
        merge.push(1, at(second), 0, now);
    }
    assert!(merge.is_full());
    assert_eq!(leaving(&mut merge, now), [(3, 0)]);
}

#[test]
fn a_source_that_has_sent_nothing_yet_is_awaited_but_once() {
    let (mut merge, now) = (Merge::new(2, DELAY), Instant::now());
    merge.join(1);
    merge.join(2);
    for second in 1..=3 {
        merge.push(1, at(second), 0, now);
    }
    assert_eq!(leaving(&mut merge, now), [], "2 may have something older");
    assert_eq!(leaving(&mut merge, now + DELAY), [(1, 0), (2, 0), (3, 0)]);
    for second in 4..=6 {
        merge.push(1, at(second), 0, now + DELAY);
    }
    assert_eq!(leaving(&mut merge, now + DELAY), [(4, 0), (5, 0)]);
}

#[test]
fn a_source_that_is_caught_up_or_gone_is_not_awaited() {
    let (mut merge, now) = (Merge::new(2, DELAY), Instant::now());
    for source in 1..=3 {
        merge.join(source);
    }
    for second in 1..=3 {
        merge.push(1, at(second), 0, now);
    }
    merge.caught_up(2);
    assert_eq!(leaving(&mut merge, now), []);
    merge.leave(3);
    assert_eq!(leaving(&mut merge, now), [(1, 0), (2, 0)]);
    merge.leave(2);
    assert_eq!(leaving(&mut merge, now), []);
    merge.leave(1);
    assert_eq!(leaving(&mut merge, now), [(3, 0)], "nobody is left");
}

#[test]
fn equal_times_leave_in_the_order_of_their_arrival() {
    let (mut merge, now) = (Merge::new(1, DELAY), Instant::now());
    for message in 0..5 {
        merge.push(7, at(1), message, now);
    }
    let all = leaving(&mut merge, now);
    assert_eq!(all, [(1, 0), (1, 1), (1, 2), (1, 3), (1, 4)]);
}

#[test]
fn the_newest_are_kept_and_sorted() {
    let mut newest = Newest::new(3);
    for second in [5, 1, 4, 2, 3] {
        newest.push(at(second), second);
    }
    assert_eq!(newest.take().collect::<Vec<_>>(), [3, 4, 5]);
}

/// What sources do, in the order in which it happens.
#[derive(Clone, Debug)]
enum Doing {
    /// A source sends its next message.
    Send(u64),
    /// Time passes.
    Wait(u64),
    /// A source ends.
    End(u64),
}

fn doings() -> impl Strategy<Value = Vec<Doing>> {
    let doing = prop_oneof![
        12 => (0..4_u64).prop_map(Doing::Send),
        2 => (0..1500_u64).prop_map(Doing::Wait),
        1 => (0..4_u64).prop_map(Doing::End),
    ];
    prop::collection::vec(doing, 0..200)
}

proptest! {
    /// Whatever happens: everything leaves exactly once; the buffer is never longer than its length and one for each source;
    /// nothing waits longer than the delay; and while nothing had to leave early, the output is the sorted input.
    #[test]
    fn nothing_is_lost_or_doubled_and_what_leaves_is_sorted(
        doings in doings(),
        steps in prop::collection::vec(0..3_i64, 200),
        length in 1..8_usize,
    ) {
        let mut merge = Merge::new(length, DELAY);
        let (mut now, mut clocks) = (Instant::now(), BTreeMap::new());
        let mut open: BTreeMap<u64, usize> = (0..4).map(|source| (source, 0)).collect();
        for source in open.keys() {
            merge.join(*source);
        }
        let (mut sent, mut left, mut early) = (Vec::new(), Vec::new(), false);
        for (number, doing) in doings.into_iter().enumerate() {
            match doing {
                // As the caller does it: a source that has something in a full buffer is not read.
                Doing::Send(source) if open.get(&source).is_some_and(|held| *held == 0 || !merge.is_full()) => {
                    let clock: &mut i64 = clocks.entry(source).or_default();
                    *clock += steps.get(number).copied().unwrap_or(0);
                    merge.push(source, at(*clock), number, now);
                    sent.push((*clock, number));
                    *open.entry(source).or_default() += 1;
                }
                Doing::Send(_) => {}
                Doing::Wait(milliseconds) => now += Duration::from_millis(milliseconds),
                Doing::End(source) => {
                    open.remove(&source);
                    merge.leave(source);
                }
            }
            prop_assert!(merge.messages.len() <= length + 4);
            loop {
                early |= merge.due().is_some_and(|due| due <= now);
                let Some(sorted) = merge.pop(now) else { break };
                if let Some(held) = open.get_mut(&sorted.source) {
                    *held -= 1;
                }
                left.push((sorted.time.0, sorted.message));
            }
            prop_assert!(merge.due().is_none_or(|due| due > now), "nothing waits longer");
        }
        for source in 0..4 {
            merge.leave(source);
        }
        left.extend(std::iter::from_fn(|| merge.pop(now)).map(|sorted| (sorted.time.0, sorted.message)));
        prop_assert!(merge.is_empty());
        let mut expected = sent;
        expected.sort_unstable();
        let times = |all: &[(i64, usize)]| all.iter().map(|(time, _)| *time).collect::<Vec<_>>();
        if !early {
            prop_assert_eq!(times(&left), times(&expected));
        }
        left.sort_unstable();
        prop_assert_eq!(left, expected);
    }
}
