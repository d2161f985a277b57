use api::hubble::answers::{
    Cause, CauseKind, CodeCount, Counters, Direction, DnsCounters, Failure, Fault, HttpCounters,
    KafkaCounters, NameCount, Outsider, Party, PartyKind, PolicyRef, Sketch, Tally,
};

use super::*;

/// Rows of several nodes.
#[derive(Default)]
struct Told(Gathered);

impl Rows for Told {
    async fn rows(&self, _: Question, _: &MetadataMap) -> Result<Gathered, Status> {
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
        ..Tally::default()
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

/// What a node led on from the world to the pod of another, and what that one saw as of a node.
fn led_on(from_nodes: u64) -> Gathered {
    let mut silent = tally(CauseKind::Unanswered, 3);
    silent.cause.as_mut().unwrap().delivered = true;
    let first = Counters {
        led_on: 300,
        ..opened(400)
    };
    let node = Party {
        name: "remote-node".into(),
        ..world()
    };
    let by_a_node = Edge {
        service: String::new(),
        ..edge(node, workload("api"), Side::Client)
    };
    two_nodes(vec![
        row(
            edge(world(), workload("api"), Side::Client),
            first,
            vec![tally(CauseKind::Unanswered, 3)],
        ),
        row(by_a_node, opened(from_nodes), vec![silent]),
    ])
}

#[tokio::test]
async fn what_a_node_led_on_is_put_together_with_what_the_pods_node_saw_as_of_a_node() {
    for came in [250, 300, 305] {
        let found = failing(led_on(came)).await;
        assert_eq!(short(&found), [(CauseKind::Unanswered, 3, Fault::Server)]);
        assert_eq!(
            found[0].sentence,
            "delivered to the pod, which does not answer on port 80 of shop/api"
        );
        let from_world = Question {
            from: "world".into(),
            to: "shop/api".into(),
            ..Question::default()
        };
        let answers = Answers::new(Arc::new(Told(led_on(came))));
        let map = answers.map(Request::new(from_world)).await;
        let edges = map.unwrap().into_inner().edges;
        assert_eq!(edges.len(), 1);
        assert_eq!(edges[0].counters.unwrap().opened, 400);
    }
}

#[tokio::test]
async fn what_programs_of_nodes_ask_for_as_well_stays_beside() {
    let answers = Answers::new(Arc::new(Told(led_on(420))));
    let map = answers.map(Request::new(Question::default())).await;
    let edges = map.unwrap().into_inner().edges;
    let sources = edges.iter().map(|row| {
        let source = row.edge.as_ref().unwrap().source.as_ref().unwrap();
        (source.name.as_str(), row.counters.unwrap().opened)
    });
    let sources: Vec<_> = sources.collect();
    assert_eq!(sources, [("remote-node", 420), ("world", 400)]);
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
    // Some of them through another node, with whose address they came; the policy of the pod denied others.
    let counters = Counters {
        denied: 2,
        ..opened(3)
    };
    let mut through = row(
        edge(world(), workload("api"), Side::Server),
        counters,
        Vec::new(),
    );
    through.edge.as_mut().unwrap().service.clear();
    through.outsiders = vec![outsider("192.168.0.11", 3)];
    let rows = vec![
        from_world,
        through,
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
    let who: Vec<_> = api.outsiders.iter().map(|of| &*of.address).collect();
    assert_eq!(who, ["203.0.113.8", "203.0.113.7"]);
    assert_eq!(api.denied, 2);
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

fn http_row(path: &str, status: i32, requests: u64, millis: u32) -> HttpCounters {
    HttpCounters {
        method: "GET".into(),
        path: path.into(),
        requests,
        status: vec![CodeCount {
            code: status,
            count: requests,
        }],
        latency: Some(Sketch {
            bucket: vec![millis],
            count: vec![requests],
        }),
        ..HttpCounters::default()
    }
}

fn said(edge: Edge, http: Vec<HttpCounters>, failures: Vec<Tally>) -> Row {
    Row {
        http,
        ..row(edge, opened(1), failures)
    }
}

fn of_said(kind: CauseKind, name: &str, code: i32, count: u64) -> Tally {
    let mut tally = tally(kind, count);
    let cause = tally.cause.as_mut().unwrap();
    (cause.name, cause.code) = (name.into(), code);
    tally
}

fn lookup(name: &str, codes: &[(i32, u64)], timeouts: u64) -> DnsCounters {
    let codes = codes.iter().map(|(code, count)| CodeCount {
        code: *code,
        count: *count,
    });
    let codes: Vec<CodeCount> = codes.collect();
    DnsCounters {
        name: name.into(),
        r#type: 1,
        questions: codes.iter().map(|of| of.count).sum::<u64>() + timeouts,
        codes,
        timeouts,
        addresses: vec!["203.0.113.7".into()],
        first_ns: 1_000_000_000,
        last_ns: 2_000_000_000,
        ..DnsCounters::default()
    }
}

fn to_dns(dns: Vec<DnsCounters>, failures: Vec<Tally>) -> Row {
    let edge = edge(workload("web"), workload("dns"), Side::Client);
    Row {
        dns,
        ..row(edge, opened(1), failures)
    }
}

fn ask_of(rows: Vec<Row>) -> Answers<Told> {
    Answers::new(Arc::new(Told(two_nodes(rows))))
}

#[tokio::test]
async fn requests_are_told_once_with_their_callers_and_as_both_nodes_saw_them() {
    let mut other_caller = web_to_api(Side::Client);
    other_caller.source = Some(workload("jobs"));
    // The other node does not know by which service it was asked.
    let mut served = web_to_api(Side::Server);
    served.service.clear();
    let answers = ask_of(vec![
        said(
            web_to_api(Side::Client),
            vec![http_row("/a", 200, 9, 300)],
            Vec::new(),
        ),
        said(other_caller, vec![http_row("/a", 503, 2, 300)], Vec::new()),
        said(served, vec![http_row("/a", 200, 9, 200)], Vec::new()),
    ]);
    let answer = answers.http(Request::new(Question::default())).await;
    let answer = answer.unwrap().into_inner();
    let [requests] = answer.requests.as_slice() else {
        panic!("{answer:?}");
    };
    let counters = requests.counters.as_ref().unwrap();
    assert_eq!((counters.requests, counters.path.as_str()), (11, "/a"));
    assert_eq!((http::failed(counters), http::errors(counters)), (2, 2));
    let callers: Vec<(&str, u64)> = requests
        .callers
        .iter()
        .map(|of| (of.party.as_ref().unwrap().name.as_str(), of.requests))
        .collect();
    assert_eq!(callers, [("web", 9), ("jobs", 2)]);
    assert_eq!(requests.served.as_ref().unwrap().bucket, [200]);
    let map = answers.map(Request::new(Question::default())).await;
    let map = map.unwrap().into_inner();
    assert_eq!(map.edges.len(), 2);
    let web = &map.edges[0];
    assert_eq!((web.http.len(), web.http[0].path.as_str()), (1, ""));
    assert!(map.edges.iter().any(|row| row.served.is_some()));
    // Asked for by a service whose name only the client's node knows.
    let question = Question {
        to: "shop/api".into(),
        from: "shop/web".into(),
        ..Question::default()
    };
    let map = answers.map(Request::new(question)).await.unwrap();
    let map = map.into_inner();
    assert_eq!(map.edges.len(), 1);
    assert!(map.edges[0].served.is_some());
}

#[tokio::test]
async fn where_the_clients_node_saw_nothing_the_others_is_told() {
    let answers = ask_of(vec![
        row(web_to_api(Side::Client), opened(3), Vec::new()),
        said(
            web_to_api(Side::Server),
            vec![http_row("/a", 200, 3, 1)],
            Vec::new(),
        ),
    ]);
    let answer = answers.http(Request::new(Question::default())).await;
    let answer = answer.unwrap().into_inner();
    let counters = answer.requests[0].counters.as_ref().unwrap();
    assert_eq!(counters.requests, 3);
    assert_eq!(answer.completeness.unwrap().said, 3);
}

#[tokio::test]
async fn services_of_the_same_name_are_told_apart_by_their_clusters() {
    let of = |cluster: &str, party: Party| Party {
        cluster: cluster.into(),
        ..party
    };
    let rows = |cluster: &str, status| {
        let [web, api] = ["web", "api"].map(|name| of(cluster, workload(name)));
        let inside = edge(web.clone(), api.clone(), Side::Client);
        let mut dns = to_dns(vec![lookup("a.example", &[(0, 3)], 0)], Vec::new());
        dns.edge.as_mut().unwrap().source = Some(web);
        let outside = edge(world(), api, Side::Client);
        [
            said(inside, vec![http_row("/", status, 10, 3)], Vec::new()),
            dns,
            row(outside, opened(2), Vec::new()),
        ]
    };
    let all: Vec<Row> = [("east", 200), ("west", 503)]
        .into_iter()
        .flat_map(|(cluster, status)| rows(cluster, status))
        .collect();
    let answers = ask_of(all);
    let question = || Request::new(Question::default());
    let http = answers.http(question()).await.unwrap().into_inner();
    let mut found: Vec<_> = http
        .requests
        .into_iter()
        .map(|of| {
            let counters = of.counters.unwrap();
            (
                of.destination.unwrap().cluster,
                counters.status[0].code,
                counters.requests,
            )
        })
        .collect();
    found.sort();
    assert_eq!(
        found,
        [("east".to_owned(), 200, 10), ("west".to_owned(), 503, 10)]
    );
    let exposed = answers.exposed(question()).await.unwrap().into_inner();
    let mut found: Vec<_> = exposed
        .exposures
        .into_iter()
        .map(|of| (of.destination.unwrap().cluster, of.connections))
        .collect();
    found.sort();
    assert_eq!(found, [("east".to_owned(), 2), ("west".to_owned(), 2)]);
    let resolved = answers.resolved(question()).await.unwrap().into_inner();
    let mut found: Vec<_> = resolved
        .resolutions
        .into_iter()
        .map(|of| (of.source.unwrap().cluster, of.questions))
        .collect();
    found.sort();
    assert_eq!(found, [("east".to_owned(), 3), ("west".to_owned(), 3)]);
}

#[tokio::test]
async fn only_what_fails_is_answered_where_only_that_is_asked() {
    let not_found = http_row("/lost", 404, 7, 1);
    let broken = http_row("/broken", 500, 2, 1);
    let fine = http_row("/fine", 200, 99, 1);
    let answers = ask_of(vec![said(
        web_to_api(Side::Client),
        vec![not_found, broken, fine],
        Vec::new(),
    )]);
    let question = Question {
        failing: true,
        ..Question::default()
    };
    let answer = answers.http(Request::new(question)).await.unwrap();
    let paths: Vec<String> = answer
        .into_inner()
        .requests
        .into_iter()
        .map(|of| of.counters.unwrap().path)
        .collect();
    assert_eq!(paths, ["/broken", "/lost"]);
}

#[tokio::test]
async fn what_is_said_fails_with_its_own_cause_layer_and_share() {
    let failures = vec![
        of_said(CauseKind::HttpError, "GET /a", 503, 2),
        of_said(CauseKind::GrpcError, "POST /shop.Carts/Get", 14, 1),
    ];
    let http = vec![http_row("/a", 503, 2, 1), http_row("/b", 200, 30, 1)];
    let mut missing = of_said(CauseKind::DnsNoSuchName, "db.shop", 3, 9);
    missing.excused = 5;
    let timeout = of_said(CauseKind::DnsTimeout, "api.shop", 0, 3);
    let dns = vec![
        lookup("db.shop", &[(3, 9)], 0),
        lookup("api.shop", &[(0, 7)], 3),
    ];
    let to_dns = to_dns(dns, vec![missing, timeout]);
    let found = failing(two_nodes(vec![
        said(web_to_api(Side::Client), http.clone(), failures.clone()),
        // The other node saw the same.
        said(web_to_api(Side::Server), http, failures),
        to_dns,
    ]))
    .await;
    assert!(found.iter().all(|of| of.layer == "L7"));
    let told = found.iter().map(|of| {
        let (count, attempts, fault) = (of.count, of.attempts, of.fault());
        format!("{count} of {attempts} {fault:?}: {}", of.sentence)
    });
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            "4 of 9 Client: no such name: db.shop, says shop/dns",
            "3 of 10 Dns: shop/dns does not answer the question for api.shop within 5 s",
            "2 of 2 Server: shop/api answers 503 to GET /a",
            "1 of 32 Server: shop/api answers gRPC UNAVAILABLE to POST /shop.Carts/Get",
        ]
    );
}

/// The same, of what reached its pod.
fn delivered(kind: CauseKind, count: u64) -> Tally {
    let mut tally = tally(kind, count);
    if let Some(cause) = &mut tally.cause {
        cause.delivered = true;
    }
    tally
}

#[tokio::test]
async fn a_connection_that_does_not_go_on_is_at_fault_where_its_packets_were_last_seen() {
    let of_client = vec![
        tally(CauseKind::StalledAtServer, 5),
        delivered(CauseKind::StalledAtClient, 1),
        tally(CauseKind::FullAtServer, 2),
        tally(CauseKind::UnclosedAtServer, 6),
    ];
    let of_server = vec![
        delivered(CauseKind::StalledAtServer, 3),
        tally(CauseKind::StalledAtClient, 4),
        tally(CauseKind::FullAtServer, 2),
        tally(CauseKind::UnclosedAtServer, 6),
    ];
    let answers = ask_of(vec![
        row(web_to_api(Side::Client), opened(9), of_client),
        row(web_to_api(Side::Server), opened(9), of_server),
    ]);
    let answer = answers.failing(Request::new(Question::default())).await;
    let failures = answer.unwrap().into_inner().failures;
    let mut told: Vec<_> = failures
        .iter()
        .map(|of| format!("{} {:?}: {}", of.count, of.fault(), of.sentence))
        .collect();
    told.sort();
    assert_eq!(
        told,
        [
            "1 Client: what is sent to shop/web on open connections is not acknowledged, and is delivered to the pod",
            "2 Network: what is sent to port 80 of shop/api on open connections is not acknowledged: lost between the nodes",
            "2 Server: port 80 of shop/api takes nothing more on connections that are open: its program does not read",
            "3 Network: what is sent to shop/web on open connections is not acknowledged: lost between the nodes",
            "3 Server: what is sent to port 80 of shop/api on open connections is not acknowledged, and is delivered to the pod",
            "6 Server: port 80 of shop/api does not close connections that shop/web has closed: its program keeps them",
        ]
    );
}

#[tokio::test]
async fn a_reset_after_both_sides_spoke_fails_only_for_who_asks_for_resets() {
    let tallies = vec![
        tally(CauseKind::ResetByServer, 5),
        tally(CauseKind::CutByServer, 2),
    ];
    let answers = ask_of(vec![row(web_to_api(Side::Client), opened(9), tallies)]);
    let ask = async |resets| {
        let question = Question {
            resets,
            ..Question::default()
        };
        let answer = answers.failing(Request::new(question)).await;
        answer.unwrap().into_inner().failures
    };
    assert_eq!(
        short(&ask(false).await),
        [(CauseKind::CutByServer, 2, Fault::Server)]
    );
    assert_eq!(ask(true).await.len(), 2);
}

#[tokio::test]
async fn names_are_told_by_who_asked_for_them_and_those_of_a_search_do_not_fail() {
    let mut searched = lookup("db.shop.svc", &[(3, 4)], 0);
    searched.searched = 4;
    let mut row = row(web_to_api(Side::Client), opened(1), Vec::new());
    row.dns = vec![
        searched,
        lookup("api.shop", &[(0, 20)], 0),
        lookup("db.shop", &[(0, 1), (2, 2)], 1),
    ];
    let answers = ask_of(vec![row]);
    let ask = async |failing, pattern: &str| {
        let question = Question {
            failing,
            pattern: pattern.into(),
            ..Question::default()
        };
        let answer = answers.dns(Request::new(question)).await.unwrap();
        let lookups = answer.into_inner().lookups.into_iter();
        let counters = lookups.map(|of| of.counters.unwrap());
        counters
            .map(|of| (of.name.clone(), dns::failed(&of)))
            .collect::<Vec<_>>()
    };
    let named = |name: &str, failed| (name.to_owned(), failed);
    assert_eq!(ask(true, "").await, [named("db.shop", 3)]);
    assert_eq!(
        ask(false, "").await,
        [
            named("api.shop", 0),
            named("db.shop", 3),
            named("db.shop.svc", 0)
        ]
    );
    assert_eq!(ask(false, "api.*").await, [named("api.shop", 0)]);
}

#[tokio::test]
async fn who_resolved_a_name_is_told_with_the_addresses_and_what_he_did_with_them() {
    let mut to_dns = row(
        edge(workload("web"), workload("dns"), Side::Client),
        opened(1),
        Vec::new(),
    );
    let mut v6 = lookup("api.example.com", &[(0, 2)], 0);
    (v6.r#type, v6.addresses) = (28, vec!["2001:db8::7".into()]);
    to_dns.dns = vec![
        lookup("api.example.com", &[(0, 3)], 0),
        v6,
        lookup("example.org", &[(0, 1)], 0),
    ];
    let outside = Party {
        name: "api.example.com".into(),
        kind: PartyKind::DnsName.into(),
        ..Party::default()
    };
    let to_it = row(
        edge(workload("web"), outside, Side::Client),
        opened(4),
        Vec::new(),
    );
    let answers = ask_of(vec![to_dns, to_it]);
    let question = Question {
        pattern: "*.example.com".into(),
        ..Question::default()
    };
    let answer = answers.resolved(Request::new(question)).await.unwrap();
    let all = answer.into_inner().resolutions;
    let [of] = all.as_slice() else {
        panic!("{all:?}");
    };
    assert_eq!((of.questions, of.failures, of.connections), (5, 0, 4));
    assert_eq!(of.source.as_ref().unwrap().name, "web");
    let mut addresses = of.addresses.clone();
    addresses.sort();
    assert_eq!(addresses, ["2001:db8::7", "203.0.113.7"]);
    assert_eq!(
        (of.first.unwrap().seconds, of.last.unwrap().seconds),
        (1, 2)
    );
}

#[tokio::test]
async fn topics_are_told_with_who_produces_and_the_groups_that_fetch() {
    let broker = |source: &str| edge(workload(source), workload("kafka"), Side::Client);
    let topic = |produces, fetches| KafkaCounters {
        topic: "orders".into(),
        produces,
        fetches,
        ..KafkaCounters::default()
    };
    let group = KafkaCounters {
        others: 9,
        groups: vec![NameCount {
            name: "billing".into(),
            count: 9,
        }],
        ..KafkaCounters::default()
    };
    let with = |edge: Edge, kafka| Row {
        kafka,
        ..row(edge, opened(1), Vec::new())
    };
    let answers = ask_of(vec![
        with(broker("billing"), vec![group, topic(0, 5)]),
        with(broker("shop"), vec![topic(7, 0)]),
    ]);
    let answer = answers.kafka(Request::new(Question::default())).await;
    let topics = answer.unwrap().into_inner().topics;
    let told: Vec<(String, String, usize)> = topics
        .iter()
        .map(|of| {
            let source = of.edge.as_ref().unwrap().source.as_ref().unwrap();
            let counters = of.counters.clone().unwrap();
            (source.name.clone(), counters.topic, counters.groups.len())
        })
        .collect();
    let of = |who: &str, topic: &str, groups| (who.to_owned(), topic.to_owned(), groups);
    assert_eq!(
        told,
        [
            of("shop", "orders", 0),
            of("billing", "orders", 1),
            of("billing", "", 1)
        ]
    );
}

#[tokio::test]
async fn what_was_seen_without_a_name_or_an_end_is_told_as_unknown() {
    let unnamed = HttpCounters {
        requests: 3,
        ..HttpCounters::default()
    };
    let mut endless = http_row("/a", 200, 9, 1);
    endless.unknown = 2;
    let answers = ask_of(vec![said(
        web_to_api(Side::Client),
        vec![unnamed, endless],
        Vec::new(),
    )]);
    let map = answers.map(Request::new(Question::default())).await;
    let completeness = map.unwrap().into_inner().completeness.unwrap();
    assert_eq!((completeness.said, completeness.unknown), (12, 5));
}

#[test]
fn patterns_stand_for_texts() {
    for (pattern, text) in [
        ("", "anything"),
        ("a.b", "a.b"),
        ("*.example.com", "www.example.com"),
        ("*", ""),
        ("a*c*e", "abcde"),
        ("a**e", "ae"),
    ] {
        assert!(is_like(text, pattern), "{pattern} {text}");
    }
    for (pattern, text) in [
        ("a.b", "a.bc"),
        ("*.example.com", "example.com"),
        ("a*a", "a"),
        ("a*c*e", "aec"),
    ] {
        assert!(!is_like(text, pattern), "{pattern} {text}");
    }
}

#[tokio::test]
async fn rows_come_in_messages_that_clients_take() {
    let many = |number: usize| HttpCounters {
        path: format!("/{number}{}", "x".repeat(200)),
        requests: 1,
        ..HttpCounters::default()
    };
    let rows = (0..1000).map(|number| {
        let mut edge = web_to_api(Side::Client);
        edge.port = number;
        said(edge, (0..64).map(many).collect(), Vec::new())
    });
    let answers = ask_of(rows.collect());
    let stream = answers.get_rows(Request::new(Question::default())).await;
    let parts: Vec<Part> = stream
        .unwrap()
        .into_inner()
        .map(|part| part.unwrap())
        .collect()
        .await;
    assert!(parts.len() > 5);
    assert!(parts.iter().all(|part| part.encoded_len() < 2 << 20));
    assert_eq!(
        parts.iter().map(|part| part.rows.len()).sum::<usize>(),
        1000
    );
}
