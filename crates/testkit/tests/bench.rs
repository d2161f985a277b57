//! The bench itself, at its smallest: one row beside its baselines, and what it tells programs about it; a large cluster in small.

use std::process::Command;

use serde_json::Value;

#[test]
fn a_row_of_traffic_is_measured_and_told_as_json() {
    if !testkit::demo::possible() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("rows.json");
    let output = Command::new(env!("CARGO_BIN_EXE_axoneme-bench"))
        .args([
            "--quick",
            "--rounds",
            "2",
            "--rows",
            "one node, request-response",
            "--json",
        ])
        .arg(&file)
        .output()
        .expect("the bench runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
    let text = std::fs::read_to_string(&file).expect("the rows");
    let told: Value = serde_json::from_str(&text).expect("JSON");
    conditions_are_told(&told["conditions"]);
    rows_are_told(&told["rows"]);
}

#[test]
fn a_crowd_of_nodes_that_changes_is_followed_exactly() {
    if !testkit::demo::possible() {
        return;
    }
    let size = "--seconds 5 --nodes 12 --per-node 4 --own 3 --identities 150 --policies 250";
    let output = Command::new(env!("CARGO_BIN_EXE_axoneme-bench"))
        .arg("scale")
        .args(size.split(' '))
        .output()
        .expect("the suite runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
    for kind in ["single", "slices"] {
        let done = format!("figure: {kind}: a policy's change is in force after ");
        assert!(said.contains(&done), "{said}");
    }
}

fn conditions_are_told(told: &Value) {
    for field in ["kernel", "cpu", "commit", "profile", "load_before"] {
        assert!(told[field].is_string(), "{field}: {told}");
    }
    for field in ["cpus", "memory_mib", "duration_s", "rounds"] {
        assert!(told[field].is_u64(), "{field}: {told}");
    }
}

fn rows_are_told(told: &Value) {
    let rows = told.as_array().expect("rows");
    let names: Vec<_> = rows.iter().map(|row| &row["name"]).collect();
    assert_eq!(
        names,
        [
            "one node, request-response",
            "Linux bridge, request-response"
        ]
    );
    for row in rows {
        assert!(
            row["value"].as_f64().is_some_and(|ratio| ratio > 0.0),
            "{row}"
        );
        assert_eq!(row["unit"], "ratio");
        assert!(
            row["baseline"]
                .as_str()
                .is_some_and(|of| of.starts_with("bare veth, ")),
            "{row}"
        );
    }
    assert_eq!(rows[0]["target"], "≥ 0.95");
    let verdict = rows[0]["verdict"].as_str().expect("a verdict");
    assert!(
        ["met", "missed", "undecided"].contains(&verdict),
        "{verdict}"
    );
    assert_eq!(rows[1]["verdict"], "reference");
}
