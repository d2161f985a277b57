use std::time::Duration;

use super::*;

fn now() -> Zoned {
    "2026-11-24T12:00:00Z[UTC]".parse().unwrap()
}

#[test]
fn times_are_read_in_all_their_forms() {
    for (text, expected) in [
        ("90s", "2026-11-24T11:58:30Z"),
        ("5m", "2026-11-24T11:55:00Z"),
        ("1h30m", "2026-11-24T10:30:00Z"),
        ("2026-11-23", "2026-11-23T00:00:00Z"),
        ("2026-11-23T10Z", "2026-11-23T10:00:00Z"),
        ("2026-11-23T10:30+01:00", "2026-11-23T09:30:00Z"),
        ("2026-11-23T10:30:05Z", "2026-11-23T10:30:05Z"),
        ("2026-11-23T10:30:05.25-02:00", "2026-11-23T12:30:05.250Z"),
        ("Mon, 23 Nov 2026 10:30:00 +0000", "2026-11-23T10:30:00Z"),
    ] {
        let time = parse(text, &now()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(time.to_string(), expected, "{text}");
    }
    for bad in ["", "5x", "yesterday", "2026-13-01", "-", "5"] {
        let error = parse(bad, &now()).unwrap_err().to_string();
        assert!(error.contains(bad), "{error}");
    }
}

#[test]
fn times_are_printed_in_the_zone_of_the_reader() {
    let time = Some(Timestamp {
        seconds: 1_795_514_400,
        nanos: 120_000_000,
    });
    let berlin = TimeZone::fixed(jiff::tz::offset(1));
    for (format, utc, local) in [
        (
            TimeFormat::StampMilli,
            "Nov 24 10:00:00.120",
            "Nov 24 11:00:00.120",
        ),
        (TimeFormat::YearMonthDay, "2026-11-24", "2026-11-24"),
        (
            TimeFormat::YearMonthDayHour,
            "2026-11-24T10Z",
            "2026-11-24T11+01:00",
        ),
        (
            TimeFormat::YearMonthDayHourMinute,
            "2026-11-24T10:00Z",
            "2026-11-24T11:00+01:00",
        ),
        (
            TimeFormat::RFC3339,
            "2026-11-24T10:00:00Z",
            "2026-11-24T11:00:00+01:00",
        ),
        (
            TimeFormat::RFC3339Milli,
            "2026-11-24T10:00:00.12Z",
            "2026-11-24T11:00:00.12+01:00",
        ),
        (
            TimeFormat::RFC3339Nano,
            "2026-11-24T10:00:00.12Z",
            "2026-11-24T11:00:00.12+01:00",
        ),
        (
            TimeFormat::RFC1123Z,
            "Tue, 24 Nov 2026 10:00:00 +0000",
            "Tue, 24 Nov 2026 11:00:00 +0100",
        ),
    ] {
        assert_eq!(format.print(time, &TimeZone::UTC), utc);
        assert_eq!(format.print(time, &berlin), local);
    }
    assert_eq!(TimeFormat::StampMilli.print(None, &TimeZone::UTC), "N/A");
}

#[test]
fn durations_have_units() {
    assert_eq!(duration("12s"), Ok(Duration::from_secs(12)));
    assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
    assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
    assert!(duration("12").is_err());
    assert!(duration("-5s").is_err());
}
