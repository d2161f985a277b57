use std::sync::Arc;

use l7::{conversation::Direction, track::Tracker};

use super::*;
use crate::{
    metrics::{Metrics, Shown, page},
    ring::{Capacity, Ring},
};

#[test]
fn what_became_of_samples_is_shown_where_there_are_any() {
    let metrics = Arc::new(Metrics::default());
    let ring = Arc::new(Ring::new(Capacity::default()));
    let shown = || {
        let (metrics, ring) = (Arc::clone(&metrics), Arc::clone(&ring));
        daemon::metrics::text(&page::registry(Shown { metrics, ring }))
    };
    assert!(!shown().contains("hubble_capture"));
    let mut tracker = Tracker::<u8>::default();
    let mut out = Vec::new();
    tracker.datagram(1, 0, Direction::ToServer, b"no message", 0, &mut out);
    metrics.captured(Captured {
        lost: 7,
        totals: tracker.totals().clone(),
    });
    let page = shown();
    for line in [
        r#"hubble_capture_lost_total{class="samples"} 7"#,
        r#"hubble_capture_lost_total{class="budget"} 0"#,
        r#"hubble_capture_lost_total{class="malformed"} 1"#,
        r#"hubble_capture_records_total{protocol="dns"} 0"#,
        r#"hubble_capture_unknown_total{protocol="http1"} 0"#,
    ] {
        assert!(
            page.lines().any(|shown| shown == line),
            "no {line} in\n{page}"
        );
    }
}
