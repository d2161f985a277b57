use datapath::abi::Address;
use datapath::wire::tcp::flags::ACK;

use super::*;

const SECOND: u64 = 1_000_000_000;
const BEGAN: u64 = 100 * SECOND;

fn key(port: u16) -> ConnectionKey {
    let (low, high) = (Address::default(), Address::default());
    ConnectionKey::of((&low, port), (&high, 80), protocol::TCP, 0).0
}

/// A SYN, sent a second after the follower began.
fn opening() -> Connection {
    let mut connection = Connection {
        created_ns: BEGAN + SECOND,
        protocol: protocol::TCP,
        ..Connection::default()
    };
    connection.sent.first_ns = connection.created_ns;
    connection.sent.tcp_flags = SYN.into();
    carry(&mut connection.sent, 1, 60);
    connection
}

fn carry(direction: &mut Direction, packets: u64, bytes: u64) {
    direction.packets += packets;
    direction.bytes += bytes;
}

/// The same with an answer after two milliseconds.
fn answered() -> Connection {
    let mut connection = opening();
    connection.received.first_ns = connection.created_ns + 2_000_000;
    connection.received.tcp_flags = (SYN | ACK).into();
    carry(&mut connection.received, 1, 60);
    connection
}

fn follower() -> Follower {
    Follower::new(BEGAN)
}

fn at(seconds: u64) -> u64 {
    BEGAN + SECOND + seconds * SECOND
}

#[test]
fn a_connection_that_closes_is_told_once_and_what_comes_after_it_as_well() {
    let mut follower = follower();
    let mut connection = answered();
    assert_eq!(
        follower.look(&key(1), &connection, at(1), Entry::Stays),
        None
    );
    connection.sent.tcp_flags |= u32::from(FIN);
    connection.received.tcp_flags |= u32::from(FIN);
    carry(&mut connection.sent, 9, 940);
    let closed = follower.look(&key(1), &connection, at(2), Entry::Stays);
    let closed = closed.unwrap();
    assert_eq!(
        (closed.outcome, closed.ended),
        (Some(Outcome::Closed), true)
    );
    assert_eq!(closed.answered, Some(Duration::from_millis(2)));
    assert_eq!((closed.sent.packets, closed.sent.bytes), (10, 1000));
    assert_eq!(
        follower.look(&key(1), &connection, at(3), Entry::Stays),
        None
    );
    carry(&mut connection.received, 1, 40);
    let last = follower.look(&key(1), &connection, at(13), Entry::Goes);
    let last = last.unwrap();
    assert_eq!((last.outcome, last.answered), (None, None));
    assert!(!last.ended, "its end was told");
    assert_eq!(
        last.received,
        Traffic {
            packets: 1,
            bytes: 40,
            retransmits: 0
        }
    );
    assert_eq!(last.sent, Traffic::default());
    assert!(follower.is_empty());
}

#[test]
fn an_opening_without_an_answer_is_told_after_three_seconds_and_its_late_answer_too() {
    let mut follower = follower();
    let mut connection = opening();
    connection.destination_endpoint = 8;
    assert_eq!(
        follower.look(&key(1), &connection, at(2), Entry::Stays),
        None
    );
    connection.sent.syn_retransmits = 2;
    let waiting = follower.look(&key(1), &connection, at(3), Entry::Stays);
    let waiting = waiting.unwrap();
    assert_eq!(waiting.outcome, Some(Outcome::Unanswered));
    assert!(waiting.delivered && waiting.syn_retransmits == 2 && !waiting.ended);
    assert_eq!(
        follower.look(&key(1), &connection, at(4), Entry::Stays),
        None
    );
    connection.received.first_ns = connection.created_ns + 5 * SECOND;
    connection.received.tcp_flags = (SYN | ACK).into();
    let late = follower.look(&key(1), &connection, at(10), Entry::Stays);
    let late = late.unwrap();
    assert!(late.late && late.outcome.is_none());
    assert_eq!(late.answered, Some(Duration::from_secs(5)));
}

#[test]
fn what_is_sent_again_is_told_by_direction_as_often_as_it_was_since_the_last_look() {
    let mut follower = follower();
    let mut connection = answered();
    connection.retransmits_sent = 3;
    connection.retransmits_received = 1;
    let first = follower.look(&key(1), &connection, at(11), Entry::Stays);
    let first = first.unwrap();
    assert_eq!((first.sent.retransmits, first.received.retransmits), (3, 1));
    connection.retransmits_received = 5;
    let next = follower.look(&key(1), &connection, at(21), Entry::Stays);
    let next = next.unwrap();
    assert_eq!((next.sent.retransmits, next.received.retransmits), (0, 4));
}

