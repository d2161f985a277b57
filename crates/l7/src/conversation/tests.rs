use super::*;

/// Plays samples as (direction, place, octets, time) and gives what is said; gaps are dots.
fn played(samples: &[(Direction, u32, &str, u64)], tick_ns: u64) -> (String, usize) {
    let mut conversation = Conversation::default();
    let mut text = String::new();
    let mut write = |_: Direction, piece: Piece<'_>| match piece {
        Piece::Octets { octets, .. } => text.push_str(std::str::from_utf8(octets).unwrap()),
        Piece::Gap { .. } => text.push('.'),
    };
    for (direction, at, octets, time_ns) in samples {
        let sample = Sample {
            sequence: *at,
            syn: false,
            octets: octets.as_bytes(),
            length: 0,
            expected: None,
            time_ns: *time_ns,
        };
        conversation.push(*direction, sample, &mut write);
    }
    conversation.tick(tick_ns, &mut write);
    let held = conversation.held_octets();
    conversation.finish(None, &mut write);
    assert_eq!(conversation.held_octets(), 0);
    (text, held)
}

use Direction::{ToClient, ToServer};

#[test]
fn an_answer_waits_for_a_question_that_is_late() {
    let samples = [
        (ToServer, 0, "ab", 1),
        (ToClient, 0, "AB", 2),
        (ToServer, 4, "ef", 3),
        (ToClient, 2, "EF", 4),
        (ToServer, 2, "cd", 5),
        (ToClient, 4, "GH", 6),
    ];
    assert_eq!(played(&samples[..4], 4), ("abAB.efEF".into(), 4));
    assert_eq!(played(&samples, 6), ("abABcdefEFGH".into(), 0));
}

#[test]
fn nothing_waits_longer_than_a_second() {
    let samples = [
        (ToServer, 0, "ab", 1),
        (ToServer, 4, "ef", 3),
        (ToClient, 0, "AB", 4),
    ];
    assert_eq!(played(&samples, 2 + HOLD_NS).1, 4);
    assert_eq!(played(&samples, 3 + HOLD_NS), ("ab.efAB".into(), 0));
}

#[test]
fn both_directions_with_a_hole_end_as_well() {
    let samples = [
        (ToServer, 0, "ab", 1),
        (ToClient, 0, "AB", 2),
        (ToServer, 4, "ef", 3),
        (ToClient, 4, "EF", 4),
        (ToClient, 2, "CD", 5),
    ];
    assert_eq!(played(&samples, 3 + HOLD_NS), ("abAB.efCDEF".into(), 0));
}

#[test]
fn what_is_held_is_bounded() {
    let mut conversation = Conversation::default();
    let mut most = 0;
    for number in 0..2000_u32 {
        let direction = if number % 3 == 0 { ToServer } else { ToClient };
        let hole = if direction == ToServer { 10 } else { 0 };
        let sample = Sample {
            sequence: number * 1010 + hole * number,
            syn: false,
            octets: &[7; 1000],
            length: 1000,
            expected: None,
            time_ns: 9,
        };
        conversation.push(direction, sample, &mut |_, _| {});
        most = most.max(conversation.held_octets());
    }
    assert!(most > HELD_OCTETS / 2, "{most}");
    assert!(most <= 3 * HELD_OCTETS + 2000, "{most}");
}
