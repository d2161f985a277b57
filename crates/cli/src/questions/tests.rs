use api::hubble::Timestamp;
use api::hubble::answers::{
    Completeness, Counters, Edge, FailingAnswer, Fault, MapAnswer, Party, Row, Sample, Sketch,
};
use clap::Parser;

use super::*;

#[derive(Parser)]
struct Map {
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Parser)]
struct Failing {
    #[command(flatten)]
    args: FailingArgs,
}

const fn at(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 0 }
}

fn edge() -> Edge {
    let party = |name: &str| Party {
        namespace: "shop".into(),
        name: name.into(),
        ..Party::default()
    };
    Edge {
        source: Some(party("web")),
        destination: Some(party("a,\"pi\"")),
        service: "shop/api".into(),
        port: 8080,
        protocol: 6,
        ..Edge::default()
    }
}

fn map() -> Answer {
    let counters = Counters {
        opened: 200,
        answered: 190,
        unanswered: 4,
        refused: 6,
        bytes_sent: 1_000_000,
        bytes_received: 2_000_000,
        ..Counters::default()
    };
    let row = Row {
        edge: Some(edge()),
        counters: Some(counters),
        connect: Some(Sketch {
            bucket: vec![400],
            count: vec![190],
        }),
        ..Row::default()
    };
    Answer::Map(MapAnswer {
        since: Some(at(1000)),
        until: Some(at(1100)),
        edges: vec![row],
        completeness: Some(Completeness {
            share: 0.994,
            lost: 12,
            nodes: 2,
            missing: vec!["n3\x1b[2J".into()],
            ..Completeness::default()
        }),
    })
}

fn failures() -> Answer {
    let failure = |kind: CauseKind, sentence: &str| Failure {
        edge: Some(edge()),
        cause: Some(Cause {
            kind: kind.into(),
            ..Cause::default()
        }),
        layer: "L4".into(),
        fault: Fault::Server.into(),
        sentence: sentence.into(),
        count: 3,
        attempts: 40,
        samples: vec![Sample {
            time_ns: 1_000_000_000_000,
            source_pod: "shop/web-1".into(),
            source: "10.0.0.1:40000".into(),
            destination_pod: String::new(),
            destination: "10.0.0.2:8080".into(),
        }],
        ..Failure::default()
    };
    Answer::Failing(FailingAnswer {
        failures: vec![
            failure(
                CauseKind::Refused,
                "nothing listens on port 8080 of shop/api",
            ),
            failure(CauseKind::DeniedByDefault, "no rule allows it"),
            failure(CauseKind::Unanswered, "delivered to the pod"),
        ],
        ..FailingAnswer::default()
    })
}

fn shown(answer: Answer, args: QuestionArgs) -> String {
    let (ask, view) = parts(args);
    let mut out = Vec::new();
    show::show(
        &view.chosen(answer),
        &view,
        (ask.output, ask.limit),
        &mut out,
    )
    .unwrap();
    String::from_utf8(out).unwrap()
}

fn ask(flags: &[&str]) -> AskArgs {
    Map::parse_from([&["map"], flags].concat()).ask
}

fn failing(flags: &[&str]) -> FailingArgs {
    Failing::parse_from([&["failing"], flags].concat()).args
}

#[test]
fn a_map_has_rates_shares_and_says_what_is_missing() {
    let text = shown(map(), QuestionArgs::Map(ask(&[])));
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("SOURCE    DESTINATION"), "{text}");
    for word in ["shop/web", "8080/TCP", "2.00", "30.0kB", "5.0%", "2.95ms"] {
        assert!(lines[1].contains(word), "{word} in {text}");
    }
    let last = lines.last().unwrap();
    assert!(
        last.contains("2 nodes, 99.4% complete, 12 records lost; no answer of n3"),
        "{last}"
    );
    assert!(
        !text.contains('\x1b'),
        "what nodes say does not steer the terminal"
    );
}

