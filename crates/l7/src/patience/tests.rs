use super::*;

const SECOND: u64 = 1_000_000_000;

fn request(path: &str, took_ns: Option<u64>) -> Http {
    Http {
        method: Seen::Known("GET".into()),
        template: Seen::Known(path.into()),
        start_ns: Some(SECOND),
        answer_ns: took_ns.map(|took| SECOND + took),
        ..Http::default()
    }
}

/// A hundred answers to `/cart` of a millisecond, and so many more that took this long.
fn known(slow: usize, took_ns: u64) -> Patience {
    let mut patience = Patience::default();
    for _ in 0..ENOUGH {
        patience.note(1, &request("/cart", Some(MS)));
    }
    for _ in 0..slow {
        patience.note(1, &request("/cart", Some(took_ns)));
    }
    patience
}

#[test]
fn what_waits_longer_than_its_kind_did_is_overdue_and_nothing_before_ten_seconds() {
    let patience = known(0, 0);
    let waits = request("/cart", None);
    assert!(!patience.is_over(1, &waits, LEAST_NS));
    assert!(patience.is_over(1, &waits, LEAST_NS + 1));
    assert!(!patience.is_over(2, &waits, 60 * SECOND), "another service");
    let other = request("/watch", None);
    assert!(!patience.is_over(1, &other, 60 * SECOND), "another path");
}

#[test]
fn nobody_knows_what_is_long_for_a_kind_of_which_few_were_answered() {
    let mut patience = Patience::default();
    for _ in 1..ENOUGH {
        patience.note(1, &request("/cart", Some(MS)));
    }
    let waits = request("/cart", None);
    assert!(!patience.is_over(1, &waits, 60 * SECOND));
    // One without an answer is none.
    patience.note(1, &waits);
    assert!(!patience.is_over(1, &waits, 60 * SECOND));
    patience.note(1, &request("/cart", Some(MS)));
    assert!(patience.is_over(1, &waits, 60 * SECOND));
}

#[test]
fn a_kind_whose_answers_take_a_minute_may_take_twice_as_long_again() {
    let patience = known(1, 60 * SECOND);
    let waits = request("/cart", None);
    // A power of two of milliseconds: 65.5 seconds.
    assert!(!patience.is_over(1, &waits, 65 * SECOND));
    assert!(patience.is_over(1, &waits, 66 * SECOND));
}

#[test]
fn one_of_a_thousand_does_not_count_and_what_took_hours_is_never_overdue() {
    let mut patience = known(1, 60 * SECOND);
    for _ in 0..1000 {
        patience.note(1, &request("/cart", Some(MS)));
    }
    let waits = request("/cart", None);
    assert!(patience.is_over(1, &waits, LEAST_NS + 1));
    let patience = known(1, 3 * 3600 * SECOND);
    assert!(!patience.is_over(1, &waits, 24 * 3600 * SECOND));
}

#[test]
fn answers_of_long_ago_count_less_and_less() {
    let mut patience = known(100, 60 * SECOND);
    let waits = request("/cart", None);
    for _ in 0..3 * MANY {
        patience.note(1, &request("/cart", Some(MS)));
    }
    assert!(patience.is_over(1, &waits, LEAST_NS + 1));
}

#[test]
fn many_kinds_take_the_place_of_those_that_hardly_anybody_asks_for() {
    let mut patience = known(0, 0);
    for number in 0..2 * KINDS {
        patience.note(1, &request(&format!("/{number}"), Some(MS)));
    }
    assert!(patience.kinds.len() <= KINDS);
    assert!(patience.is_over(1, &request("/cart", None), LEAST_NS + 1));
}

#[test]
fn a_call_of_kafka_waits_for_the_broker_unless_it_is_answered_when_others_come() {
    let call = |api: i16, took_ns: Option<u64>| Kafka {
        api,
        start_ns: SECOND,
        end_ns: took_ns.map(|took| SECOND + took),
        ending: took_ns.map_or(Ending::Unknown, |_| Ending::Whole),
        ..Kafka::default()
    };
    let (produce, fetch, join, sync) = (0, 1, 11, 14);
    let mut patience = Patience::default();
    for api in [produce, join, sync] {
        for _ in 0..ENOUGH {
            patience.note(1, &call(api, Some(MS)));
        }
    }
    let is_over = |api| patience.is_over(1, &call(api, None), 60 * SECOND);
    assert!(is_over(produce));
    assert!(!is_over(fetch), "another call");
    assert!(!is_over(join) && !is_over(sync));
    // What wants no answer tells nothing of how long they take.
    let unanswered = Kafka {
        response_octets: Seen::Absent,
        ..call(fetch, Some(0))
    };
    assert_eq!(unanswered.took_ns(), None);
}
