//! When rounds end, and in which order they measure.

use std::cell::RefCell;

use super::*;

fn limits(rounds: usize) -> Limits {
    Limits::new(rounds, Duration::from_mins(1))
}

fn run(limits: Limits, target: f64, ours: &[f64]) -> (Row, String) {
    let order = RefCell::new(String::new());
    let mut values = ours.iter().cycle();
    let mut baseline = Baseline {
        name: "base".into(),
        unit: "1/s",
        measure: Box::new(|| {
            order.borrow_mut().push('b');
            Ok(100.0)
        }),
    };
    let mut contenders = [Contender {
        name: "ours".into(),
        target: Some(Target::AtLeast(target)),
        measure: Box::new(|| {
            order.borrow_mut().push('o');
            Ok(*values.next().expect("values"))
        }),
    }];
    let row = compare(limits, &mut baseline, &mut contenders)
        .expect("rounds")
        .remove(0);
    drop((baseline, contenders));
    (row, order.into_inner())
}

#[test]
fn a_clear_case_ends_after_the_fewest_rounds() {
    let (row, order) = run(limits(40), 0.9, &[99.0, 100.0, 98.0]);
    assert_eq!((row.verdict, row.count), (Verdict::Met, FEWEST_ROUNDS));
    assert_eq!(order, "boobboobboob");
}

#[test]
fn an_unclear_case_goes_on_to_the_last_round_and_stays_undecided() {
    let (row, _) = run(limits(12), 1.0, &[80.0, 125.0]);
    assert_eq!((row.verdict, row.count), (Verdict::Undecided, 12));
}

#[test]
fn a_miss_is_decided_too() {
    let (row, _) = run(limits(40), 0.97, &[80.0, 82.0, 81.0]);
    assert_eq!((row.verdict, row.count), (Verdict::Missed, FEWEST_ROUNDS));
    assert!((row.value - 0.81).abs() < 0.005, "{row:?}");
}

#[test]
fn past_the_deadline_only_the_fewest_rounds_are_done() {
    let (row, _) = run(Limits::new(40, Duration::ZERO), 1.0, &[80.0, 125.0]);
    assert_eq!(row.count, FEWEST_ROUNDS);
}