/// The same, whose client sent a hundred octets that the server has not acknowledged.
fn waiting() -> Connection {
    let mut connection = answered();
    connection.destination_endpoint = 8;
    connection.sent.tcp_flags |= u32::from(ACK);
    (connection.sent.seq_end, connection.sent.ack) = (1101, 501);
    (connection.received.seq_end, connection.received.ack) = (501, 1001);
    connection
}

#[test]
fn what_is_sent_again_from_look_to_look_and_not_acknowledged_stalls_once() {
    let mut follower = follower();
    let mut connection = waiting();
    let mut look = |connection: &Connection, second| {
        let told = follower.look(&key(1), connection, at(second), Entry::Stays);
        told.and_then(|change| change.stalled)
    };
    connection.retransmits_sent = 4;
    assert_eq!(
        look(&connection, 11),
        None,
        "it may have been sent just now"
    );
    connection.retransmits_sent = 5;
    let stall = Stall::Unacknowledged {
        at: End::Server,
        delivered: true,
    };
    assert_eq!(look(&connection, 21), Some(stall));
    assert_eq!(look(&connection, 31), None, "a long pause");
    connection.retransmits_sent = 6;
    assert_eq!(look(&connection, 41), None, "the same one");
    // It goes on, and stalls anew.
    (connection.received.ack, connection.sent.seq_end) = (1101, 1201);
    connection.retransmits_sent = 9;
    assert_eq!(look(&connection, 51), None);
    connection.retransmits_sent = 10;
    assert_eq!(look(&connection, 61), Some(stall));
}

#[test]
fn the_client_stalls_as_well_and_who_resets_or_acknowledges_does_not() {
    let second = |change: fn(&mut Connection)| {
        let mut follower = follower();
        let mut connection = waiting();
        std::mem::swap(
            &mut connection.sent.seq_end,
            &mut connection.received.seq_end,
        );
        std::mem::swap(&mut connection.sent.ack, &mut connection.received.ack);
        follower.look(&key(1), &connection, at(11), Entry::Stays);
        connection.retransmits_received = 3;
        change(&mut connection);
        let told = follower.look(&key(1), &connection, at(21), Entry::Goes);
        told.and_then(|change| change.stalled)
    };
    let stall = Stall::Unacknowledged {
        at: End::Client,
        delivered: false,
    };
    assert_eq!(second(|_| {}), Some(stall));
    assert_eq!(second(|of| of.sent.ack += 1), None);
    assert_eq!(second(|of| of.retransmits_received = 0), None);
    assert_eq!(second(|of| of.sent.tcp_flags |= u32::from(RST)), None);
}

#[test]
fn a_connection_that_its_client_has_closed_is_told_when_its_server_keeps_it_in_silence() {
    let told = |change: fn(&mut Connection, u64)| {
        let mut follower = follower();
        let mut connection = answered();
        let mut all = Vec::new();
        for second in (10..=130).step_by(10) {
            if second == 20 {
                connection.sent.tcp_flags |= u32::from(FIN);
                carry(&mut connection.received, 1, 40);
            }
            change(&mut connection, second);
            let told = follower.look(&key(1), &connection, at(second), Entry::Stays);
            let stall = told.and_then(|change| change.stalled);
            all.extend(stall.map(|stall| (second, stall)));
        }
        all
    };
    assert_eq!(told(|_, _| {}), [(80, Stall::Unclosed)], "once");
    let speaks: fn(&mut Connection, u64) = |of, second| {
        if second <= 50 {
            carry(&mut of.received, 3, 400);
        }
    };
    assert_eq!(
        told(speaks),
        [(110, Stall::Unclosed)],
        "since it fell silent"
    );
    let speaks: fn(&mut Connection, u64) = |of, _| carry(&mut of.received, 3, 400);
    assert_eq!(told(speaks), []);
    let closes: fn(&mut Connection, u64) = |of, second| {
        if second == 70 {
            of.received.tcp_flags |= u32::from(FIN);
        }
    };
    assert_eq!(told(closes), []);
    let resets: fn(&mut Connection, u64) = |of, second| {
        if second == 70 {
            of.sent.tcp_flags |= u32::from(RST);
        }
    };
    assert_eq!(told(resets), []);
    // How clients keep what their servers have closed.
    let servers: fn(&mut Connection, u64) = |of, _| {
        std::mem::swap(&mut of.sent.tcp_flags, &mut of.received.tcp_flags);
        of.sent.tcp_flags &= !u32::from(FIN);
        of.received.tcp_flags |= u32::from(FIN);
    };
    assert_eq!(told(servers), []);
}

