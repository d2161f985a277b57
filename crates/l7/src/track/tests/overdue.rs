//! Requests whose answers do not come, while their connections stay open.

use super::*;
use crate::patience::{ENOUGH, LEAST_NS};
use crate::record::Ending;

impl Player {
    /// Exchanges on a connection until it is known how long they take; gives the numbers of the octets after them.
    fn used(&mut self, key: u32) -> [u32; 2] {
        let mut next = [10, 10];
        self.syn(key, 9);
        for _ in 0..ENOUGH {
            self.say(key, ToServer, next[0], REQUEST);
            self.say(key, ToClient, next[1], ANSWER);
            next[0] += REQUEST.len() as u32;
            next[1] += ANSWER.len() as u32;
        }
        assert_eq!(self.out.len(), ENOUGH as usize);
        self.out.clear();
        next
    }

    fn wait(&mut self, time_ns: u64) {
        self.time_ns += time_ns;
        self.tracker.tick(self.time_ns, &mut self.out);
    }

    /// How requests ended, with their status.
    fn endings(&mut self) -> Vec<(Ending, Seen<u16>)> {
        let records = self.out.drain(..);
        let endings = records.map(|(_, record)| match record {
            Record::Http(http) => (http.ending, http.status),
            other => panic!("{other:?}"),
        });
        endings.collect()
    }

    fn late(&self) -> u64 {
        self.tracker.totals().of(Protocol::Http1).late
    }
}

const OVERDUE: (Ending, Seen<u16>) = (Ending::Overdue, Seen::Absent);
const WHOLE: (Ending, Seen<u16>) = (Ending::Whole, Seen::Known(200));

#[test]
fn an_overdue_request_is_told_once_and_its_late_answer_belongs_to_it() {
    let mut player = Player::default();
    let next = player.used(1);
    player.say(1, ToServer, next[0], REQUEST);
    player.wait(LEAST_NS / 2);
    assert_eq!(player.endings(), []);
    player.wait(LEAST_NS / 2 + 1);
    assert_eq!(player.endings(), [OVERDUE]);
    player.wait(LEAST_NS);
    player.say(1, ToClient, next[1], ANSWER);
    assert_eq!(player.endings(), [], "it is a record already");
    assert_eq!(player.late(), 1);
    player.say(1, ToServer, next[0] + REQUEST.len() as u32, REQUEST);
    player.say(1, ToClient, next[1] + ANSWER.len() as u32, ANSWER);
    assert_eq!(player.endings(), [WHOLE]);
}

#[test]
fn an_overdue_request_whose_connection_ends_is_no_second_record() {
    let mut player = Player::default();
    let next = player.used(1);
    player.say(1, ToServer, next[0], REQUEST);
    player.wait(LEAST_NS + 1);
    assert_eq!(player.endings(), [OVERDUE]);
    let ends = [next[0] + REQUEST.len() as u32, next[1]];
    player.tracker.closed(1, Some(ends), &mut player.out);
    assert_eq!(player.endings(), []);
    assert_eq!(player.late(), 0, "there was no answer");
}

#[test]
fn nothing_is_overdue_whose_answer_may_have_been_lost_or_has_begun() {
    let mut player = Player::default();
    let next = player.used(1);
    player.say(1, ToServer, next[0], REQUEST);
    player.tracker.lost();
    player.wait(LEAST_NS + 1);
    assert_eq!(player.endings(), []);
    player.say(1, ToClient, next[1], ANSWER);
    assert_eq!(player.endings(), [WHOLE]);
    let next = [
        next[0] + REQUEST.len() as u32,
        next[1] + ANSWER.len() as u32,
    ];
    player.say(1, ToServer, next[0], REQUEST);
    player.say(1, ToClient, next[1], &ANSWER[..ANSWER.len() - 1]);
    player.wait(LEAST_NS + 1);
    assert_eq!(player.endings(), []);
}

#[test]
fn an_answer_of_which_nobody_knows_how_long_it_takes_may_take_long() {
    let mut player = Player::default();
    player.syn(1, 9);
    player.say(1, ToServer, 10, REQUEST);
    player.wait(60 * LEAST_NS);
    assert_eq!(player.endings(), []);
    player.say(1, ToClient, 10, ANSWER);
    assert_eq!(player.endings(), [WHOLE]);
}

/// A heartbeat of Kafka's with this number, and its answer (version 1 of both).
fn beat(number: i32) -> [Vec<u8>; 2] {
    let framed = |parts: &[&[u8]]| {
        let message = parts.concat();
        [&(message.len() as u32).to_be_bytes()[..], &message].concat()
    };
    let number = number.to_be_bytes();
    let (api, version) = ([0, 12], [0, 1]);
    [
        framed(&[
            &api,
            &version,
            &number,
            b"\0\x03app",
            b"\0\x07billing",
            &[0; 4],
            b"\0\x01m",
        ]),
        framed(&[&number, &[0; 4], &[0; 2]]),
    ]
}

#[test]
fn what_a_broker_does_not_answer_is_told_once_and_its_late_answer_belongs_to_it() {
    let mut player = Player::default();
    let mut next = [10, 10];
    let mut say = |player: &mut Player, direction: Direction, octets: &[u8]| {
        let sequence = &mut next[direction as usize];
        player.say(1, direction, *sequence, octets);
        *sequence += octets.len() as u32;
    };
    let endings = |player: &mut Player| -> Vec<Ending> {
        let records = player.out.drain(..);
        let endings = records.map(|(_, record)| match record {
            Record::Kafka(kafka) => kafka.ending,
            other => panic!("{other:?}"),
        });
        endings.collect()
    };
    player.syn(1, 9);
    for number in 0..ENOUGH as i32 {
        let [asked, told] = beat(number);
        say(&mut player, ToServer, &asked);
        say(&mut player, ToClient, &told);
    }
    assert_eq!(endings(&mut player), vec![Ending::Whole; ENOUGH as usize]);
    let [asked, told] = beat(500);
    let [asked_next, told_next] = beat(501);
    say(&mut player, ToServer, &asked);
    // The broker answers in order: what waits behind it is not the one that is overdue.
    say(&mut player, ToServer, &asked_next);
    player.wait(LEAST_NS / 2);
    assert_eq!(endings(&mut player), []);
    player.wait(LEAST_NS / 2 + 2000);
    assert_eq!(endings(&mut player), [Ending::Overdue]);
    player.wait(LEAST_NS);
    assert_eq!(endings(&mut player), [], "once");
    say(&mut player, ToClient, &told);
    assert_eq!(endings(&mut player), [], "it is a record already");
    assert_eq!(player.tracker.totals().of(Protocol::Kafka).late, 1);
    say(&mut player, ToClient, &told_next);
    assert_eq!(endings(&mut player), [Ending::Whole]);
    // Its beginning is there.
    let [asked, told] = beat(502);
    say(&mut player, ToServer, &asked);
    say(&mut player, ToClient, &told[..6]);
    player.wait(2 * LEAST_NS);
    assert_eq!(endings(&mut player), []);
}
