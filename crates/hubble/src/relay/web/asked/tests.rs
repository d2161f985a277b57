use super::*;

fn asked(since: &str) -> Result<Option<Timestamp>, String> {
    let asked = Asked {
        since: since.into(),
        ..Asked::default()
    };
    let now = "2026-01-02T03:04:05Z".parse().unwrap();
    let question = asked.question(now);
    question
        .map(|of| of.since)
        .map_err(|status| status.message().to_owned())
}

#[test]
fn a_time_is_rfc_3339_or_a_span_before_now() {
    let at = |text: &str| {
        let time: jiff::Timestamp = text.parse().unwrap();
        Some(Timestamp {
            seconds: time.as_second(),
            nanos: 0,
        })
    };
    assert_eq!(asked(""), Ok(None));
    assert_eq!(asked("90s"), Ok(at("2026-01-02T03:02:35Z")));
    assert_eq!(asked("1h30m"), Ok(at("2026-01-02T01:34:05Z")));
    assert_eq!(
        asked("2026-01-01T00:00:00Z"),
        Ok(at("2026-01-01T00:00:00Z"))
    );
}

#[test]
fn another_time_is_refused_by_the_name_of_its_field() {
    for text in ["yesterday", "5", "2026-01-01", "9999999999999h"] {
        let refused = asked(text).unwrap_err();
        assert!(refused.starts_with("since: "), "{refused}");
    }
}
