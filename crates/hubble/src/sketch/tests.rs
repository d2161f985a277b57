use proptest::prelude::*;

use super::*;

/// The quantile of all durations themselves.
#[allow(clippy::cast_precision_loss, reason = "a few hundred durations")]
fn exact(durations: &mut [Duration], quantile: f64) -> Duration {
    durations.sort_unstable();
    let rank = (quantile * durations.len() as f64).ceil().max(1.0) as usize;
    durations[rank - 1]
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
        let of = |nanos: &[u64]| {
            let mut sketch = Sketch::default();
            for nanos in nanos {
                sketch.add(Duration::from_nanos(*nanos));
            }
            sketch
        };
        let mut merged = of(&first);
        merged.merge(&pb::Sketch::from(&of(&second)));
        let whole: Vec<u64> = first.iter().chain(&second).copied().collect();
        prop_assert_eq!(&merged, &of(&whole));
        prop_assert_eq!(merged.count() as usize, whole.len());
        prop_assert_eq!(Sketch::from(&pb::Sketch::from(&merged)), merged);
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
