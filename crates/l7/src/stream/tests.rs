use std::fmt::Write;

use super::*;

/// Plays samples of one text, as (place, octets, length), and gives what comes out; gaps are `<n>`, those of cut samples `[n]`.
fn played(first: u32, samples: &[(u32, &str, u32)]) -> String {
    let mut stream = Stream::default();
    let mut text = String::new();
    let mut write = |piece: Piece<'_>| match piece {
        Piece::Octets { octets, begins, .. } => {
            text.push_str(if begins { "|" } else { "" });
            text.push_str(std::str::from_utf8(octets).unwrap());
        }
        Piece::Gap {
            octets,
            hole: Hole::Lost,
            ..
        } => write!(text, "<{octets}>").unwrap(),
        Piece::Gap {
            octets,
            hole: Hole::Cut,
            ..
        } => write!(text, "[{octets}]").unwrap(),
    };
    for (at, octets, length) in samples {
        let sample = Sample {
            sequence: first.wrapping_add(*at),
            octets: octets.as_bytes(),
            length: *length,
            ..Sample::default()
        };
        stream.push(sample, &mut write);
    }
    stream.finish(None, &mut write);
    assert_eq!(stream.held_octets(), 0);
    text
}

#[test]
fn segments_out_of_order_and_again_give_the_text_once() {
    for first in [7, u32::MAX - 4, u32::MAX] {
        let samples = [
            (0, "ab", 2),
            (4, "ef", 2),
            (4, "ef", 2),
            (2, "cd", 2),
            (0, "ab", 2),
            (6, "gh", 2),
        ];
        assert_eq!(played(first, &samples), "|ab|cd|ef|gh");
    }
}

#[test]
fn what_overlaps_is_given_once() {
    let samples = [
        (0, "abcd", 4),
        (2, "cdef", 4),
        (8, "ijkl", 4),
        (5, "fghij", 5),
    ];
    assert_eq!(played(7, &samples), "|abcdefghijkl");
}

#[test]
fn a_cut_sample_leaves_a_hole_of_the_size_of_its_rest() {
    assert_eq!(played(7, &[(0, "ab", 10), (10, "kl", 2)]), "|ab[8]|kl");
    assert_eq!(played(7, &[(0, "", 9), (9, "kl", 2)]), "[9]|kl");
    // A length that is shorter than the sample is none.
    assert_eq!(played(7, &[(0, "abc", 1), (3, "d", 1)]), "|abc|d");
}

#[test]
fn a_lost_segment_is_a_gap_when_too_much_waits_or_too_long() {
    assert_eq!(played(7, &[(0, "ab", 2), (5, "fg", 2)]), "|ab<3>|fg");
    let mut stream = Stream::default();
    let mut gaps = Vec::new();
    let mut push = |at: u32, time_ns: u64, gaps: &mut Vec<u64>| {
        let sample = Sample {
            sequence: at,
            octets: &[0; 1000],
            length: 1000,
            time_ns,
            ..Sample::default()
        };
        stream.push(sample, &mut |piece| {
            if let Piece::Gap { octets, .. } = piece {
                gaps.push(octets);
            }
        });
        (stream.held_octets(), stream.since())
    };
    push(0, 0, &mut gaps);
    for number in 2..=64 {
        let (held, since) = push(number * 1000, 5, &mut gaps);
        assert_eq!((held, since), ((number as usize - 1) * 1000, Some(5)));
    }
    assert_eq!(gaps, []);
    let (held, since) = push(66_000, 5, &mut gaps);
    assert_eq!((held, since, &gaps[..]), (64_000, Some(5), &[][..]));
    let (held, _) = push(70_000, 5, &mut gaps);
    assert_eq!(
        (held, &gaps[..]),
        (2000, &[1000][..]),
        "65 samples are one too many"
    );
    let (held, since) = push(90_000, 5 + HOLD_NS, &mut gaps);
    assert_eq!(
        gaps,
        [1000, 1000, 3000],
        "what waited for a second is given"
    );
    assert_eq!(
        (held, since),
        (1000, Some(5 + HOLD_NS)),
        "and what just came waits"
    );
}

#[test]
fn time_alone_ends_the_wait() {
    let mut stream = Stream::default();
    let mut gaps = 0;
    for at in [0, 10] {
        let sample = Sample {
            sequence: at,
            octets: b"abc",
            length: 3,
            time_ns: 4,
            ..Sample::default()
        };
        stream.push(sample, &mut |_| {});
    }
    let mut count = |piece: Piece<'_>| {
        gaps += u64::from(matches!(
            piece,
            Piece::Gap {
                octets: 7,
                hole: Hole::Lost,
                ..
            }
        ));
    };
    stream.tick(3 + HOLD_NS, &mut count);
    assert_eq!(stream.since(), Some(4));
    stream.tick(4 + HOLD_NS, &mut count);
    assert_eq!(stream.since(), None);
    assert_eq!(gaps, 1);
}