#[test]
fn a_window_that_stays_closed_while_it_is_asked_about_stalls() {
    let second = |change: fn(&mut Connection)| {
        let mut follower = follower();
        let mut connection = waiting();
        connection.received.ack = connection.sent.seq_end;
        connection.received.full = 1;
        follower.look(&key(1), &connection, at(11), Entry::Stays);
        carry(&mut connection.sent, 5, 200);
        change(&mut connection);
        let told = follower.look(&key(1), &connection, at(21), Entry::Stays);
        told.and_then(|change| change.stalled)
    };
    assert_eq!(second(|_| {}), Some(Stall::Full(End::Server)));
    assert_eq!(second(|of| of.received.full = 0), None);
    assert_eq!(second(|of| of.received.ack += 1), None);
    let answers: fn(&mut Connection) = |of| of.received.seq_end += 10;
    assert_eq!(second(answers), None, "who takes nothing may say something");
    let silent: fn(&mut Connection) = |of| of.sent.packets -= 5;
    assert_eq!(second(silent), None, "nobody wants to send");
}

#[test]
fn resets_are_told_at_once_and_by_whom() {
    let refused = {
        let mut connection = opening();
        connection.received.first_ns = connection.created_ns + 1;
        connection.received.tcp_flags = (RST | ACK).into();
        connection
    };
    let by_client = {
        let mut connection = answered();
        connection.sent.tcp_flags |= u32::from(RST);
        connection
    };
    let by_server = {
        let mut connection = answered();
        connection.received.tcp_flags |= u32::from(PSH | RST);
        connection
    };
    let cut = {
        let mut connection = answered();
        connection.sent.tcp_flags |= u32::from(PSH);
        connection.received.tcp_flags |= u32::from(RST);
        connection
    };
    // A prober that goes as soon as it was answered, and what comes after a close.
    let probed = {
        let mut connection = answered();
        connection.sent.tcp_flags |= u32::from(FIN);
        connection.received.tcp_flags |= u32::from(RST);
        connection
    };
    let given_up = {
        let mut connection = opening();
        connection.sent.tcp_flags |= u32::from(RST);
        connection
    };
    for (connection, outcome) in [
        (refused, Outcome::Refused),
        (by_client, Outcome::ResetByClient),
        (by_server, Outcome::ResetByServer),
        (cut, Outcome::CutByServer),
        (probed, Outcome::ResetByServer),
        (given_up, Outcome::ResetByClient),
    ] {
        let mut follower = follower();
        let told = follower.look(&key(1), &connection, at(0), Entry::Stays);
        assert_eq!(told.unwrap().outcome, Some(outcome));
        assert_eq!(
            follower.look(&key(1), &connection, at(11), Entry::Goes),
            None
        );
    }
}

#[test]
fn a_connection_that_lasts_is_told_in_parts_that_add_up() {
    let mut follower = follower();
    let mut connection = answered();
    let mut sum = Traffic::default();
    for second in 0..100 {
        carry(&mut connection.sent, 3, 300);
        let entry = if second == 99 {
            Entry::Goes
        } else {
            Entry::Stays
        };
        if let Some(change) = follower.look(&key(1), &connection, at(second), entry) {
            sum.packets += change.sent.packets;
            sum.bytes += change.sent.bytes;
            let idle = (second == 99).then_some(Outcome::Idle);
            assert_eq!(change.outcome, idle);
        }
    }
    assert_eq!(
        sum,
        Traffic::of(&connection.sent, connection.retransmits_sent)
    );
}

#[test]
fn what_the_client_measures_is_told_whenever_something_was_sent_or_what_the_server_does() {
    let measured = |smoothed_us, least_us| connection::RoundTrip {
        smoothed_us,
        least_us,
    };
    let told = |smoothed, least| {
        Some(RoundTrip {
            smoothed: Duration::from_micros(smoothed),
            least: Duration::from_micros(least),
        })
    };
    let mut follower = follower();
    let mut connection = answered();
    let mut look = |connection: &Connection, second| {
        let change = follower.look(&key(1), connection, at(second), Entry::Stays);
        change.and_then(|change| change.round_trip)
    };
    assert_eq!(look(&connection, 10), None, "nobody measured anything");
    connection.round_trip_received = measured(900, 300);
    assert_eq!(look(&connection, 20), None, "nothing was sent");
    carry(&mut connection.received, 1, 60);
    assert_eq!(look(&connection, 30), told(900, 300));
    connection.round_trip_sent = measured(700, 200);
    carry(&mut connection.sent, 1, 60);
    assert_eq!(look(&connection, 40), told(700, 200));
    assert_eq!(look(&connection, 50), None);
}

