//! Answers in the form of Prometheus' API.

use std::fmt::Write as _;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use promql::{Error, ErrorKind, Labels, Line, Sample, Value};
use serde::Serialize;

use super::Answered;

/// Why there is no answer.
pub(in crate::relay) struct Failure {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

impl Failure {
    /// A parameter is wrong.
    pub(in crate::relay) fn bad(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            kind: "bad_data",
            message: message.into(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (status, kind) = match error.kind {
            ErrorKind::Bad => (StatusCode::BAD_REQUEST, "bad_data"),
            ErrorKind::Execution => (StatusCode::UNPROCESSABLE_ENTITY, "execution"),
            ErrorKind::Timeout => (StatusCode::SERVICE_UNAVAILABLE, "timeout"),
        };
        Self {
            status,
            kind,
            message: error.message,
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body =
            serde_json::json!({ "status": "error", "errorType": self.kind, "error": self.message });
        (self.status, axum::Json(body)).into_response()
    }
}

/// Anything that can be JSON.
pub(in crate::relay) fn data(data: &impl Serialize, warnings: &[String]) -> Response {
    match serde_json::to_string(data) {
        Ok(data) => success(&data, warnings),
        Err(error) => Failure {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            kind: "internal",
            message: error.to_string(),
        }
        .into_response(),
    }
}

/// What a query is, with no more series than `limit`.
pub(super) fn value(answered: Answered<Value>, limit: Option<usize>) -> Response {
    let Answered {
        mut answer,
        mut warnings,
    } = answered;
    if let (Value::Vector(lines) | Value::Matrix(lines), Some(limit)) = (&mut answer, limit)
        && lines.len() > limit
    {
        lines.truncate(limit);
        warnings.push("results truncated due to limit".into());
    }
    success(&text(&answer), &warnings)
}

fn success(data: &str, warnings: &[String]) -> Response {
    let mut body = format!("{{\"status\":\"success\",\"data\":{data}");
    if !warnings.is_empty() {
        let _ = write!(body, ",\"warnings\":{}", serde_json::json!(warnings));
    }
    body.push('}');
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Written by hand: an answer may have millions of values.
fn text(answer: &Value) -> String {
    let mut out = String::new();
    match answer {
        Value::Scalar(sample) => {
            out.push_str("{\"resultType\":\"scalar\",\"result\":");
            pair(&mut out, sample);
        }
        Value::Text(time, text) => {
            let _ = write!(
                out,
                "{{\"resultType\":\"string\",\"result\":[{},{}]",
                seconds(*time),
                serde_json::json!(&**text)
            );
        }
        Value::Vector(lines) => {
            out.push_str("{\"resultType\":\"vector\",\"result\":");
            listed(&mut out, lines, |out, line| {
                out.push_str(",\"value\":");
                line.samples
                    .iter()
                    .take(1)
                    .for_each(|sample| pair(out, sample));
            });
        }
        Value::Matrix(lines) => {
            out.push_str("{\"resultType\":\"matrix\",\"result\":");
            listed(&mut out, lines, |out, line| {
                out.push_str(",\"values\":[");
                for (number, sample) in line.samples.iter().enumerate() {
                    if number > 0 {
                        out.push(',');
                    }
                    pair(out, sample);
                }
                out.push(']');
            });
        }
    }
    out.push('}');
    out
}

fn listed(out: &mut String, lines: &[Line], values: impl Fn(&mut String, &Line)) {
    out.push('[');
    for (number, line) in lines.iter().enumerate() {
        if number > 0 {
            out.push(',');
        }
        let _ = write!(out, "{{\"metric\":{}", object(&line.labels));
        values(out, line);
        out.push('}');
    }
    out.push(']');
}

/// Labels as an object.
pub(in crate::relay) fn object(labels: &Labels) -> serde_json::Value {
    labels
        .iter()
        .map(|(name, value)| (name.to_owned(), serde_json::Value::from(value)))
        .collect()
}

fn pair(out: &mut String, sample: &Sample) {
    let _ = write!(
        out,
        "[{},\"{}\"]",
        seconds(sample.time),
        number(sample.value)
    );
}

/// Milliseconds as seconds with as many digits as are needed.
fn seconds(milliseconds: i64) -> String {
    let sign = if milliseconds < 0 { "-" } else { "" };
    let (whole, part) = (
        milliseconds.unsigned_abs() / 1000,
        milliseconds.unsigned_abs() % 1000,
    );
    if part == 0 {
        return format!("{sign}{whole}");
    }
    let digits = format!("{part:03}");
    format!("{sign}{whole}.{}", digits.trim_end_matches('0'))
}

/// A value as Prometheus writes it: without an exponent where that is readable.
pub(in crate::relay) fn number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 {
            "+Inf".into()
        } else {
            "-Inf".into()
        };
    }
    let size = value.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return value.to_string();
    }
    with_exponent(value)
}

/// With an exponent of two digits at least, as Go writes it.
pub(in crate::relay) fn with_exponent(value: f64) -> String {
    let text = format!("{value:e}");
    let Some((digits, exponent)) = text.split_once('e') else {
        return text;
    };
    let negative = exponent.strip_prefix('-');
    let (sign, exponent) = negative.map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests;
