use std::{fs, path::Path};

use super::*;
use crate::{
    ring::{Capacity, Ring},
    sample::{Shop, opened},
};

fn page(status: &Arc<Status>) -> String {
    let mut registry = prometheus_client::registry::Registry::default();
    registry.register_collector(Box::new(Shown(Arc::clone(status))));
    daemon::metrics::text(&registry)
}

fn one(name: &str, path: &Path, more: &str) -> String {
    format!("- {{name: {name}, filePath: {}{more}}}\n", path.display())
}

/// Waits until a file has so many lines.
async fn lines(path: &Path, wanted: usize) {
    let count = || fs::read_to_string(path).map_or(0, |text| text.lines().count());
    for _ in 0..400 {
        if count() == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{} of {wanted} lines in {}", count(), path.display());
}

#[tokio::test]
async fn exporters_come_change_and_go_with_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a.log", "b.log"].map(|name| folder.path().join(name));
    let ring = Arc::new(Ring::new(Capacity::default()));
    let intake = Arc::new(Intake::new(ring, Arc::new(Shop)));
    let mut exporters = Dynamic::new(Arc::clone(&intake), Arc::default());
    let status = exporters.status();
    let text = |all: &[String]| format!("flowLogs:\n{}", all.concat());

    assert!(!page(&status).contains("config_hash"));
    exporters.apply(&text(&[one("a", &a, "")])).await.unwrap();
    intake.record(opened());
    lines(&a, 3).await;

    let verdicts = ", includeFilters: [{event_type: [{type: 5}]}]";
    let past = ", end: 2020-01-01T00:00:00Z";
    let both = [one("a", &a, verdicts), one("b", &b, past)];
    exporters.apply(&text(&both)).await.unwrap();
    intake.record(opened());
    lines(&a, 5).await;
    let shown = page(&status);
    for line in [
        r#"hubble_dynamic_exporter_exporters_total{status="active"} 1"#,
        r#"hubble_dynamic_exporter_exporters_total{status="inactive"} 1"#,
        r#"hubble_dynamic_exporter_up{name="a"} 1"#,
        r#"hubble_dynamic_exporter_up{name="b"} 0"#,
        r#"hubble_dynamic_exporter_reconfigurations_total{op="add"} 2"#,
        r#"hubble_dynamic_exporter_reconfigurations_total{op="update"} 1"#,
        r#"hubble_dynamic_exporter_reconfigurations_total{op="remove"} 0"#,
        "hubble_dynamic_exporter_config_hash ",
        "hubble_dynamic_exporter_config_last_applied ",
    ] {
        assert!(shown.contains(line), "{line} in {shown}");
    }

    // What cannot be used changes nothing.
    let bad = text(&[one("a", &a, ", fieldMask: [sauce]")]);
    assert!(exporters.apply(&bad).await.is_err());
    intake.record(opened());
    lines(&a, 7).await;

    // A file goes from one exporter to another.
    exporters.apply(&text(&[one("c", &a, "")])).await.unwrap();
    intake.record(opened());
    lines(&a, 10).await;
    assert!(!b.exists());
    assert!(
        page(&status).contains(r#"hubble_dynamic_exporter_reconfigurations_total{op="remove"} 2"#)
    );
}

#[tokio::test(start_paused = true)]
async fn the_file_is_followed_and_the_last_lines_are_written_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (a, settings) = (
        folder.path().join("a.log"),
        folder.path().join("flowlogs.yaml"),
    );
    let ring = Arc::new(Ring::new(Capacity::default()));
    let intake = Arc::new(Intake::new(ring, Arc::new(Shop)));
    let exporters = Dynamic::new(Arc::clone(&intake), Arc::default());
    let status = exporters.status();
    let stop = CancellationToken::new();
    let running = tokio::spawn(exporters.run(Followed::new(settings.clone()), stop.clone()));
    tokio::time::sleep(Duration::from_secs(6)).await;
    let more = ", fieldAggregate: [verdict], aggregationInterval: 1h";
    fs::write(&settings, format!("flowLogs:\n{}", one("a", &a, more))).unwrap();
    while !page(&status).contains(r#"up{name="a"} 1"#) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    intake.record(opened());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!a.exists());
    stop.cancel();
    running.await.unwrap();
    assert_eq!(fs::read_to_string(a).unwrap().lines().count(), 1);
}