#[test]
fn without_a_syn_the_first_sample_is_the_beginning() {
    assert_eq!(
        played(7, &[(100, "ab", 2), (98, "yz", 2), (102, "cd", 2)]),
        "|ab|cd"
    );
    let mut stream = Stream::default();
    let mut text = Vec::new();
    let mut write = |piece: Piece<'_>| {
        if let Piece::Octets { octets, .. } = piece {
            text.extend_from_slice(octets);
        }
    };
    let sample = |sequence, syn, octets| Sample {
        sequence,
        syn,
        octets,
        length: 0,
        expected: None,
        time_ns: 0,
    };
    stream.push(sample(99, true, b""), &mut write);
    stream.push(sample(102, false, b"cd"), &mut write);
    stream.push(sample(100, false, b"ab"), &mut write);
    stream.push(sample(99, true, b""), &mut write);
    assert!(!stream.is_other(99));
    assert!(stream.is_other(50));
    assert_eq!(text, b"abcd");
}

#[test]
fn the_end_tells_whether_the_last_segment_was_lost() {
    let after = |end: Option<u32>| {
        let mut stream = Stream::default();
        let mut gap = 0;
        stream.push(
            Sample {
                sequence: 5,
                octets: b"ab",
                ..Sample::default()
            },
            &mut |_| {},
        );
        let certain = stream.finish(end, &mut |piece| {
            if let Piece::Gap { octets, .. } = piece {
                gap += octets;
            }
        });
        (certain, gap)
    };
    assert_eq!(after(None), (false, 0));
    assert_eq!(after(Some(7)), (true, 0));
    assert_eq!(after(Some(17)), (true, 10));
    assert!(!Stream::default().finish(Some(7), &mut |_| {}));
}

#[test]
fn a_stream_goes_on_after_gigabytes_that_nobody_saw() {
    let far = 3 << 30;
    assert_eq!(
        played(7, &[(0, "ab", 2), (far, "cd", 2), (far + 2, "ef", 2)]),
        format!("|ab<{}>|cd|ef", far - 2)
    );
}

/// As [`played`], with what was expected: (place, octets, length, expected).
fn taken(samples: &[(u32, &str, u32, u32)]) -> String {
    let mut stream = Stream::default();
    let mut text = String::new();
    for (at, octets, length, expected) in samples {
        let sample = Sample {
            sequence: *at,
            octets: octets.as_bytes(),
            length: *length,
            expected: Some(*expected),
            ..Sample::default()
        };
        stream.push(sample, &mut |piece| match piece {
            Piece::Octets { octets, .. } => text.push_str(std::str::from_utf8(octets).unwrap()),
            Piece::Gap { octets, hole, .. } => write!(text, "<{octets} {hole:?}>").unwrap(),
        });
    }
    write!(text, " waits {}", stream.held_octets()).unwrap();
    text
}

#[test]
fn what_was_left_out_on_purpose_is_not_waited_for() {
    assert_eq!(
        taken(&[(7, "ab", 10, 7), (90, "cd", 2, 90), (92, "ef", 2, 92)]),
        "ab<8 Cut><73 Cut>cdef waits 0"
    );
}

#[test]
fn what_was_lost_behind_what_was_left_out_is_waited_for() {
    // 90 was lost before anybody saw it, 95 came too early.
    let early = [(7, "ab", 2, 7), (95, "ef", 2, 90)];
    assert_eq!(taken(&early), "ab<81 Cut> waits 2");
    let [first, second] = early;
    let late = [first, second, (97, "gh", 2, 97), (90, "ABCDE", 5, 99)];
    assert_eq!(taken(&late), "ab<81 Cut>ABCDEefgh waits 0");
    // Between what came too early and what follows it in order, more was left out.
    let more = [first, second, (200, "ij", 2, 200), (90, "ABCDE", 5, 202)];
    assert_eq!(taken(&more), "ab<81 Cut>ABCDEef<103 Cut>ij waits 0");
}

#[test]
fn what_was_left_out_is_as_old_as_what_was_given_before_it() {
    let mut stream = Stream::default();
    let mut gaps = Vec::new();
    for (sequence, octets, expected, time_ns) in [(7, "ab", 7, 100), (90, "cd", 90, 9000)] {
        let sample = Sample {
            sequence,
            octets: octets.as_bytes(),
            expected: Some(expected),
            time_ns,
            ..Sample::default()
        };
        stream.push(sample, &mut |piece| {
            if let Piece::Gap { time_ns, .. } = piece {
                gaps.push(time_ns);
            }
        });
    }
    assert_eq!(gaps, [100]);
}

#[test]
fn what_was_left_out_between_samples_that_waited_is_as_old_as_the_first_of_them() {
    let mut stream = Stream::default();
    let mut pieces = Vec::new();
    let mut out = |piece: Piece<'_>| {
        if let Piece::Gap { hole, time_ns, .. } = piece {
            pieces.push((hole, time_ns));
        }
    };
    let syn = Sample {
        sequence: 6,
        syn: true,
        time_ns: 50,
        ..Sample::default()
    };
    stream.push(syn, &mut out);
    // Between 7 and 9 a sample was lost.
    for (sequence, expected, time_ns) in [(9, 7, 100), (90, 90, 9000)] {
        let sample = Sample {
            sequence,
            octets: b"ab",
            expected: Some(expected),
            time_ns,
            ..Sample::default()
        };
        stream.push(sample, &mut out);
    }
    stream.finish(None, &mut out);
    assert_eq!(pieces, [(Hole::Lost, 100), (Hole::Cut, 100)]);
}
