use proptest::prelude::*;

use super::*;

/// The quantile of all durations themselves.
#[allow(clippy::cast_precision_loss, reason = "a few hundred durations")]
fn exact(durations: &mut [Duration], quantile: f64) -> Duration {
    durations.sort_unstable();
    let rank = (quantile * durations.len() as f64).ceil().max(1.0) as usize;
    durations[rank - 1]
}

fn of(nanos: &[u64]) -> Sketch {
    let mut sketch = Sketch::default();
    for nanos in nanos {
        sketch.add(Duration::from_nanos(*nanos));
    }
    sketch
}

proptest! {
    #[test]
    fn a_quantile_is_within_one_percent(
        mut micros in prop::collection::vec(10_u64..60_000_000, 1..300),
        quantile in 0.0_f64..=1.0,
    ) {
        let mut sketch = Sketch::default();
        let mut durations: Vec<_> = micros.drain(..).map(Duration::from_micros).collect();
        for duration in &durations {
            sketch.add(*duration);
        }
        let found = sketch.quantile(quantile).unwrap().as_secs_f64();
        let truth = exact(&mut durations, quantile).as_secs_f64();
        prop_assert!((found / truth - 1.0).abs() < 0.0101, "{found} for {truth}");
    }

    #[test]
    fn what_is_merged_is_what_one_would_have_counted(
        first in prop::collection::vec(0_u64..100_000_000_000, 0..100),
        second in prop::collection::vec(0_u64..100_000_000_000, 0..100),
    ) {
        let mut merged = of(&first);
        merged.merge(&pb::Sketch::from(&of(&second)));
        let whole: Vec<u64> = first.iter().chain(&second).copied().collect();
        prop_assert_eq!(&merged, &of(&whole));
        prop_assert_eq!(merged.count() as usize, whole.len());
        prop_assert_eq!(Sketch::from(&pb::Sketch::from(&merged)), merged);
    }

    #[test]
    fn messages_have_the_same_sum_whether_they_are_in_order_or_not(
        first in prop::collection::vec((0_u32..1200, 1_u64..9), 0..40),
        second in prop::collection::vec((0_u32..1200, 1_u64..9), 0..40),
        are_in_order in any::<[bool; 2]>(),
        have_same_buckets in any::<bool>(),
    ) {
        let message = |of: &[(u32, u64)], is_in_order: bool| {
            let (bucket, count) = of.iter().copied().unzip();
            let message = pb::Sketch { bucket, count };
            if is_in_order { pb::Sketch::from(&Sketch::from(&message)) } else { message }
        };
        let first = message(&first, are_in_order[0]);
        let second = if have_same_buckets { first.clone() } else { message(&second, are_in_order[1]) };
        let mut sum = Sketch::from(&first);
        sum.merge(&second);
        let mut into = Some(first);
        merge(&mut into, Some(second));
        prop_assert_eq!(Sketch::from(&into.unwrap()), sum);
    }
}

#[test]
fn nothing_has_no_quantile_and_extremes_have_a_bucket() {
    assert_eq!(Sketch::default().quantile(0.5), None);
    let mut sketch = Sketch::default();
    sketch.add(Duration::ZERO);
    assert_eq!(sketch.quantile(1.0), Some(middle(0)));
    sketch.add(Duration::MAX);
    assert_eq!(sketch.quantile(1.0), Some(middle(LAST)));
    assert!(middle(LAST) > Duration::from_hours(1));
    sketch.merge(&pb::Sketch {
        bucket: vec![u32::MAX],
        count: vec![u64::MAX],
    });
    assert_eq!(sketch.count(), u64::MAX);
}
