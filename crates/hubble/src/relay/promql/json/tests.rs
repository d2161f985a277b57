use super::*;

#[test]
fn numbers_are_written_as_prometheus_writes_them() {
    let written = [
        (0.0, "0"),
        (1.0, "1"),
        (-2.5, "-2.5"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e-7, "1.5e-07"),
        (1e-6, "0.000001"),
        (1e300, "1e+300"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
    ];
    for (value, expected) in written {
        assert_eq!(number(value), expected);
    }
}

#[test]
fn times_are_seconds_to_the_millisecond() {
    for (milliseconds, expected) in [
        (0, "0"),
        (1_700_000_000_000, "1700000000"),
        (1_700_000_000_050, "1700000000.05"),
        (-1500, "-1.5"),
    ] {
        assert_eq!(seconds(milliseconds), expected);
    }
}

#[test]
fn every_kind_of_answer_is_json_of_the_form_that_clients_read() {
    let sample = Sample {
        time: 1500,
        value: 0.25,
    };
    let line = Line {
        labels: [("a", "b\"c")].into_iter().collect(),
        samples: vec![
            sample,
            Sample {
                time: 2500,
                value: f64::NAN,
            },
        ],
    };
    let read = |value: &Value| serde_json::from_str::<serde_json::Value>(&text(value)).unwrap();
    let scalar = serde_json::json!({ "resultType": "scalar", "result": [1.5, "0.25"] });
    assert_eq!(read(&Value::Scalar(sample)), scalar);
    let string = serde_json::json!({ "resultType": "string", "result": [1.5, "t\n"] });
    assert_eq!(read(&Value::Text(1500, "t\n".into())), string);
    let vector = serde_json::json!({ "resultType": "vector", "result": [{ "metric": { "a": "b\"c" }, "value": [1.5, "0.25"] }] });
    assert_eq!(read(&Value::Vector(vec![line.clone()])), vector);
    let matrix = serde_json::json!({ "resultType": "matrix", "result": [
        { "metric": { "a": "b\"c" }, "values": [[1.5, "0.25"], [2.5, "NaN"]] },
        { "metric": { "a": "b\"c" }, "values": [[1.5, "0.25"], [2.5, "NaN"]] },
    ] });
    assert_eq!(read(&Value::Matrix(vec![line.clone(), line])), matrix);
}
