//! Points in time as people type them, and times as they are printed.

use anyhow::{Context, bail};
use api::hubble::Timestamp;
use clap::ValueEnum;
use jiff::{Span, Zoned, civil, tz::TimeZone};

/// How times are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "verbatim")]
pub(super) enum TimeFormat {
    /// Jan _2 15:04:05.000
    #[default]
    StampMilli,
    /// 2006-01-02
    YearMonthDay,
    /// 2006-01-02T15Z07:00
    YearMonthDayHour,
    /// 2006-01-02T15:04Z07:00
    YearMonthDayHourMinute,
    /// 2006-01-02T15:04:05Z07:00
    RFC3339,
    /// 2006-01-02T15:04:05.999Z07:00
    RFC3339Milli,
    /// 2006-01-02T15:04:05.999999Z07:00
    RFC3339Micro,
    /// 2006-01-02T15:04:05.999999999Z07:00
    RFC3339Nano,
    /// Mon, 02 Jan 2006 15:04:05 -0700
    RFC1123Z,
}

impl TimeFormat {
    /// A time in the zone of the reader; `N/A` when there is none.
    pub(super) fn print(self, time: Option<Timestamp>, zone: &TimeZone) -> String {
        let Some(time) = time.and_then(|t| jiff::Timestamp::new(t.seconds, t.nanos).ok()) else {
            return "N/A".into();
        };
        let time = time.to_zoned(zone.clone());
        let with_zone = |layout: &str| format!("{}{}", time.strftime(layout), offset(&time));
        match self {
            Self::StampMilli => time.strftime("%b %e %H:%M:%S.%3f").to_string(),
            Self::YearMonthDay => time.strftime("%Y-%m-%d").to_string(),
            Self::YearMonthDayHour => with_zone("%Y-%m-%dT%H"),
            Self::YearMonthDayHourMinute => with_zone("%Y-%m-%dT%H:%M"),
            Self::RFC3339 => with_zone("%Y-%m-%dT%H:%M:%S"),
            Self::RFC3339Milli => with_fraction(&time, 3),
            Self::RFC3339Micro => with_fraction(&time, 6),
            Self::RFC3339Nano => with_fraction(&time, 9),
            Self::RFC1123Z => time.strftime("%a, %d %b %Y %H:%M:%S %z").to_string(),
        }
    }
}

/// `Z` for UTC, else hours and minutes.
fn offset(time: &Zoned) -> String {
    if time.offset().is_zero() {
        "Z".into()
    } else {
        time.strftime("%:z").to_string()
    }
}

/// RFC 3339 with at most `digits` of fraction, without zeros at its end.
fn with_fraction(time: &Zoned, digits: usize) -> String {
    let nanos = format!("{:09}", time.subsec_nanosecond());
    let fraction = nanos.get(..digits).unwrap_or(&nanos).trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    format!(
        "{}{dot}{fraction}{}",
        time.strftime("%Y-%m-%dT%H:%M:%S"),
        offset(time)
    )
}

/// Reads `5m`, `1h30m` (before `now`), a date, a date with hours or minutes and an offset, RFC 3339 or RFC 1123.
pub(crate) fn parse(text: &str, now: &Zoned) -> anyhow::Result<Timestamp> {
    if let Ok(before) = text.parse::<Span>()
        && text.starts_with(|c: char| c.is_ascii_digit())
    {
        let time = now
            .checked_sub(before)
            .with_context(|| format!("{text:?} is too long ago"))?;
        return Ok(time.timestamp().into());
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(time.into());
    }
    if let Ok(time) = jiff::fmt::rfc2822::parse(text) {
        return Ok(time.timestamp().into());
    }
    if text.len() == 10
        && let Ok(date) = text.parse::<civil::Date>()
    {
        return Ok(date.to_zoned(TimeZone::UTC)?.timestamp().into());
    }
    // Hours and minutes with an offset: completed to a form that is read above.
    if let Some((date, rest)) = text.split_once('T') {
        let at = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
        let (clock, offset) = rest.split_at(at);
        let clock = match clock.len() {
            2 => format!("{clock}:00:00"),
            5 => format!("{clock}:00"),
            _ => clock.to_owned(),
        };
        if let Ok(time) = format!("{date}T{clock}{offset}").parse::<jiff::Timestamp>() {
            return Ok(time.into());
        }
    }
    bail!("{text:?} is no time: give a span (5m, 1h30m), a date (2006-01-02) or RFC 3339")
}

/// Reads a span of time as a duration (`12s`, `1m30s`, `500ms`).
pub(crate) fn duration(text: &str) -> Result<std::time::Duration, String> {
    let span: Span = text
        .parse()
        .map_err(|_| format!("{text:?} is no duration (12s, 1m30s)"))?;
    let seconds = span
        .total(jiff::Unit::Second)
        .map_err(|error| error.to_string())?;
    std::time::Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
