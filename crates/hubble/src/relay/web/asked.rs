//! A question as the query of a URL.

use api::hubble::Timestamp;
use api::hubble::answers::Question;
use jiff::SignedDuration;
use serde::Deserialize;
use tonic::Status;

/// The parameters of a question; what is absent is not asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Asked {
    since: String,
    until: String,
    from: String,
    to: String,
    namespace: String,
    limit: u32,
    pattern: String,
    failing: bool,
    resets: bool,
    cluster: String,
    /// Into how many spans a history is cut; 0: as many as lie behind a tile.
    pub(super) spans: u32,
}

impl Asked {
    /// The question, as of `now`. A time is RFC 3339 or a span before now, as `90s` or `1h30m`.
    pub(super) fn question(self, now: jiff::Timestamp) -> Result<Question, Status> {
        Ok(Question {
            since: time("since", &self.since, now)?,
            until: time("until", &self.until, now)?,
            from: self.from,
            to: self.to,
            namespace: self.namespace,
            limit: self.limit,
            pattern: self.pattern,
            failing: self.failing,
            resets: self.resets,
            cluster: self.cluster,
        })
    }
}

fn time(field: &str, text: &str, now: jiff::Timestamp) -> Result<Option<Timestamp>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let before = |span: SignedDuration| now.checked_sub(span).ok();
    let time = match text.parse::<jiff::Timestamp>() {
        Ok(time) => Some(time),
        Err(_) => text.parse().ok().and_then(before),
    };
    let time = time.ok_or_else(|| {
        Status::invalid_argument(format!(
            "{field}: {text:?} is neither RFC 3339 nor a span like 90s or 1h30m"
        ))
    })?;
    Ok(Some(Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    }))
}

#[cfg(test)]
mod tests;
