use super::*;
use crate::record::{Http, Seen};
use Direction::{ToClient, ToServer};

mod overdue;

const REQUEST: &[u8] = b"GET /users/17?x HTTP/1.1\r\nHost: shop\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Gives samples of connections to a tracker.
#[derive(Default)]
struct Player {
    tracker: Tracker<u32>,
    out: Vec<(u32, Record)>,
    time_ns: u64,
    /// Connections are of so many pods in turn.
    pods: u32,
}

impl Player {
    fn syn(&mut self, key: u32, sequence: u32) {
        for direction in Direction::ALL {
            let sample = Sample {
                sequence,
                syn: true,
                time_ns: self.time_ns,
                ..Sample::default()
            };
            let origin = Origin {
                pod: self.pod(key),
                ..Origin::default()
            };
            self.tracker
                .segment(key, origin, direction, sample, &mut self.out);
        }
    }

    fn pod(&self, key: u32) -> u16 {
        match self.pods {
            0 => 0,
            pods => (key % pods) as u16,
        }
    }

    fn say(&mut self, key: u32, direction: Direction, sequence: u32, octets: &[u8]) {
        self.time_ns += 1000;
        let origin = Origin {
            service: 7,
            hint: None,
            pod: self.pod(key),
        };
        let sample = Sample {
            sequence,
            syn: false,
            octets,
            length: 0,
            expected: None,
            time_ns: self.time_ns,
        };
        self.tracker
            .segment(key, origin, direction, sample, &mut self.out);
    }

    fn paths(&self) -> Vec<(u32, &str)> {
        let paths = self.out.iter().filter_map(|(key, record)| match record {
            Record::Http(http) => Some((*key, http.path.known()?.as_str())),
            _ => None,
        });
        paths.collect()
    }
}

#[test]
fn connections_are_told_apart_and_have_templates() {
    let mut player = Player::default();
    for key in 0..3 {
        player.syn(key, 9);
        player.say(key, ToServer, 10, REQUEST);
    }
    for key in [2, 0] {
        player.say(key, ToClient, 10, ANSWER);
    }
    assert_eq!(player.paths(), [(2, "/users/17"), (0, "/users/17")]);
    let (_, Record::Http(http)) = &player.out[0] else {
        panic!("{:?}", player.out);
    };
    assert_eq!(http.template, Seen::Known("/users/{id}".into()));
    assert_eq!(player.tracker.protocol(1), Some(Protocol::Http1));
    let counts = player.tracker.totals().of(Protocol::Http1);
    assert_eq!(
        counts,
        Counts {
            records: 2,
            ..Counts::default()
        }
    );
}

#[test]
fn a_port_used_again_is_another_connection() {
    let mut player = Player::default();
    player.syn(1, 9);
    player.say(1, ToServer, 10, REQUEST);
    player.syn(1, 9);
    assert_eq!(player.out.len(), 0, "the same SYN again changes nothing");
    player.syn(1, 5_000_000);
    let (_, Record::Http(http)) = &player.out[0] else {
        panic!("{:?}", player.out);
    };
    let expected = Http {
        status: Seen::Unknown,
        ..(**http).clone()
    };
    assert_eq!(
        **http, expected,
        "nobody said that it had ended without an answer"
    );
    player.say(1, ToServer, 5_000_001, REQUEST);
    player.say(1, ToClient, 5_000_001, ANSWER);
    assert_eq!(player.paths().len(), 2);
}

#[test]
fn what_speaks_something_else_costs_next_to_nothing() {
    let mut player = Player::default();
    player.syn(1, 9);
    player.say(1, ToServer, 10, b"*1\r\n$4\r\nPING\r\n");
    assert_eq!(player.tracker.wants(1), Some(Want::Nothing));
    let octets = player.tracker.octets();
    for number in 0..100 {
        player.say(1, ToServer, 10 + number * 3000, &[0; 1000]);
    }
    assert_eq!(player.tracker.octets(), octets);
    assert!(octets < 1024, "{octets}");
    assert_eq!(player.tracker.totals().of(Protocol::Other).other, 1);
}

#[test]
fn more_connections_than_the_budget_are_counted() {
    let budget = Budget {
        connections: 2,
        ..Budget::default()
    };
    let mut player = Player {
        tracker: Tracker::new(budget),
        ..Player::default()
    };
    for key in 0..5 {
        player.say(key, ToServer, 10, REQUEST);
    }
    assert_eq!(player.tracker.len(), 2);
    assert_eq!(player.tracker.totals().of(Protocol::Other).over_budget, 3);
    player.tracker.closed(0, None, &mut player.out);
    player.say(9, ToServer, 10, REQUEST);
    assert_eq!(player.tracker.len(), 2);
}

