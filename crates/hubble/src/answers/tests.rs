use api::hubble::answers::{
    Cause, CauseKind, Counters, Direction, Failure, Fault, Outsider, Party, PartyKind, PolicyRef,
    Sketch, Tally,
};

use super::*;

/// Rows of several nodes.
#[derive(Default)]
struct Told(Gathered);

impl Rows for Told {
    async fn rows(&self, _: Question) -> Result<Gathered, Status> {
        Ok(self.0.clone())
    }
}

fn workload(name: &str) -> Party {
    Party {
        namespace: "shop".into(),
        name: name.into(),
        ..Party::default()
    }
}

fn world() -> Party {
    Party {
        name: "world".into(),
        kind: PartyKind::Entity.into(),
        ..Party::default()
    }
}

fn edge(source: Party, destination: Party, side: Side) -> Edge {
    Edge {
        source: Some(source),
        destination: Some(destination),
        service: "shop/api".into(),
        port: 80,
        protocol: 6,
        side: side.into(),
    }
}

fn web_to_api(side: Side) -> Edge {
    edge(workload("web"), workload("api"), side)
}

fn row(edge: Edge, counters: Counters, failures: Vec<Tally>) -> Row {
    Row {
        edge: Some(edge),
        counters: Some(counters),
        failures,
        first_ns: 1_000_000_000,
        last_ns: 2_000_000_000,
        ..Row::default()
    }
}

fn tally(kind: CauseKind, count: u64) -> Tally {
    let cause = Cause {
        kind: kind.into(),
        ..Cause::default()
    };
    Tally {
        cause: Some(cause),
        count,
        packets: 3 * count,
        first_ns: 1_000_000_000,
        last_ns: 2_000_000_000,
        samples: Vec::new(),
    }
}

fn opened(opened: u64) -> Counters {
    Counters {
        opened,
        ..Counters::default()
    }
}

fn two_nodes(rows: Vec<Row>) -> Gathered {
    Gathered {
        rows,
        nodes: 2,
        ..Gathered::default()
    }
}

async fn failing(gathered: Gathered) -> Vec<Failure> {
    let answers = Answers::new(Arc::new(Told(gathered)));
    let answer = answers.failing(Request::new(Question::default())).await;
    answer.unwrap().into_inner().failures
}

/// Kind, count and fault of each.
fn short(failures: &[Failure]) -> Vec<(CauseKind, u64, Fault)> {
    let of = |failure: &Failure| {
        let cause = failure.cause.clone().unwrap();
        (cause.kind(), failure.count, failure.fault())
    };
    failures.iter().map(of).collect()
}

#[tokio::test]
async fn what_the_other_node_denied_explains_what_was_not_answered() {
    let mut denied = tally(CauseKind::DeniedByDefault, 4);
    let cause = denied.cause.as_mut().unwrap();
    cause.direction = Direction::Ingress.into();
    cause.policies = vec![PolicyRef {
        kind: "CiliumNetworkPolicy".into(),
        namespace: "shop".into(),
        name: "api-in".into(),
    }];
    let client = vec![tally(CauseKind::Unanswered, 5)];
    let rows = vec![
        row(web_to_api(Side::Client), opened(9), client),
        row(web_to_api(Side::Server), opened(5), vec![denied]),
    ];
    let found = failing(two_nodes(rows)).await;
    assert_eq!(
        short(&found),
        [
            (CauseKind::DeniedByDefault, 4, Fault::Policy),
            (CauseKind::Unanswered, 1, Fault::Network)
        ]
    );
    assert_eq!(
        found[0].sentence,
        "no rule allows it: CiliumNetworkPolicy shop/api-in select shop/api for ingress"
    );
    assert_eq!((found[0].attempts, found[0].layer.as_str()), (9, "L4"));
    assert_eq!(
        found[1].sentence,
        "sent to port 80 of shop/api, and not seen there: lost between the nodes"
    );
}

#[tokio::test]
async fn a_silent_pod_is_told_from_a_network_that_loses() {
    let mut silent = tally(CauseKind::Unanswered, 3);
    silent.cause.as_mut().unwrap().delivered = true;
    let client = vec![tally(CauseKind::Unanswered, 3)];
    let rows = vec![
        row(web_to_api(Side::Client), opened(3), client),
        row(web_to_api(Side::Server), opened(3), vec![silent]),
    ];
    let found = failing(two_nodes(rows)).await;
    assert_eq!(short(&found), [(CauseKind::Unanswered, 3, Fault::Server)]);
    assert_eq!(
        found[0].sentence,
        "delivered to the pod, which does not answer on port 80 of shop/api"
    );
}

#[tokio::test]
async fn what_is_not_known_is_not_guessed() {
    let rows = || {
        vec![row(
            web_to_api(Side::Client),
            opened(3),
            vec![tally(CauseKind::Unanswered, 3)],
        )]
    };
    let mut gathered = two_nodes(rows());
    gathered.missing = vec!["default/n2".into()];
    let found = failing(gathered).await;
    assert_eq!(short(&found), [(CauseKind::Unanswered, 3, Fault::Unknown)]);
    assert!(found[0].sentence.contains("default/n2 missing"));
    let mut alone = two_nodes(rows());
    alone.nodes = 1;
    assert!(failing(alone).await[0].sentence.contains("ask a relay"));
    let outside = edge(workload("web"), world(), Side::Client);
    let found = failing(two_nodes(vec![row(
        outside,
        opened(3),
        vec![tally(CauseKind::Unanswered, 3)],
    )]))
    .await;
    assert_eq!(short(&found), [(CauseKind::Unanswered, 3, Fault::Unknown)]);
}