#[test]
fn a_map_is_csv_and_pictures_too() {
    let csv = shown(map(), QuestionArgs::Map(ask(&["-o", "csv"])));
    assert!(
        csv.contains("shop/web,\"shop/a,\"\"pi\"\"\",shop/api,8080/TCP,2.00"),
        "{csv}"
    );
    let dot = shown(map(), QuestionArgs::Map(ask(&["-o", "dot"])));
    assert!(dot.starts_with("digraph map {"), "{dot}");
    assert!(
        dot.contains("n0 -> n1 [label=\"8080/TCP: 10 of 200 fail\", color=red]"),
        "{dot}"
    );
    let mermaid = shown(map(), QuestionArgs::Map(ask(&["-o", "mermaid"])));
    assert!(
        mermaid.contains("n0 -.->|\"8080/TCP: 10 of 200 fail\"| n1"),
        "{mermaid}"
    );
    let json = shown(map(), QuestionArgs::Map(ask(&["-o", "json"])));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["edges"][0]["counters"]["opened"], "200");
}

#[test]
fn failures_are_chosen_by_the_question() {
    let lines = |args| {
        let text = shown(failures(), args);
        let rows: Vec<String> = text.lines().map(str::to_owned).collect();
        rows[1..]
            .iter()
            .take_while(|row| !row.is_empty())
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(lines(QuestionArgs::Failing(failing(&[]))).len(), 3);
    let denied = lines(QuestionArgs::Denied(failing(&[])));
    assert!(
        denied.len() == 1 && denied[0].contains("no rule allows it"),
        "{denied:?}"
    );
    let tcp = |failing, unanswered| {
        let ask = ask(&[]);
        lines(QuestionArgs::Tcp(TcpArgs {
            ask,
            failing,
            unanswered,
        }))
    };
    assert_eq!(tcp(true, false).len(), 2);
    assert_eq!(tcp(false, true).len(), 1);
}

#[test]
fn evidence_names_pods_and_addresses() {
    let text = shown(failures(), QuestionArgs::Failing(failing(&["--evidence"])));
    assert!(
        text.contains("1. nothing listens on port 8080 of shop/api"),
        "{text}"
    );
    assert!(
        text.contains("shop/web-1 (10.0.0.1:40000) -> 10.0.0.2:8080"),
        "{text}"
    );
}

#[test]
fn nothing_is_said_to_be_nothing() {
    let nothing = Answer::Failing(FailingAnswer::default());
    let text = shown(nothing, QuestionArgs::Failing(failing(&[])));
    assert!(text.starts_with("Nothing fails.\n"), "{text}");
}

#[test]
fn the_worst_are_those_with_the_largest_share() {
    let text = shown(map(), QuestionArgs::Worst(ask(&[])));
    assert!(
        text.contains("shop/api") && text.contains("10") && text.contains("5.0%"),
        "{text}"
    );
}

#[test]
fn a_question_can_be_explained_instead_of_asked() {
    let mut out = Vec::new();
    let args = ask(&[
        "--explain",
        "--from",
        "shop/web",
        "--since",
        "2026-01-02T03:04:05Z",
    ]);
    run(QuestionArgs::Map(args), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(
        text,
        "answers.Answers/Map {\"since\":\"2026-01-02T03:04:05Z\",\"from\":\"shop/web\"}\n"
    );
    let wrong = ask(&["--explain", "--until", "tomorrow"]);
    let error = run(QuestionArgs::Map(wrong), &mut Vec::new()).unwrap_err();
    assert!(format!("{error:#}").starts_with("--until: "), "{error:#}");
}

#[derive(Parser)]
struct Http {
    #[command(flatten)]
    args: HttpArgs,
}

#[derive(Parser)]
struct Kafka {
    #[command(flatten)]
    args: KafkaArgs,
}

#[derive(Parser)]
struct Resolved {
    #[command(flatten)]
    args: ResolvedArgs,
}

/// A command line that explains what it asks for.
fn of<'a>(flags: &[&'a str]) -> Vec<&'a str> {
    [&["x", "--explain", "--since", "all"], flags].concat()
}

