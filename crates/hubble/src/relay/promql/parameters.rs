//! What a question says: in the address, or in a form.

use std::time::Duration;

use axum::extract::{FromRequest, Query, Request};
use axum::http::Method;
use axum::{Form, RequestExt};
use jiff::Timestamp;

use super::json::Failure;

/// Names and values, in the order in which they came.
pub(super) struct Parameters(Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Parameters {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let bad = |error: &dyn std::fmt::Display| {
            Failure::bad(format!("error parsing form values: {error}"))
        };
        let Query(mut all) = Query::<Vec<(String, String)>>::try_from_uri(request.uri())
            .map_err(|error| bad(&error))?;
        if request.method() == Method::POST {
            let Form(form) = request
                .extract::<Form<Vec<(String, String)>>, _>()
                .await
                .map_err(|error| bad(&error))?;
            all.extend(form);
        }
        Ok(Self(all))
    }
}

impl Parameters {
    /// The first value of a name, unless it is empty.
    pub(super) fn optional<'a>(&'a self, name: &str) -> Option<&'a str> {
        self.all(name).find(|value| !value.is_empty())
    }

    /// All values of a name.
    pub(super) fn all<'a, 'n>(
        &'a self,
        name: &'n str,
    ) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        let values = self.0.iter().filter(move |(of, _)| of == name);
        values.map(|(_, value)| value.as_str())
    }

    /// The value of a name that must be there; it may be empty.
    pub(super) fn required<'a>(&'a self, name: &str) -> Result<&'a str, Failure> {
        let missing = || Failure::bad(format!("invalid parameter {name:?}: it is missing"));
        self.all(name).next().ok_or_else(missing)
    }

    /// A time, in milliseconds since the Unix epoch.
    pub(super) fn time(&self, name: &str) -> Result<Option<i64>, Failure> {
        let Some(text) = self.optional(name) else {
            return Ok(None);
        };
        let time = time(text).ok_or_else(|| {
            Failure::bad(format!(
                "invalid parameter {name:?}: cannot parse {text:?} to a valid timestamp"
            ))
        })?;
        Ok(Some(time))
    }

    fn milliseconds(&self, name: &str) -> Result<Option<i64>, Failure> {
        let Some(text) = self.optional(name) else {
            return Ok(None);
        };
        let milliseconds = milliseconds(text).ok_or_else(|| {
            Failure::bad(format!(
                "invalid parameter {name:?}: cannot parse {text:?} to a valid duration"
            ))
        })?;
        Ok(Some(milliseconds))
    }

    /// Milliseconds between two times of a range.
    pub(super) fn step(&self) -> Result<i64, Failure> {
        let step = self
            .milliseconds("step")?
            .ok_or_else(|| Failure::bad("invalid parameter \"step\": a duration is needed"))?;
        if step <= 0 {
            return Err(Failure::bad(
                "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer",
            ));
        }
        Ok(step)
    }

    /// How long the answer may take: no longer than `most`.
    pub(super) fn timeout(&self, most: Duration) -> Result<Duration, Failure> {
        let asked = self
            .milliseconds("timeout")?
            .and_then(|milliseconds| u64::try_from(milliseconds).ok());
        Ok(asked.map_or(most, |milliseconds| {
            Duration::from_millis(milliseconds).min(most)
        }))
    }

    /// Most entries of the answer; none for all.
    pub(super) fn limit(&self) -> Result<Option<usize>, Failure> {
        let Some(text) = self.optional("limit") else {
            return Ok(None);
        };
        let limit: usize = text.parse().map_err(|_| {
            Failure::bad("invalid parameter \"limit\": a number of entries, 0 for all")
        })?;
        Ok(Some(limit).filter(|limit| *limit > 0))
    }

    /// Leaves no more entries than were asked for.
    pub(super) fn cut<T>(&self, entries: &mut Vec<T>) -> Result<(), Failure> {
        entries.truncate(self.limit()?.unwrap_or(usize::MAX));
        Ok(())
    }
}

/// Furthest time and longest duration, seconds: those of which milliseconds can be told apart.
const FURTHEST: f64 = 9e12;

fn seconds(text: &str) -> Option<i64> {
    let seconds: f64 = text.parse().ok()?;
    let is_sane = seconds.is_finite() && seconds.abs() < FURTHEST;
    is_sane.then(|| (seconds * 1000.0).round() as i64)
}

/// Seconds, or a time of RFC 3339.
fn time(text: &str) -> Option<i64> {
    seconds(text).or_else(|| {
        text.parse::<Timestamp>()
            .ok()
            .map(Timestamp::as_millisecond)
    })
}

/// Seconds, or a duration such as `5m`.
fn milliseconds(text: &str) -> Option<i64> {
    seconds(text).or_else(|| promql::duration(text))
}

#[cfg(test)]
mod tests;