#[test]
fn an_entry_that_another_connection_took_over_is_another_one() {
    let mut follower = follower();
    let mut first = answered();
    first.received.tcp_flags |= u32::from(PSH | RST);
    assert!(
        follower
            .look(&key(1), &first, at(0), Entry::Stays)
            .is_some()
    );
    let mut second = first;
    second.created_ns += SECOND;
    let told = follower.look(&key(1), &second, at(2), Entry::Stays);
    assert_eq!(told.unwrap().outcome, Some(Outcome::ResetByServer));
}

#[test]
fn what_was_before_the_follower_began_is_not_told_again() {
    let mut connection = answered();
    connection.created_ns = BEGAN - SECOND;
    let mut follower = follower();
    assert_eq!(
        follower.look(&key(1), &connection, at(9), Entry::Stays),
        None
    );
    carry(&mut connection.sent, 1, 100);
    let change = follower.look(&key(1), &connection, at(19), Entry::Goes);
    let change = change.unwrap();
    assert_eq!(
        change.sent,
        Traffic {
            packets: 1,
            bytes: 100,
            retransmits: 0
        }
    );
    assert_eq!(
        (change.answered, change.outcome),
        (None, Some(Outcome::Idle))
    );
}

#[test]
fn the_end_of_a_connection_from_before_is_told_if_nobody_can_have_told_it() {
    let mut open = answered();
    open.created_ns = BEGAN - SECOND;
    let mut closed = open;
    closed.sent.tcp_flags |= u32::from(FIN);
    closed.received.tcp_flags |= u32::from(FIN);
    let mut waits = opening();
    waits.created_ns = BEGAN - SECOND;
    for (connection, entry, told) in [
        (open, Entry::Stays, None),
        (closed, Entry::Stays, None),
        (closed, Entry::Goes, None),
        (open, Entry::Closes, None),
        // Its event has waited until now.
        (closed, Entry::Closes, Some(Some(Outcome::Closed))),
        (open, Entry::Goes, Some(Some(Outcome::Idle))),
        // That nobody answered was told when it had waited for three seconds.
        (waits, Entry::Goes, Some(None)),
    ] {
        let change = follower().look(&key(1), &connection, at(9), entry);
        let expected = told.map(|outcome| Change {
            outcome,
            ended: true,
            ..Change::default()
        });
        assert_eq!(change, expected, "{entry:?} {connection:?}");
    }
}

#[test]
fn an_opening_that_nobody_answers_ends_when_its_entry_goes() {
    let mut follower = follower();
    let waiting = follower.look(&key(1), &opening(), at(3), Entry::Stays);
    assert!(waiting.is_some_and(|of| !of.ended));
    let gone = follower.look(&key(1), &opening(), at(63), Entry::Goes);
    let ended = Change {
        ended: true,
        ..Change::default()
    };
    assert_eq!(gone, Some(ended));
}

#[test]
fn datagrams_without_an_answer_are_no_failure() {
    let mut connection = opening();
    connection.protocol = protocol::UDP;
    connection.sent.tcp_flags = 0;
    let mut follower = follower();
    let told = follower.look(&key(1), &connection, at(60), Entry::Goes);
    assert_eq!(told.unwrap().outcome, Some(Outcome::Idle));
}

#[test]
fn a_connection_whose_entry_went_unseen_is_forgotten_and_one_that_lives_is_not() {
    let mut follower = follower();
    let mut evicted = answered();
    evicted.received.tcp_flags |= u32::from(RST);
    assert!(
        follower
            .look(&key(1), &evicted, at(0), Entry::Stays)
            .is_some()
    );
    let lives = answered();
    let half = FORGOTTEN.as_secs() / 2;
    for time in [SETTLED.as_secs(), half, 2 * half, 3 * half] {
        follower.look(&key(2), &lives, at(time), Entry::Stays);
    }
    assert_eq!(follower.len(), 1);
    // It is not told anew.
    assert_eq!(
        follower.look(&key(2), &lives, at(4 * half), Entry::Stays),
        None
    );
}