#[tokio::test]
async fn what_both_nodes_see_is_counted_once() {
    let refused = || vec![tally(CauseKind::Refused, 2)];
    let rows = vec![
        row(web_to_api(Side::Client), opened(2), refused()),
        row(web_to_api(Side::Server), opened(2), refused()),
    ];
    let found = failing(two_nodes(rows.clone())).await;
    assert_eq!(short(&found), [(CauseKind::Refused, 2, Fault::Server)]);
    assert_eq!(found[0].sentence, "nothing listens on port 80 of shop/api");
    let answers = Answers::new(Arc::new(Told(two_nodes(rows))));
    let map = answers.map(Request::new(Question::default())).await;
    let map = map.unwrap().into_inner();
    assert_eq!(map.edges.len(), 1);
    assert_eq!(map.edges[0].counters.unwrap().opened, 2);
    // Where nobody saw the client's side, the server's is what is known.
    let server = two_nodes(vec![row(web_to_api(Side::Server), opened(2), refused())]);
    assert_eq!(
        short(&failing(server).await),
        [(CauseKind::Refused, 2, Fault::Server)]
    );
}

#[tokio::test]
async fn rows_of_the_same_edge_add_up_over_nodes() {
    let of = |bucket: u32| Row {
        connect: Some(Sketch {
            bucket: vec![bucket],
            count: vec![10],
        }),
        ..row(
            web_to_api(Side::Client),
            opened(10),
            vec![tally(CauseKind::Refused, 1)],
        )
    };
    let gathered = two_nodes(vec![of(100), of(200)]);
    let answers = Answers::new(Arc::new(Told(gathered)));
    let map = answers.map(Request::new(Question::default())).await;
    let map = map.unwrap().into_inner();
    let [row] = map.edges.as_slice() else {
        panic!("{:?}", map.edges);
    };
    assert_eq!(row.counters.unwrap().opened, 20);
    assert_eq!(row.connect.as_ref().unwrap().count, [10, 10]);
    assert_eq!(row.failures[0].count, 2);
}

#[tokio::test]
async fn what_is_reached_from_outside_is_told_with_those_who_came() {
    let outsider = |address: &str, connections| Outsider {
        address: address.into(),
        connections,
    };
    let mut from_world = row(
        edge(world(), workload("api"), Side::Client),
        opened(7),
        Vec::new(),
    );
    from_world.outsiders = vec![outsider("203.0.113.7", 3), outsider("203.0.113.8", 4)];
    let rows = vec![
        from_world,
        row(web_to_api(Side::Client), opened(9), Vec::new()),
    ];
    let answers = Answers::new(Arc::new(Told(two_nodes(rows))));
    let exposed = answers.exposed(Request::new(Question::default())).await;
    let exposed = exposed.unwrap().into_inner().exposures;
    let [api] = exposed.as_slice() else {
        panic!("{exposed:?}");
    };
    assert_eq!(
        (api.connections, api.port, api.service.as_str()),
        (7, 80, "shop/api")
    );
    assert_eq!(api.outsiders[0].address, "203.0.113.8");
}

#[tokio::test]
async fn an_answer_says_how_whole_it_is() {
    let mut gathered = two_nodes(vec![row(web_to_api(Side::Client), opened(75), Vec::new())]);
    (gathered.seen, gathered.lost) = (75, 25);
    gathered.known_since_ns = 1_700_000_000_000_000_000;
    let answers = Answers::new(Arc::new(Told(gathered)));
    let map = answers.map(Request::new(Question::default())).await;
    let map = map.unwrap().into_inner();
    let completeness = map.completeness.unwrap();
    assert!((completeness.share - 0.75).abs() < 1e-9);
    assert_eq!((completeness.lost, completeness.nodes), (25, 2));
    // Not less whole because less of it is asked for.
    let few = Question {
        from: "nobody".into(),
        ..Question::default()
    };
    let few = answers.map(Request::new(few)).await.unwrap().into_inner();
    assert!(few.edges.is_empty() && few.completeness == Some(completeness));
    // What was asked from before anything is known begins where something is.
    assert_eq!(map.since.unwrap().seconds, 1_700_000_000);
}

#[tokio::test]
async fn only_what_is_asked_is_answered_and_nonsense_is_refused_by_its_field() {
    let rows = vec![
        row(web_to_api(Side::Client), opened(1), Vec::new()),
        row(
            edge(workload("api"), workload("db"), Side::Client),
            opened(2),
            Vec::new(),
        ),
    ];
    let answers = Answers::new(Arc::new(Told(two_nodes(rows))));
    let ask = async |question: Question| {
        let answer = answers.map(Request::new(question)).await;
        answer.map(|map| map.into_inner().edges.len())
    };
    let of = |from: &str, to: &str, namespace: &str| Question {
        from: from.into(),
        to: to.into(),
        namespace: namespace.into(),
        ..Question::default()
    };
    for (question, count) in [
        (of("", "", ""), 2),
        (of("shop/web", "", ""), 1),
        (of("", "db", ""), 1),
        (of("", "shop/api", ""), 2),
        (of("", "", "shop"), 2),
        (of("", "", "other"), 0),
        (of("other/web", "", ""), 0),
    ] {
        assert_eq!(ask(question.clone()).await.unwrap(), count, "{question:?}");
    }
    let limited = Question {
        limit: 1,
        ..Question::default()
    };
    assert_eq!(ask(limited).await.unwrap(), 1);
    let refused = ask(of("/web", "", "")).await.unwrap_err();
    assert!(refused.message().starts_with("from: "), "{refused}");
    let backwards = Question {
        since: Some(Timestamp::from_unix_nanos(2_000_000_000)),
        until: Some(Timestamp::from_unix_nanos(1_000_000_000)),
        ..Question::default()
    };
    let refused = ask(backwards).await.unwrap_err();
    assert!(refused.message().starts_with("since: "), "{refused}");
}
