//! Texts with the labels and the value of an alert in them: of the templates of Prometheus those that rules are written with.

use std::fmt::{self, Write as _};

use promql::Labels;

use crate::relay::promql::number;

/// A text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Template {
    /// As it was written.
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    /// `{{ $labels.NAME }}`
    Label(String),
    /// `{{ $value }}`
    Value(Form),
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    /// All digits.
    Plain,
    /// `humanize`: four digits and a prefix for thousands.
    Short,
    /// `humanizePercentage`
    Percentage,
    /// `humanizeDuration`, of seconds.
    Duration,
}

impl Template {
    /// Reads a text.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            pieces.push(Piece::Text(before.to_owned()));
            let (inside, after) = after.split_once("}}").ok_or("{{ without }}")?;
            pieces.push(piece(inside.trim_matches(['-', ' ']))?);
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self {
            text: text.to_owned(),
            pieces,
        })
    }

    /// The text of an alert.
    pub(super) fn written(&self, labels: &Labels, value: f64) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Label(name) => text.push_str(labels.get(name)),
                Piece::Value(form) => text.push_str(&shown(*form, value)),
            }
        }
        text
    }
}

impl fmt::Display for Template {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.text)
    }
}

fn piece(inside: &str) -> Result<Piece, String> {
    let (what, form) = match inside.split_once('|') {
        None => (inside, Form::Plain),
        Some((what, form)) => {
            let form = match form.trim() {
                "humanize" => Form::Short,
                "humanizePercentage" => Form::Percentage,
                "humanizeDuration" => Form::Duration,
                other => {
                    return Err(format!(
                        "{other:?} is not understood: humanize, humanizePercentage or humanizeDuration"
                    ));
                }
            };
            (what.trim(), form)
        }
    };
    match what {
        "$value" | ".Value" => Ok(Piece::Value(form)),
        _ => {
            let name = what
                .strip_prefix("$labels.")
                .or_else(|| what.strip_prefix(".Labels."));
            let is_name = |name: &&str| {
                !name.is_empty()
                    && name
                        .chars()
                        .all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
            };
            let name = name.filter(is_name).filter(|_| form == Form::Plain);
            let name =
                name.ok_or_else(|| format!("{what:?} is not understood: $labels.NAME or $value"))?;
            Ok(Piece::Label(name.to_owned()))
        }
    }
}

fn shown(form: Form, value: f64) -> String {
    match form {
        Form::Plain => number(value),
        _ if !value.is_finite() => number(value),
        Form::Percentage => format!("{}%", short(value * 100.0)),
        Form::Short => {
            let prefixes = [
                (1e15, "P"),
                (1e12, "T"),
                (1e9, "G"),
                (1e6, "M"),
                (1e3, "k"),
                (1.0, ""),
                (1e-3, "m"),
                (1e-6, "u"),
                (1e-9, "n"),
            ];
            let found = prefixes.iter().find(|(scale, _)| value.abs() >= *scale);
            found.map_or_else(
                || short(value),
                |(scale, prefix)| format!("{}{prefix}", short(value / scale)),
            )
        }
        Form::Duration => duration(value),
    }
}

/// Four digits that count, or as many as there are before the point.
fn short(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let exponent = value.abs().log10().floor();
    if !(-4.0..15.0).contains(&exponent) {
        return format!("{value:.3e}");
    }
    let decimals = (3.0 - exponent).max(0.0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

fn duration(seconds: f64) -> String {
    if seconds.abs() < 60.0 {
        return format!("{}s", short(seconds));
    }
    let mut text = if seconds < 0.0 {
        "-".to_owned()
    } else {
        String::new()
    };
    let mut left = seconds.abs() as u64;
    let mut has_begun = false;
    for (length, unit) in [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")] {
        let count = left / length;
        left %= length;
        if has_begun || count > 0 {
            let _ = write!(text, "{}{count}{unit}", if has_begun { " " } else { "" });
            has_begun = true;
        }
    }
    text
}

#[cfg(test)]
mod tests;
