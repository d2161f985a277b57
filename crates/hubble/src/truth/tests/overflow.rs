//! What an answer says while a ring overflows, and when that is over.

use std::sync::Arc;

use api::hubble::Timestamp;
use api::hubble::answers::Question;
use api::hubble::answers::answers_server::Answers as _;
use serde_json::Value;
use tonic::Request;

use super::{BEGIN_NS, WALL};
use crate::answers::{Answers, OwnNode};
use crate::truth::{Batch, Generator, Reader, Step, Way};

/// The answer as a program reads it, of the time from one second after the start to another.
async fn asked(reader: &Reader, from: u64, to: u64) -> Value {
    let answers = Answers::new(Arc::new(OwnNode(Arc::clone(reader.recorder()))));
    let at = |second| Some(Timestamp::from_unix_nanos((WALL + second) * 1_000_000_000));
    let question = Question {
        since: at(from),
        until: at(to - 1),
        ..Question::default()
    };
    let map = answers.map(Request::new(question)).await.unwrap();
    serde_json::to_value(map.into_inner()).unwrap()
}

/// Takes what the ring has room for: of each second the first so many samples and the first so many events. Returns how
/// many of both did not come.
fn take(reader: &mut Reader, batch: &Batch, [samples, events]: [usize; 2]) -> u64 {
    let (mut left, mut lost) = ([samples, events], 0);
    for (at_ns, step) in &batch.steps {
        let ring = match step {
            Step::Sample(..) => 0,
            Step::Event(..) => 1,
            Step::Second => {
                left = [samples, events];
                reader.take(*at_ns, step, |_| {});
                continue;
            }
            Step::Entry(..) | Step::Lost => {
                reader.take(*at_ns, step, |_| {});
                continue;
            }
        };
        if left[ring] > 0 {
            left[ring] -= 1;
            reader.take(*at_ns, step, |_| {});
        } else {
            lost += 1;
            reader.loses(ring == 0);
        }
    }
    lost
}

/// A number, which JSON of protobuf has as a text where it may be large; nothing is 0.
fn number(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.parse().expect("a number"),
        other => other.as_u64().unwrap_or_default(),
    }
}

/// Records that an answer is made of: what began, what came of it, what was said.
fn seen(answer: &Value) -> u64 {
    let edges = answer["edges"].as_array().expect("edges");
    let counted = edges.iter().map(|edge| {
        let names = ["opened", "denied", "answered", "unanswered"];
        let of_connections = names.map(|name| number(&edge["counters"][name]));
        let said = [
            ("http", "requests"),
            ("dns", "questions"),
            ("kafka", "produces"),
            ("kafka", "fetches"),
            ("kafka", "others"),
            ("tls", "handshakes"),
        ];
        let said = said.map(|(protocol, name)| {
            let all = edge[protocol].as_array().into_iter().flatten();
            all.map(|of| number(&of[name])).sum::<u64>()
        });
        of_connections.iter().chain(&said).sum::<u64>()
    });
    counted.sum()
}

#[tokio::test]
#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
async fn while_a_ring_overflows_answers_say_which_share_came_and_all_again_when_it_is_over() {
    let mut reader = Reader::new(None, BEGIN_NS, WALL).unwrap();
    let mut generator = Generator::new(5, BEGIN_NS);
    let batch = generator.batch(2_000, Way::Whole);
    let lost = take(&mut reader, &batch, [1_500, 300]);
    assert!(lost > 1_000, "{lost}");
    let answer = asked(&reader, 0, 20).await;
    let completeness = &answer["completeness"];
    let counted = seen(&answer);
    assert_eq!(number(&completeness["lost"]), lost);
    let share = completeness["share"].as_f64().expect("a share");
    let expected = counted as f64 / (counted + lost) as f64;
    assert!(
        share < 0.9 && (share - expected).abs() < 1e-9,
        "{share}, not {expected}"
    );

    let batch = generator.batch(200, Way::Whole);
    assert_eq!(take(&mut reader, &batch, [usize::MAX; 2]), 0);
    let answer = asked(&reader, 20, 40).await;
    assert_eq!(answer["completeness"]["share"], 1.0);
    assert!(seen(&answer) > 600, "{answer}");
    // The time that was not whole is told as such still.
    let both = asked(&reader, 0, 40).await;
    assert_eq!(number(&both["completeness"]["lost"]), lost);
}
