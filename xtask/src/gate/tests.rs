//! What counts as passed, failed and skipped.

use super::count::Count;
use super::*;

#[test]
fn the_result_lines_of_cargo_are_counted() {
    let line = "test result: FAILED. 12 passed; 2 failed; 1 ignored; 4 measured; 7 filtered out; finished in 0.01s";
    assert_eq!(
        Count::read(line),
        Count {
            passed: 12,
            failed: 2,
            skipped: 1
        }
    );
}

#[test]
fn a_closing_line_is_counted_and_prose_is_not() {
    assert_eq!(
        Count::read("3 passed, 0 failed, 1 skipped"),
        Count {
            passed: 3,
            failed: 0,
            skipped: 1
        }
    );
    assert_eq!(Count::read("9 passed, or so it says"), Count::default());
    assert_eq!(
        Count::read("x 3 passed, 0 failed, 1 skipped"),
        Count::default()
    );
}

#[test]
fn a_count_prints_as_it_is_read() {
    let count = Count {
        passed: 5,
        failed: 6,
        skipped: 7,
    };
    assert_eq!(Count::read(&count.to_string()), count);
}

#[test]
fn a_program_that_fails_without_test_results_is_an_error() {
    assert!(counted(&mut Command::new("false")).is_err());
}

#[test]
fn a_program_whose_tests_fail_is_counted_once() {
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "echo 'test result: FAILED. 1 passed; 2 failed; 0 ignored'; exit 101",
    ]);
    let count = counted(&mut command)
        .expect("the results were printed")
        .count;
    assert_eq!(
        count,
        Count {
            passed: 1,
            failed: 2,
            skipped: 0
        }
    );
}

#[test]
fn a_step_that_breaks_counts_as_one_failure() {
    let mut gate = Gate {
        outcomes: Vec::new(),
        left_out: Vec::new(),
    };
    gate.step("broken", || bail!("no compiler"));
    assert_eq!(gate.outcomes[0].count.failed, 1);
    assert_eq!(gate.close(false), Verdict::Closed);
}

#[test]
fn a_test_that_says_it_was_skipped_is_not_counted_as_passed() {
    let output = "\
successes:

---- netns::a_veth_is_made stdout ----
skipped, needs root: EPERM
skipped, needs root: EPERM

---- other stdout ----
fine


successes:
    netns::a_veth_is_made
    other

test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s";
    let mut reader = Reader::default();
    let shown: Vec<&str> = output
        .lines()
        .filter(|line| reader.take(line) == Shown::Yes)
        .collect();
    assert_eq!(shown.len(), 1, "only the result line: {shown:?}");
    let Found { count, skipped, .. } = reader.close();
    let expected = Count {
        passed: 1,
        failed: 0,
        skipped: 1,
    };
    assert_eq!(count, expected);
    assert_eq!(
        skipped,
        ["netns::a_veth_is_made: skipped, needs root: EPERM"]
    );
}

#[test]
fn figures_of_tests_that_passed_are_collected() {
    let mut reader = Reader::default();
    let output = "successes:\n---- a stdout ----\nfigure: 9 of 9 arrived\nother\nsuccesses:\n    a\n\
        test result: ok. 1 passed; 0 failed; 0 ignored\nfigure: packets: 3 inputs";
    for line in output.lines() {
        reader.take(line);
    }
    assert_eq!(
        reader.close().figures,
        ["9 of 9 arrived", "packets: 3 inputs"]
    );
}

#[test]
fn the_output_of_a_failed_test_is_shown() {
    let mut reader = Reader::default();
    assert_eq!(reader.take("successes:"), Shown::No);
    assert_eq!(reader.take("chatter"), Shown::No);
    assert_eq!(reader.take("successes:"), Shown::No);
    assert_eq!(reader.take("failures:"), Shown::Yes);
    assert_eq!(reader.take("assertion failed"), Shown::Yes);
}

#[test]
fn what_a_test_prints_is_no_result_however_much_it_looks_like_one() {
    let output = "\
running 2 tests
..
successes:

---- gate::a_step_that_breaks stdout ----
0 passed, 1 failed, 0 skipped
test result: FAILED. 1 passed; 2 failed; 0 ignored


successes:
    gate::a_step_that_breaks

test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s
3 passed, 0 failed, 0 skipped";
    let mut reader = Reader::default();
    for line in output.lines() {
        reader.take(line);
    }
    let expected = Count {
        passed: 5,
        failed: 0,
        skipped: 0,
    };
    assert_eq!(reader.count, expected);
}

#[test]
fn a_killed_test_program_does_not_hide_the_results_of_the_next() {
    let mut reader = Reader::default();
    for line in ["successes:", "---- a stdout ----", "running 1 test"] {
        reader.take(line);
    }
    reader.take("test result: ok. 1 passed; 0 failed; 0 ignored");
    assert_eq!(reader.count.passed, 1);
}

#[test]
fn leaving_a_test_out_closes_the_gate_only_when_nobody_watches() {
    for (nobody_watches, verdict) in [(false, Verdict::Open), (true, Verdict::Closed)] {
        let mut gate = Gate {
            outcomes: Vec::new(),
            left_out: Vec::new(),
        };
        gate.step("tests", || {
            let count = Count {
                passed: 3,
                failed: 0,
                skipped: 1,
            };
            Ok(Found {
                count,
                skipped: vec!["a: skipped, needs root".into()],
                ..Found::default()
            })
        });
        assert_eq!(gate.close(nobody_watches), verdict);
    }
}
