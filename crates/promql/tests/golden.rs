//! The evaluator answers as a real Prometheus does.
//!
//! `golden/answers.jsonl` holds what Prometheus v3.16.0 said: its storage engine and its query engine, taken as Go modules
//! (`github.com/prometheus/prometheus/tsdb` and `…/promql`, no feature flag, look-back of five minutes), were given the series
//! that `cargo run -p promql --example judged series` prints, and asked the questions that `… judged questions` prints. A line
//! is an answer in the form of its HTTP API, or the kind of its error, in the order of the questions.

#[path = "golden/data.rs"]
mod data;

use promql::{Error, Found, Labels, Limits, Line, Matcher, Sample, Series, Value};
use serde_json::Value as Json;

struct Kept(Vec<Found>);

impl Series for Kept {
    fn select<'a>(
        &'a self,
        matchers: &'a [Matcher],
        from: i64,
        until: i64,
    ) -> Box<dyn Iterator<Item = Result<Found, Error>> + 'a> {
        let wanted = self
            .0
            .iter()
            .filter(|found| Matcher::all(matchers, &found.labels));
        Box::new(wanted.map(move |found| {
            let inside = found
                .samples
                .iter()
                .filter(|sample| (from..=until).contains(&sample.time));
            Ok(Found {
                labels: found.labels.clone(),
                samples: inside.copied().collect(),
            })
        }))
    }
}

fn answer(kept: &Kept, asked: &data::Asked) -> Result<Value, Error> {
    let expr = promql::parse(&asked.query)?;
    let limits = Limits::default();
    if asked.step == 0 {
        return promql::instant(&expr, asked.start, kept, &limits);
    }
    promql::range(&expr, (asked.start, asked.end), asked.step, kept, &limits).map(Value::Matrix)
}

fn sample(of: &Json) -> Sample {
    let time = of[0].as_f64().expect("a time") * 1000.0;
    let value = of[1].as_str().expect("a value").parse().expect("a number");
    Sample {
        time: time.round() as i64,
        value,
    }
}

fn line(of: &Json) -> Line {
    let labels = of["metric"].as_object().expect("labels");
    let labels: Labels = labels
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().expect("a text")))
        .collect();
    let samples = match &of["values"] {
        Json::Array(samples) => samples.iter().map(sample).collect(),
        _ => vec![sample(&of["value"])],
    };
    Line { labels, samples }
}

fn expected(of: &Json) -> Value {
    let result = &of["result"];
    let lines = || {
        result
            .as_array()
            .expect("series")
            .iter()
            .map(line)
            .collect()
    };
    match of["resultType"].as_str() {
        Some("scalar") => Value::Scalar(sample(result)),
        Some("string") => {
            let time = result[0].as_f64().expect("a time") * 1000.0;
            Value::Text(
                time.round() as i64,
                result[1].as_str().expect("a text").into(),
            )
        }
        Some("vector") => Value::Vector(lines()),
        _ => Value::Matrix(lines()),
    }
}

/// Functions of several machines' libraries differ in the last bits.
#[allow(clippy::float_cmp, reason = "what is the same needs no margin")]
fn is_close(one: f64, other: f64) -> bool {
    let scale = one.abs().max(other.abs());
    one == other
        || one.is_nan() && other.is_nan()
        || (one - other).abs() <= 1e-10 * scale
        || (one - other).abs() < 1e-13
}

fn are_same(own: &[Line], theirs: &[Line], query: &str) -> bool {
    let (mut own, mut theirs) = (own.to_vec(), theirs.to_vec());
    // Only where it was asked for is the order of an instant vector a promise.
    if !["sort", "topk(3", "bottomk(3"]
        .iter()
        .any(|ordered| query.starts_with(ordered))
    {
        own.sort_by(|one, other| one.labels.cmp(&other.labels));
        theirs.sort_by(|one, other| one.labels.cmp(&other.labels));
    }
    let is_same = |own: &Sample, theirs: &Sample| {
        own.time == theirs.time && is_close(own.value, theirs.value)
    };
    own.len() == theirs.len()
        && own.iter().zip(&theirs).all(|(own, theirs)| {
            let samples = own.samples.iter().zip(&theirs.samples);
            own.labels == theirs.labels
                && own.samples.len() == theirs.samples.len()
                && samples.fold(true, |all, (own, theirs)| all && is_same(own, theirs))
        })
}

fn agree(own: &Result<Value, Error>, theirs: &Json, query: &str) -> bool {
    match (own, theirs["error"].as_str()) {
        (Err(error), Some(kind)) => {
            kind == if error.kind == promql::ErrorKind::Bad {
                "bad_data"
            } else {
                "execution"
            }
        }
        (Ok(own), None) => match (own, &expected(theirs)) {
            (Value::Scalar(own), Value::Scalar(theirs)) => {
                own.time == theirs.time && is_close(own.value, theirs.value)
            }
            (Value::Text(time, own), Value::Text(at, theirs)) => time == at && own == theirs,
            (Value::Vector(own), Value::Vector(theirs))
            | (Value::Matrix(own), Value::Matrix(theirs)) => are_same(own, theirs, query),
            _ => false,
        },
        _ => false,
    }
}

#[test]
fn every_answer_is_that_of_a_real_prometheus() {
    let kept = Kept(data::series());
    let answers = include_str!("golden/answers.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let answers: Vec<Json> = answers.collect();
    let questions = data::questions();
    assert_eq!(questions.len(), answers.len(), "questions and answers");
    let mut wrong = Vec::new();
    for (asked, theirs) in questions.iter().zip(&answers) {
        let own = answer(&kept, asked);
        if !agree(&own, theirs, &asked.query) {
            wrong.push(format!(
                "{} at {} by {}\n  own    {own:?}\n  theirs {theirs}",
                asked.query, asked.start, asked.step
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} differ:\n{}",
        wrong.len(),
        answers.len(),
        wrong.join("\n")
    );
}
