use std::{fs, path::Path};

use super::*;
use crate::{
    export::{Shown, filters},
    intake::LossSource,
    observer::{self, Observer},
    ring::Capacity,
    sample::{Shop, denied, opened},
};

fn intake(capacity: u64) -> Intake {
    let ring = Ring::new(Capacity::new(capacity).unwrap());
    let intake = Intake::new(Arc::new(ring), Arc::new(Shop));
    let config = observer::Config {
        node: "n1".into(),
        ..observer::Config::default()
    };
    // It is the observer that knows the node.
    drop(Observer::new(&intake, config, CancellationToken::new()));
    intake
}

fn target(path: &Path) -> Target {
    Target {
        name: "test".into(),
        file_path: path.display().to_string(),
        ..Target::default()
    }
}

/// The lines of an exporter that begins, sees what `work` does, and ends.
async fn exported(
    capacity: u64,
    change: impl FnOnce(&mut Target),
    work: impl FnOnce(&Intake),
) -> (Vec<serde_json::Value>, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.log");
    let (intake, tally) = (intake(capacity), Arc::new(Tally::default()));
    let mut target = target(&path);
    change(&mut target);
    intake.record(opened());
    let exporter = Exporter::new(target, &intake, &tally).unwrap();
    work(&intake);
    let stop = CancellationToken::new();
    stop.cancel();
    exporter.run(stop).await;
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let mut registry = prometheus_client::registry::Registry::default();
    registry.register_collector(Box::new(Shown(tally)));
    (lines.collect(), daemon::metrics::text(&registry))
}

#[tokio::test]
async fn a_line_is_an_event_with_its_time_and_node() {
    let (lines, page) = exported(
        4095,
        |_| {},
        |intake| {
            intake.record(denied());
            intake.lost(LossSource::KernelRing, 3);
        },
    )
    .await;
    // What was seen before it began is not exported.
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1]["time"], "2023-11-14T22:13:20Z");
    assert_eq!(lines[1]["node_name"], "default/n1");
    let flow = &lines[1]["flow"];
    assert_eq!(flow["verdict"], "DROPPED");
    assert_eq!(flow["drop_reason_desc"], "POLICY_DENIED");
    assert_eq!(flow["source"]["pod_name"], "web-1");
    assert_eq!(flow["node_name"], "default/n1");
    assert_eq!(lines[2]["lost_events"]["num_events_lost"], "3");
    assert!(
        page.contains(r#"hubble_export_events_total{exporter="test"} 3"#),
        "{page}"
    );
    assert!(
        page.contains(r#"hubble_export_lost_events_total{exporter="test"} 0"#),
        "{page}"
    );
}

#[tokio::test]
async fn only_what_is_selected_and_only_the_fields_that_are_wanted() {
    let (lines, _) = exported(
        4095,
        |target| {
            target.include_filters = filters(r#"{"event_type":[{"type":1}]}"#).unwrap();
            target.field_mask = vec!["source.pod_name".into(), "verdict".into()];
        },
        |intake| {
            intake.record(denied());
            intake.lost(LossSource::KernelRing, 3);
        },
    )
    .await;
    let wanted =
        serde_json::json!({"flow": {"verdict": "DROPPED", "source": {"pod_name": "web-1"}}});
    assert_eq!(lines, [wanted]);
}

#[tokio::test]
async fn alike_flows_become_one_line_with_their_number() {
    let (lines, page) = exported(
        4095,
        |target| {
            target.exclude_filters = filters(r#"{"event_type":[{"type":4}]}"#).unwrap();
            target.field_aggregate = vec!["verdict".into(), "source.namespace".into()];
            target.aggregation_interval = Duration::from_mins(1);
        },
        |intake| {
            for _ in 0..3 {
                intake.record(opened());
            }
            intake.record(denied());
        },
    )
    .await;
    let mut lines: Vec<_> = lines.iter().map(|line| line["flow"].clone()).collect();
    lines.sort_by_key(|flow| flow["verdict"].to_string());
    let time = "2023-11-14T22:13:20Z";
    let source = serde_json::json!({"namespace": "shop"});
    assert_eq!(
        lines,
        [
            serde_json::json!({"time": time, "verdict": "DROPPED", "source": source,
                "aggregate": {"ingress_flow_count": 2}}),
            serde_json::json!({"time": time, "verdict": "FORWARDED", "source": source,
                "aggregate": {"ingress_flow_count": 3, "egress_flow_count": 3}}),
        ]
    );
    assert!(
        page.contains(r#"hubble_export_events_total{exporter="test"} 2"#),
        "{page}"
    );
}

#[tokio::test]
async fn what_is_overwritten_before_it_is_read_is_counted_and_told() {
    let (lines, page) = exported(
        7,
        |_| {},
        |intake| {
            for _ in 0..10 {
                intake.record(opened());
            }
        },
    )
    .await;
    assert_eq!(lines[0]["lost_events"]["num_events_lost"], "23");
    assert_eq!(lines[0]["lost_events"]["source"], "HUBBLE_RING_BUFFER");
    assert_eq!(lines.len(), 8);
    assert!(
        page.contains(r#"hubble_export_lost_events_total{exporter="test"} 23"#),
        "{page}"
    );
}

#[tokio::test]
async fn what_cannot_be_written_is_counted_as_lost_and_nobody_waits() {
    let (lines, page) = exported(
        4095,
        |target| target.file_path = "/proc/self/no/such/folder".into(),
        |intake| intake.record(opened()),
    )
    .await;
    assert!(lines.is_empty());
    assert!(
        page.contains(r#"hubble_export_lost_events_total{exporter="test"} 3"#),
        "{page}"
    );
    assert!(
        page.contains(r#"hubble_export_events_total{exporter="test"} 0"#),
        "{page}"
    );
}

#[tokio::test]
async fn after_its_end_nothing_is_exported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.log");
    let (intake, tally) = (Arc::new(intake(4095)), Tally::default());
    let soon = jiff::Timestamp::now() + Duration::from_millis(300);
    let target = Target {
        end: Some(soon),
        ..target(&path)
    };
    let exporter = Exporter::new(target, &intake, &tally).unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(exporter.run(stop.clone()));
    intake.record(opened());
    tokio::time::sleep(Duration::from_millis(900)).await;
    intake.record(opened());
    tokio::time::sleep(Duration::from_millis(100)).await;
    stop.cancel();
    running.await.unwrap();
    let text = fs::read_to_string(path).unwrap();
    assert_eq!(text.lines().count(), 3);
}

#[tokio::test]
async fn a_file_grows_while_flows_come_and_is_rotated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.log");
    let (intake, tally) = (Arc::new(intake(4095)), Tally::default());
    let mut target = target(&path);
    target.file_max_size_mb = 1;
    target.file_max_backups = 2;
    target.file_compress = true;
    let exporter = Exporter::new(target, &intake, &tally).unwrap();
    let counts = tally.of("test");
    let stop = CancellationToken::new();
    let running = tokio::spawn(exporter.run(stop.clone()));
    for _ in 0..8 {
        for _ in 0..400 {
            intake.record(opened());
        }
        // Each batch is written before the next comes, so that none is lost.
        let head = intake.ring().head();
        while counts.written.load(Ordering::Relaxed) < head {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    stop.cancel();
    running.await.unwrap();
    assert_eq!(counts.lost.load(Ordering::Relaxed), 0);
    let names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let compressed = names.iter().filter(|name| name.ends_with(".log.gz"));
    assert_eq!(compressed.count(), 2, "{names:?}");
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(fs::metadata(&path).unwrap().len() <= 1024 * 1024);
}