#[test]
fn memory_over_all_connections_has_a_bound() {
    let budget = Budget {
        octets: 100_000,
        ..Budget::default()
    };
    let mut player = Player {
        tracker: Tracker::new(budget),
        pods: 10,
        ..Player::default()
    };
    let mut most = 0;
    for key in 0..200 {
        player.syn(key, 9);
        player.say(key, ToServer, 10, b"GET /a HTTP/1.1\r\nCookie: ");
        player.say(key, ToServer, 34, &[b'x'; 3000]);
        most = most.max(player.tracker.octets());
    }
    for key in 0..200 {
        // And some that wait for a segment before them.
        player.say(key, ToServer, 9034, &[b'x'; 3000]);
        player.say(key, ToServer, 15034, &[b'x'; 3000]);
        most = most.max(player.tracker.octets());
    }
    assert!((90_000..=101_000).contains(&most), "{most}");
    let over = |protocol| player.tracker.totals().of(protocol).over_budget;
    assert!(over(Protocol::Http1) > 10);
    assert!(over(Protocol::Other) > 10, "new ones are not followed");
    for key in 0..200 {
        player.tracker.closed(key, None, &mut player.out);
    }
    assert_eq!((player.tracker.octets(), player.tracker.len()), (0, 0));
}

#[test]
fn a_pod_that_takes_all_it_can_leaves_room_for_the_others() {
    let budget = Budget {
        connections: 1000,
        ..Budget::default()
    };
    let mut player = Player {
        tracker: Tracker::new(budget),
        pods: 1000,
        ..Player::default()
    };
    // Of pod 7, and then of two more.
    for key in (0..2000).map(|number| number * 1000 + 7) {
        player.say(key, ToServer, 10, REQUEST);
    }
    assert_eq!(player.tracker.len(), 750);
    for pod in [8, 9] {
        for key in (0..20).map(|number| number * 1000 + pod) {
            player.say(key, ToServer, 10, REQUEST);
            assert_eq!(
                player.tracker.wants(key),
                Some(Want::Heads),
                "connection {key}"
            );
        }
    }
    let over = player.tracker.totals().of(Protocol::Other).over_budget;
    assert_eq!(over, 1250, "and they are counted");
    for key in (0..2000).map(|number| number * 1000 + 7) {
        player.tracker.closed(key, None, &mut player.out);
    }
    for key in (0..2000).map(|number| number * 1000 + 8) {
        player.say(key, ToServer, 10, REQUEST);
    }
    assert_eq!(player.tracker.len(), 20 + 735, "three times what two leave");
}

#[test]
fn octets_of_one_pod_do_not_take_the_room_of_others() {
    let budget = Budget {
        octets: 200_000,
        ..Budget::default()
    };
    let mut player = Player {
        tracker: Tracker::new(budget),
        pods: 1000,
        ..Player::default()
    };
    for key in (0..200).map(|number| number * 1000 + 7) {
        player.say(key, ToServer, 10, b"GET /a HTTP/1.1\r\nCookie: ");
        player.say(key, ToServer, 34, &[b'x'; 3000]);
        assert!(player.tracker.octets() <= 151_000);
    }
    let before = player.tracker.totals().of(Protocol::Http1).over_budget;
    assert!(before > 0);
    player.say(8, ToServer, 10, REQUEST);
    player.say(8, ToClient, 10, ANSWER);
    assert_eq!(player.paths().last(), Some(&(8, "/users/17")));
}

#[test]
fn a_connection_whose_end_was_missed_is_forgotten_after_an_hour() {
    let mut player = Player::default();
    player.syn(1, 9);
    player.say(1, ToServer, 10, REQUEST);
    player.tracker.tick(IDLE_NS, &mut player.out);
    assert_eq!(player.tracker.len(), 1);
    player
        .tracker
        .tick(IDLE_NS + player.time_ns, &mut player.out);
    assert_eq!(
        (player.tracker.len(), player.paths()),
        (0, vec![(1, "/users/17")])
    );
}

#[test]
fn what_is_not_read_is_forgotten_after_a_minute() {
    let mut player = Player::default();
    player.syn(1, 9);
    player.say(1, ToServer, 10, b"*1\r\n$4\r\nPING\r\n");
    player.tracker.tick(OPAQUE_NS, &mut player.out);
    assert_eq!(player.tracker.len(), 1);
    player
        .tracker
        .tick(OPAQUE_NS + player.time_ns, &mut player.out);
    assert_eq!(player.tracker.len(), 0);
}

