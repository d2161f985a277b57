use super::*;

fn written(text: &str, value: f64) -> String {
    let labels: Labels = [("source", "shop/web"), ("port", "80")]
        .into_iter()
        .collect();
    Template::read(text).unwrap().written(&labels, value)
}

#[test]
fn labels_and_values_are_put_in() {
    assert_eq!(
        written(
            "{{ $labels.source }} at {{$labels.port}}: {{ .Value }}{{ $labels.none }}",
            0.25
        ),
        "shop/web at 80: 0.25"
    );
    assert_eq!(written("nothing to put in", 1.0), "nothing to put in");
}

#[test]
fn values_are_written_for_people() {
    for (value, expected) in [
        (0.0123456, "1.235%"),
        (1.0, "100%"),
        (0.0, "0%"),
        (f64::NAN, "NaN"),
    ] {
        assert_eq!(
            written("{{ $value | humanizePercentage }}", value),
            expected
        );
    }
    for (value, expected) in [
        (12_345.0, "12.35k"),
        (0.0021, "2.1m"),
        (3.0, "3"),
        (-2e6, "-2M"),
    ] {
        assert_eq!(written("{{ $value | humanize }}", value), expected);
    }
    for (value, expected) in [(0.5, "0.5s"), (61.0, "1m 1s"), (90_000.0, "1d 1h 0m 0s")] {
        assert_eq!(written("{{ $value | humanizeDuration }}", value), expected);
    }
}

#[test]
fn what_is_not_understood_is_refused() {
    for bad in [
        "{{ query \"up\" }}",
        "{{ $labels.a | humanize }}",
        "{{ $labels. }}",
        "{{ $value | toUpper }}",
        "{{ $value",
        "{{ }}",
    ] {
        assert!(Template::read(bad).is_err(), "{bad}");
    }
}
