//! What the table, the JSON and the page look like.

use super::*;

fn rows() -> Vec<Row> {
    let pairs = [(96.0, 100.0), (98.0, 100.0), (97.0, 100.0), (97.0, 100.0)];
    vec![
        Row::ratio(
            "one node, throughput",
            &pairs,
            "veth",
            "Gbit/CPU-s",
            Some(Target::AtLeast(0.9)),
        )
        .expect("a ratio"),
        Row::figure("CNI ADD, p50", 12.345, "ms", 30).wanted(Target::AtMost(10.0)),
    ]
}

#[test]
fn all_lines_of_a_table_are_equally_wide() {
    let text = table(&rows());
    let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
    assert_eq!(widths.len(), 4);
    assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
    assert!(text.contains("| 12.3 ms "), "{text}");
    assert!(text.contains("| veth, 100 Gbit/CPU-s "), "{text}");
}

#[test]
fn the_json_has_conditions_and_six_fields_a_row() {
    let value = json(
        &Conditions {
            kernel: "6.18".into(),
            ..Conditions::default()
        },
        &rows(),
    );
    assert_eq!(value["conditions"]["kernel"], "6.18");
    let row = value["rows"][0].as_object().expect("an object");
    let mut fields: Vec<&str> = row.keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        ["baseline", "name", "target", "unit", "value", "verdict"]
    );
    assert_eq!(row["verdict"], "met");
    assert_eq!(value["rows"][1]["verdict"], "missed");
    assert_eq!(value["rows"][1]["baseline"], Value::Null);
}

#[test]
fn notes_written_by_hand_outlive_a_run() {
    let first = page(&Conditions::default(), &rows(), "");
    assert!(first.ends_with("\n## Notes\n"), "{first}");
    let edited = format!("{first}\nThe plugin waits for the lock.\n");
    let second = page(&Conditions::default(), &rows()[..1], &edited);
    assert!(
        second.ends_with("## Notes\n\nThe plugin waits for the lock.\n"),
        "{second}"
    );
    assert!(!second.contains("CNI ADD"), "{second}");
}

#[test]
fn a_ratio_of_one_pair_is_refused_by_name() {
    let error = Row::ratio("vxlan", &[(1.0, 1.0)], "kernel", "1/s", None).expect_err("one pair");
    assert!(error.to_string().starts_with("vxlan: "), "{error}");
}