#[test]
fn what_is_wanted_depends_on_what_is_spoken_and_is_nothing_without_room() {
    let budget = Budget {
        connections: 3,
        ..Budget::default()
    };
    let mut player = Player {
        tracker: Tracker::new(budget),
        ..Player::default()
    };
    for key in 1..=4 {
        player.syn(key, 9);
    }
    assert_eq!(player.tracker.wants(1), Some(Want::Beginning));
    player.say(1, ToServer, 10, REQUEST);
    player.say(2, ToServer, 10, crate::classify::PREFACE);
    player.say(3, ToServer, 10, &[0; 100]);
    player.say(4, ToServer, 10, REQUEST);
    let wants = [1, 2, 3, 4].map(|key| player.tracker.wants(key));
    let all = [Want::Heads, Want::Frames, Want::Nothing];
    assert_eq!(wants[..3], all.map(Some));
    assert_eq!(wants[3], None, "there is no room for it");
}

#[test]
fn what_was_lost_and_cut_and_joined_late_is_counted() {
    let mut player = Player::default();
    player.say(1, ToServer, 10, REQUEST);
    player.say(1, ToServer, 1000, REQUEST);
    player.tracker.tick(2_000_000_000, &mut player.out);
    let sample = Sample {
        sequence: 10,
        octets: &ANSWER[..17],
        length: 100,
        time_ns: 2_000_000_001,
        ..Sample::default()
    };
    player
        .tracker
        .segment(1, Origin::default(), ToClient, sample, &mut player.out);
    let counts = player.tracker.totals().of(Protocol::Http1);
    assert_eq!((counts.gaps, counts.midway), (2, 1));
    assert_eq!(counts.gap_octets, 990 - REQUEST.len() as u64 + 83);
    assert!(counts.unknown >= 2 && counts.doubts >= 1, "{counts:?}");
}

/// Nanoseconds for a request with its answer, each of which is one sample.
fn nanoseconds(beginning: &[u8], request: &[u8], answer: &[u8], expected: usize) -> u128 {
    let mut player = Player::default();
    player.syn(1, 9);
    player.say(1, ToServer, 10, beginning);
    let rounds = 20_000_u32;
    let first = 10 + beginning.len() as u32;
    let start = std::time::Instant::now();
    for round in 0..rounds {
        player.say(1, ToServer, first + round * request.len() as u32, request);
        player.say(1, ToClient, 10 + round * answer.len() as u32, answer);
        if round % 100 == 99 {
            assert_eq!(player.out.len(), expected);
            player.out.clear();
        }
    }
    start.elapsed().as_nanos() / u128::from(rounds)
}

#[test]
fn a_request_over_http1_takes_so_long() {
    let ns = nanoseconds(b"", REQUEST, ANSWER, 100);
    println!("figure: l7, a request over HTTP/1 with its answer | {ns} ns");
}

/// The server's SYN came, so the connection's beginning was seen, but not that of its client.
#[test]
fn the_rest_of_a_method_is_no_method_where_the_clients_syn_was_lost() {
    let mut player = Player::default();
    let syn = Sample {
        sequence: 9,
        syn: true,
        ..Sample::default()
    };
    player
        .tracker
        .segment(1, Origin::default(), ToClient, syn, &mut player.out);
    player.say(1, ToServer, 12, &REQUEST[2..]);
    player.say(1, ToServer, 10, &REQUEST[..2]);
    player.say(1, ToClient, 10, ANSWER);
    player.tracker.closed(1, None, &mut player.out);
    let methods = player.out.iter().filter_map(|(_, record)| match record {
        Record::Http(http) => http.method.known(),
        _ => None,
    });
    assert_eq!(methods.collect::<Vec<_>>(), Vec::<&String>::new());
}

/// What is behind the hole was seen later, and is no part of the answer.
#[test]
fn an_answer_whose_end_was_lost_ends_where_it_was_seen_last() {
    let mut player = Player::default();
    player.syn(1, 9);
    player.say(1, ToServer, 10, REQUEST);
    player.say(1, ToClient, 10, &ANSWER[..ANSWER.len() - 1]);
    let seen_ns = player.time_ns;
    player.time_ns += 1_000_000;
    player.say(1, ToServer, 10 + REQUEST.len() as u32, REQUEST);
    player.say(1, ToClient, 10 + ANSWER.len() as u32, ANSWER);
    player
        .tracker
        .tick(player.time_ns + 2_000_000_000, &mut player.out);
    let ends = player.out.iter().filter_map(|(_, record)| match record {
        Record::Http(http) => http.end_ns,
        _ => None,
    });
    let first = ends.min().expect("a record with an end");
    assert_eq!(first, seen_ns);
}
