//! Intervals, verdicts and percentiles on numbers worked out by hand.

use super::*;

fn close(left: f64, right: f64) -> bool {
    (left - right).abs() < 1e-3
}

#[test]
fn an_interval_is_the_mean_log_ratio_plus_and_minus_t_standard_errors() {
    // Logs 0, 0.1, 0.2: mean 0.1, deviation 0.1, standard error 0.057735, t(2) = 4.303, half width 0.24843.
    let ratios: Vec<f64> = [0.0_f64, 0.1, 0.2].iter().map(|log| log.exp()).collect();
    let interval = Interval::of(&ratios).expect("three ratios");
    assert!(close(interval.mean, 0.1_f64.exp()), "{interval:?}");
    assert!(
        close(interval.low, (0.1_f64 - 0.24843).exp()),
        "{interval:?}"
    );
    assert!(
        close(interval.high, (0.1_f64 + 0.24843).exp()),
        "{interval:?}"
    );
}

#[test]
fn a_ratio_and_its_inverse_cancel() {
    let interval = Interval::of(&[2.0, 0.5]).expect("two ratios");
    assert!(close(interval.mean, 1.0), "{interval:?}");
}

#[test]
fn one_pair_or_a_broken_measurement_has_no_interval() {
    assert_eq!(Interval::of(&[1.0]), None);
    assert_eq!(Interval::of(&[1.0, 0.0]), None);
    assert_eq!(Interval::of(&[1.0, f64::NAN]), None);
}

#[test]
fn the_known_truth_lies_in_about_95_of_100_intervals() {
    use rand::{Rng, SeedableRng};
    let mut random = rand::rngs::StdRng::seed_from_u64(7);
    let runs = 2000;
    let mut hits = 0;
    for _ in 0..runs {
        // A sum of twelve uniform numbers is close to normal.
        let ratios: Vec<f64> = (0..10)
            .map(|_| {
                let noise: f64 = (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
                0.9 * (0.05 * noise).exp()
            })
            .collect();
        let interval = Interval::of(&ratios).expect("ten ratios");
        hits += usize::from(interval.low <= 0.9 && 0.9 <= interval.high);
    }
    let share = hits as f64 / f64::from(runs);
    assert!((0.93..0.97).contains(&share), "{share}");
}

#[test]
fn a_verdict_needs_the_whole_interval_on_one_side() {
    let interval = |low, high| Interval {
        mean: f64::midpoint(low, high),
        low,
        high,
    };
    let least = Target::AtLeast(0.97);
    assert_eq!(least.judge(interval(0.975, 0.99)), Verdict::Met);
    assert_eq!(least.judge(interval(0.90, 0.95)), Verdict::Missed);
    assert_eq!(least.judge(interval(0.96, 0.98)), Verdict::Undecided);
    let most = Target::AtMost(1.03);
    assert_eq!(most.judge(interval(1.0, 1.02)), Verdict::Met);
    assert_eq!(most.judge(interval(1.04, 1.1)), Verdict::Missed);
    assert_eq!(most.judge(interval(1.02, 1.04)), Verdict::Undecided);
}

#[test]
fn a_figure_is_met_up_to_and_with_its_target() {
    assert_eq!(Target::AtMost(20.0).judge_figure(20.0), Verdict::Met);
    assert_eq!(Target::AtMost(20.0).judge_figure(20.1), Verdict::Missed);
    assert_eq!(Target::AtLeast(1.0).judge_figure(0.9), Verdict::Missed);
}

#[test]
fn percentiles_are_values_that_were_measured() {
    let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
    assert_eq!(percentile(&values, 50.0), Some(50.0));
    assert_eq!(percentile(&values, 99.0), Some(99.0));
    assert_eq!(percentile(&[3.0, 1.0], 99.0), Some(3.0));
    assert_eq!(median(&[5.0]), Some(5.0));
    assert_eq!(median(&[]), None);
}