fn explained(args: QuestionArgs) -> String {
    let mut out = Vec::new();
    run(args, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn questions_about_what_is_said_ask_for_no_more_than_is_shown() {
    let http = Http::parse_from(of(&["shop/api", "--errors", "--limit", "7"]));
    assert_eq!(
        explained(QuestionArgs::Http(http.args)),
        "answers.Answers/Http {\"to\":\"shop/api\",\"limit\":7,\"failing\":true}\n"
    );
    let kafka = Kafka::parse_from(of(&["order*"]));
    assert_eq!(
        explained(QuestionArgs::Kafka(kafka.args)),
        "answers.Answers/Kafka {\"pattern\":\"order*\"}\n"
    );
    let resolved = Resolved::parse_from(of(&["*.example.com"]));
    assert_eq!(
        explained(QuestionArgs::Resolved(resolved.args)),
        "answers.Answers/Resolved {\"limit\":50,\"pattern\":\"*.example.com\"}\n"
    );
    let tcp = TcpArgs {
        ask: ask(&["--explain", "--since", "all"]),
        failing: true,
        unanswered: false,
    };
    assert_eq!(
        explained(QuestionArgs::Tcp(tcp)),
        "answers.Answers/Failing {\"resets\":true}\n"
    );
}

#[test]
fn requests_are_shown_with_what_is_encrypted_and_what_was_not_seen() {
    let requests = api::hubble::answers::Requests {
        service: "shop/api\x1b[2J".into(),
        counters: Some(api::hubble::answers::HttpCounters {
            method: "GET".into(),
            path: "/carts/*".into(),
            requests: 200,
            ..Default::default()
        }),
        ..Default::default()
    };
    let answer = Answer::Http(api::hubble::answers::HttpAnswer {
        since: Some(at(1000)),
        until: Some(at(1100)),
        requests: vec![requests],
        completeness: Some(Completeness {
            share: 1.0,
            nodes: 1,
            said: 220,
            unknown: 20,
            ..Completeness::default()
        }),
        encrypted: 12,
        unread: vec![api::hubble::answers::Unread {
            service: "shop/pay\x1b[2J".into(),
            port: 443,
            connections: 16,
            encrypted: 12,
            ..Default::default()
        }],
    });
    let args = Http::parse_from(["http"]).args;
    let text = shown(answer, QuestionArgs::Http(args));
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("DESTINATION"), "{text}");
    assert!(
        lines[1].contains("/carts/*") && lines[1].contains("2.00"),
        "{text}"
    );
    assert!(
        text.contains("12 connections are encrypted (TLS): their requests are not seen"),
        "{text}"
    );
    assert!(
        text.contains(":443: of 16 connections 75.0% encrypted"),
        "{text}"
    );
    assert!(
        text.contains("of 220 requests 20 were seen in part"),
        "{text}"
    );
    assert!(!text.contains('\x1b'), "{text:?}");
}

#[test]
fn who_is_no_topic_is_one_of_the_ends() {
    let topic = |source: &str| api::hubble::answers::Topic {
        edge: Some(Edge {
            source: Some(Party {
                namespace: "shop".into(),
                name: source.into(),
                ..Party::default()
            }),
            ..Edge::default()
        }),
        ..Default::default()
    };
    let answer = Answer::Kafka(api::hubble::answers::KafkaAnswer {
        topics: vec![topic("web"), topic("jobs")],
        ..Default::default()
    });
    let kafka = Kafka::parse_from(["kafka", "shop/jobs"]);
    let (_, view) = parts(QuestionArgs::Kafka(kafka.args));
    let Answer::Kafka(chosen) = view.chosen(answer) else {
        panic!();
    };
    assert_eq!(chosen.topics, [topic("jobs")]);
}

#[test]
fn durations_have_three_digits_and_a_unit() {
    for (micros, text) in [
        (7, "7us"),
        (1_234, "1.23ms"),
        (12_340, "12.3ms"),
        (123_400, "123ms"),
        (1_234_000, "1.23s"),
    ] {
        assert_eq!(tables::duration(Duration::from_micros(micros)), text);
    }
}

#[test]
fn the_cluster_is_asked_for_and_those_without_an_answer_are_named() {
    let ask = Map::parse_from(["map", "--cluster", "all"]).ask;
    let question = ask::question(&ask, Kind::Map, &Zoned::now()).unwrap();
    assert_eq!(question.cluster, "all");
    let ask = Map::parse_from(["map"]).ask;
    let question = ask::question(&ask, Kind::Map, &Zoned::now()).unwrap();
    assert_eq!(question.cluster, "");
    let Answer::Map(mut answer) = map() else {
        panic!();
    };
    answer.completeness = Some(Completeness {
        share: 1.0,
        nodes: 3,
        missing: vec!["west/n2".into()],
        missing_clusters: vec!["north".into()],
        withheld: 4,
        ..Completeness::default()
    });
    let text = shown(Answer::Map(answer), QuestionArgs::Map(ask));
    let expected =
        "3 nodes, no answer of west/n2; no answer of the clusters north; 4 edges are withheld";
    assert!(text.contains(expected), "{text}");
}
