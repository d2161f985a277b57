use std::time::{Duration, Instant};

use api::hubble::flow as pb;
use pbjson_types::BoolValue;

use super::*;
use crate::filter::Selection;

/// A response with 404 to a call over TCP, at 2026-07-03T09:00:00.5Z.
fn flow() -> Flow {
    Flow {
        time: Some(api::hubble::Timestamp {
            seconds: 1_783_069_200,
            nanos: 500_000_000,
        }),
        verdict: pb::Verdict::Forwarded.into(),
        r#type: pb::FlowType::L7.into(),
        ip: Some(pb::Ip {
            source: "10.0.0.1".into(),
            destination: "10.0.0.2".into(),
            ip_version: pb::IpVersion::IPv4.into(),
            ..pb::Ip::default()
        }),
        l4: Some(pb::Layer4 {
            protocol: Some(pb::layer4::Protocol::Tcp(pb::Tcp {
                source_port: 8080,
                destination_port: 40000,
                flags: Some(pb::TcpFlags {
                    ack: true,
                    ..pb::TcpFlags::default()
                }),
            })),
        }),
        source: Some(pb::Endpoint {
            identity: 1000,
            namespace: "shop".into(),
            pod_name: "api-5c".into(),
            labels: vec!["k8s:app=api".into(), "k8s:tier=3".into()],
            workloads: vec![pb::Workload {
                name: "api".into(),
                kind: "Deployment".into(),
            }],
            ..pb::Endpoint::default()
        }),
        destination: Some(pb::Endpoint {
            identity: 1001,
            labels: vec!["k8s:app=web".into(), "k8s:tier=3".into()],
            ..pb::Endpoint::default()
        }),
        l7: Some(pb::Layer7 {
            r#type: pb::L7FlowType::Response.into(),
            latency_ns: 3_000_000,
            record: Some(pb::layer7::Record::Http(pb::Http {
                code: 404,
                method: "GET".into(),
                url: "http://api.shop/v1/items".into(),
                ..pb::Http::default()
            })),
        }),
        is_reply: Some(BoolValue { value: true }),
        socket_cookie: u64::MAX,
        ..Flow::default()
    }
}

/// A drop, of which hardly anything is known.
fn drop() -> Flow {
    Flow {
        verdict: pb::Verdict::Dropped.into(),
        drop_reason_desc: pb::DropReason::PolicyDenied.into(),
        ..Flow::default()
    }
}

fn filter(expressions: &[&str]) -> FlowFilter {
    let cel_expression = expressions.iter().map(|text| (*text).to_owned()).collect();
    FlowFilter {
        experimental: Some(pb::flow_filter::Experimental { cel_expression }),
        ..FlowFilter::default()
    }
}

fn ask(filter: FlowFilter, flow: &Flow) -> Result<bool, String> {
    let selection = Selection::compile(&[filter], &[]).map_err(|error| {
        assert_eq!(error.field, FIELD);
        error.reason
    })?;
    Ok(selection.matches(flow))
}

/// Expressions that are true of the response and not of the drop.
const TRUE: &[&str] = &[
    "_flow.verdict == 1",
    "_flow.verdict == Verdict.FORWARDED",
    "_flow.verdict == flow.Verdict.FORWARDED",
    "_flow.verdict in [Verdict.FORWARDED, Verdict.REDIRECTED]",
    "_flow.verdict != Verdict.DROPPED",
    "!(_flow.drop_reason_desc == DropReason.POLICY_DENIED)",
    "_flow.Type == FlowType.L7",
    "_flow.IP.source == '10.0.0.1'",
    "_flow.IP.ipVersion == IPVersion.IPv4",
    "_flow.IP.source.startsWith('10.0.') && _flow.IP.source.endsWith('.1')",
    "_flow.l4.TCP.source_port == 8080",
    "_flow.l4.TCP.source_port == 8080u",
    "_flow.l4.TCP.destination_port >= 30000 && _flow.l4.TCP.destination_port < 65536",
    "_flow.l4.TCP.source_port in [80, 8080]",
    "_flow.l4.TCP.flags.ACK && !_flow.l4.TCP.flags.SYN",
    "has(_flow.l4.TCP) && !has(_flow.l4.UDP)",
    "has(_flow.l7) && has(_flow.l7.http) && _flow.l7.http.code == 404",
    "_flow.l7.http.url.matches('^http://[^/]+/v[0-9]/')",
    "matches(_flow.l7.http.method, '(?i)^get$')",
    "_flow.l7.http.url.contains('/v1/')",
    "double(_flow.l7.latency_ns) / 1e6 == 3.0",
    "_flow.l7.latency_ns / 1000u == 3000u",
    "_flow.source.namespace + '/' + _flow.source.pod_name == 'shop/api-5c'",
    "size(_flow.source.labels) == 2",
    "_flow.source.labels.size() == 2 && size(_flow.source.namespace) == 4",
    "'k8s:app=api' in _flow.source.labels",
    "_flow.source.labels[0] == 'k8s:app=api'",
    "_flow.source.labels.exists(l, l.startsWith('k8s:app='))",
    "_flow.source.labels.all(l, l.matches('^k8s:')) && has(_flow.source.labels)",
    "_flow.source.labels.exists_one(l, l == 'k8s:app=api')",
    "_flow.source.labels.exists(s, _flow.destination.labels.exists(d, s == d))",
    "size(_flow.source.labels.filter(l, l.contains('tier'))) == 1",
    "'8s:app=api' in _flow.source.labels.map(l, l == 'k8s:app=api' ? '8s:app=api' : '')",
    "_flow.source.workloads.exists(w, w.kind == 'Deployment' && w.name == 'api')",
    "['k8s:app=x', 'k8s:app=api'].exists(l, l in _flow.source.labels)",
    "_flow.is_reply",
    "_flow.is_reply == true",
    "_flow.is_reply != null",
    "has(_flow.is_reply)",
    "has(_flow.time) && _flow.time > timestamp('2026-07-03T09:00:00Z')",
    "_flow.time == timestamp('2026-07-03T09:00:00.5Z')",
    "_flow.source != _flow.destination && has(_flow.source)",
    "_flow.socket_cookie == 18446744073709551615u",
    "int(_flow.l7.http.code) - 4 == 400",
    "string(_flow.l7.http.code) == '404'",
    "_flow.is_reply ? _flow.l7.http.code == 404 : _flow.verdict == 0",
    // An error on one side does not matter where the other decides.
    "_flow.source.labels[7] == 'x' || _flow.verdict == 1",
];

#[test]
fn an_expression_is_true_of_one_flow_and_not_of_another() {
    for text in TRUE {
        assert_eq!(ask(filter(&[text]), &flow()), Ok(true), "{text}");
        assert_eq!(ask(filter(&[text]), &drop()), Ok(false), "{text}");
    }
}

#[test]
fn what_is_absent_has_the_default_of_its_type() {
    for text in [
        "_flow.l7.http.code == 0 && _flow.l7.http.url == ''",
        "!_flow.l4.TCP.flags.SYN",
        "size(_flow.source.labels) == 0 && !has(_flow.source.labels)",
        "_flow.is_reply == null",
        "_flow.time == timestamp('1970-01-01T00:00:00Z')",
        "!has(_flow.source) && !has(_flow.node_name) && has(_flow.verdict)",
        "_flow.tunnel.IP.source == ''",
        "_flow.tunnel.protocol == Tunnel.Protocol.UNKNOWN",
        "_flow.extensions.type_url == ''",
    ] {
        assert_eq!(ask(filter(&[text]), &drop()), Ok(true), "{text}");
    }
}

#[test]
fn what_cannot_be_evaluated_matches_nothing() {
    for text in [
        "_flow.source.labels[5] == 'x'",
        "1 / _flow.proxy_port == 1",
        "9223372036854775807 + _flow.verdict > 0",
        "timestamp(_flow.node_name) < _flow.time",
        "int(_flow.node_name) == 0",
        "_flow.l4.TCP.source_port + 1 > 0",
        "[1][_flow.source.labels.map(l, l)]",
        "_flow.is_reply && null",
        "_flow.source.labels.exists(l, l.missing == 1)",
    ] {
        // Some are refused before they are asked.
        for flow in [flow(), drop()] {
            assert_ne!(ask(filter(&[text]), &flow), Ok(true), "{text}");
        }
    }
}

#[test]
fn what_can_never_be_evaluated_is_refused_with_its_reason() {
    for (text, reason) in [
        ("", ""),
        ("_flow.verdict ==", ""),
        ("(_flow.is_reply", ""),
        ("_flow.is_reply)", ""),
        ("'a", ""),
        ("@0 == 1", ""),
        ("1 + 1", "is neither true nor false"),
        ("_flow", "is neither true nor false"),
        ("_flow.node_name", "is neither true nor false"),
        ("_flow.source.labels", "is neither true nor false"),
        ("flow.verdict == 1", "there is no name \"flow.verdict\""),
        ("verdict == 1", "there is no name \"verdict\""),
        ("_flow.verdikt == 1", "flow.Flow has no field \"verdikt\""),
        (
            "_flow.l4.tcp.source_port == 1",
            "flow.Layer4 has no field \"tcp\"",
        ),
        (
            "has(_flow.source.pod)",
            "flow.Endpoint has no field \"pod\"",
        ),
        (
            "_flow.verdict == Verdict.DROPED",
            "there is no name \"Verdict.DROPED\"",
        ),
        (
            "_flow.verdict == 'DROPPED'",
            "_==_: the operands are never comparable",
        ),
        (
            "_flow.node_name && true",
            "_&&_: an operand is neither true nor false",
        ),
        (
            "lower(_flow.node_name) == 'x'",
            "there is no function \"lower\"",
        ),
        (
            "_flow.node_name.lower() == 'x'",
            "there is no function \"lower\"",
        ),
        ("_flow.node_name.matches('(a')", "regex parse error"),
        ("_flow.node_name.matches('(a{999}){999}')", "size limit"),
        ("_flow.node_name.matches(_flow.uuid)", "must be written out"),
        ("{'a': true}.a", "maps are not supported"),
        (
            "flow.Flow{verdict: 1} == _flow",
            "messages are not supported",
        ),
    ] {
        let refused = ask(filter(&[text]), &flow()).expect_err(text);
        assert!(refused.contains(reason), "{text}: {refused}");
    }
}

#[test]
fn one_true_expression_is_enough_and_every_one_must_be_good() {
    let (yes, no) = ("_flow.verdict == 1", "_flow.verdict == 3");
    assert_eq!(ask(filter(&[no, yes]), &flow()), Ok(true));
    assert_eq!(ask(filter(&[no, no]), &flow()), Ok(false));
    let pattern = "_flow.uuid.matches('^x')";
    assert_eq!(
        ask(
            filter(&[pattern, "_flow.IP.source.matches('^10')"]),
            &flow()
        ),
        Ok(true)
    );
    let refused = ask(filter(&[yes, "x"]), &flow()).unwrap_err();
    assert_eq!(refused, "\"x\": there is no name \"x\"");
    assert!(ask(filter(&[yes; EXPRESSIONS]), &flow()).is_ok());
    assert!(ask(filter(&[yes; EXPRESSIONS + 1]), &flow()).is_err());
}

#[test]
fn other_fields_of_the_filter_must_match_too_and_a_list_of_denials_may_use_expressions() {
    let with_verdict = |verdict: pb::Verdict| FlowFilter {
        verdict: vec![verdict.into()],
        ..filter(&["_flow.l7.http.code == 404"])
    };
    assert_eq!(ask(with_verdict(pb::Verdict::Forwarded), &flow()), Ok(true));
    assert_eq!(ask(with_verdict(pb::Verdict::Dropped), &flow()), Ok(false));
    assert_eq!(ask(with_verdict(pb::Verdict::Dropped), &drop()), Ok(false));
    let denied = Selection::compile(&[], &[filter(&["_flow.is_reply"])]).unwrap();
    assert!(!denied.matches(&flow()) && denied.matches(&drop()));
}

/// Runs on as much stack as a thread of the server has.
fn on_a_small_stack(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    thread.spawn(run).unwrap().join().unwrap();
}

#[test]
fn nothing_nested_is_too_deep_for_the_stack() {
    let around = |before: &str, middle: &str, after: &str| {
        let times = (LENGTH_OF_TESTS - middle.len()) / (before.len() + after.len());
        format!("{}{middle}{}", before.repeat(times), after.repeat(times))
    };
    let expressions = [
        around("(", "_flow.is_reply", ")"),
        around("(", "", ""),
        around("!", "_flow.is_reply", ""),
        around("-", "1", ""),
        around("- ", "1", ""),
        around("!(", "_flow.is_reply", ")"),
        around("1+", "1", " "),
        around("1<", "1", ""),
        around("true||", "true", ""),
        around("true&&(", "true", ")"),
        around("true?", "true", ":true"),
        around("true?1:", "true", ""),
        around("[", "", "]"),
        around("[", "", ""),
        around("{1:", "1", "}"),
        around("", "_flow", ".a"),
        around("", "_flow", "[0]"),
        around("", "_flow", ".a()"),
        around("size(", "1", ")"),
        around("has(", "_flow.ip", ")"),
        around("[1].map(x,", "x", ")"),
        around("", "[1]", ".map(x,x)"),
        around("_flow.source.labels.exists(x,", "true", ")"),
    ];
    on_a_small_stack(move || {
        for text in expressions {
            let began = Instant::now();
            if let Ok(program) = Program::compile(std::slice::from_ref(&text)) {
                program.matches(&flow());
            }
            let took = began.elapsed();
            assert!(took < Duration::from_secs(1), "{text}: {took:?}");
        }
    });
}

/// As long as an expression may be.
const LENGTH_OF_TESTS: usize = 1024;

#[test]
fn an_expression_of_the_greatest_depth_is_evaluated_on_a_small_stack() {
    on_a_small_stack(|| {
        let deepest = format!("_flow.verdict == 1{}", "+0".repeat(62));
        assert_eq!(ask(filter(&[&deepest]), &flow()), Ok(true));
        let deeper = format!("_flow.verdict == 1{}", "+0".repeat(63));
        let refused = ask(filter(&[&deeper]), &flow()).unwrap_err();
        assert!(refused.contains("deeper than 64 levels"), "{refused}");
    });
}

#[test]
fn loops_in_loops_and_values_that_double_are_refused() {
    let labels = "_flow.source.labels";
    let thrice =
        format!("{labels}.exists(a, {labels}.exists(b, {labels}.exists(c, a + b + c == 'x')))");
    let list = format!("[{}1]", "1,".repeat(400));
    for (text, reason) in [
        (thrice.as_str(), "costs too much"),
        (
            &format!("{list}.exists(x, {labels}.exists(l, l == 'x'))"),
            "costs too much",
        ),
        (
            &format!("{labels}.exists(l, [l + l].exists(m, m + m == l))"),
            "loops go over",
        ),
        (
            &format!("{labels}.map(l, l + l).exists(m, m + m == 'x')"),
            "loops go over",
        ),
        (
            "[['a'].map(x, x + x)[0]].exists(x, x + x == 'a')",
            "loops go over",
        ),
        (
            "[true ? ['a'].map(x, x + x) : []].exists(x, x == 'a')",
            "loops go over",
        ),
        ("_flow.node_name.exists(x, x == 'a')", "loops go over"),
        ("'a'.exists(x, x == 'a')", "loops go over"),
        (
            "[_flow].exists(_flow, _flow.source.labels.exists(x, true))",
            "no message of the flow",
        ),
        (
            &format!("'{}' == ''", "a".repeat(1024)),
            "longer than 1024 bytes",
        ),
    ] {
        let refused = ask(filter(&[text]), &flow()).expect_err(text);
        assert!(refused.contains(reason), "{text}: {refused}");
    }
    // The bounds are for all of a filter's expressions together.
    let patterns = ["''.matches('a') || ''.matches('b')"; 9];
    assert!(ask(filter(&patterns[..8]), &flow()).is_ok());
    let refused = ask(filter(&patterns), &flow()).unwrap_err();
    assert!(refused.contains("more than 16 patterns"), "{refused}");
    let twice = format!("{labels}.exists(a, {labels}.exists(b, a + b == 'x'))");
    assert!(ask(filter(&[&twice]), &flow()).is_ok());
    assert!(ask(filter(&[twice.as_str(); 2]), &flow()).is_err());
}

#[test]
fn every_field_that_a_flow_has_can_be_asked_for() {
    let mut left = vec![(crate::schema::FLOW, "_flow".to_owned())];
    let mut asked = 0;
    while let Some((message, path)) = left.pop() {
        for (name, field) in crate::schema::message(message).unwrap() {
            assert_ne!(field.of, crate::schema::Type::Other, "{message}.{name}");
            let path = format!("{path}.{name}");
            let text = format!("has({path}) || {path} == {path}");
            assert_eq!(ask(filter(&[&text]), &flow()), Ok(true), "{text}");
            asked += 1;
            if let Some(inner) = field.message()
                && inner.starts_with(".flow.")
                && !field.repeated
                && path.matches('.').count() < 6
            {
                left.push((inner, path));
            }
        }
    }
    assert!(asked > 150, "{asked}");
}

/// Words that expressions are made of, and what is no word.
const WORDS: &str = "( ) [ ] { } . , ? : ! - + * / % && || == != < <= > >= in has( .map(x, .all(x, .exists(x, .filter(x, \
    .exists_one(x, _flow _flow.verdict _flow.source.labels _flow.time _flow.is_reply Verdict.DROPPED x .x .labels [0] 1 0 -1 1u \
    9223372036854775807 -9223372036854775808 18446744073709551615u 1e999 .5 0x 0xff 'a' \"b\" b'c' r'\\' ''' \\ \\777 \\ud800 é \u{0} \n // true \
    false null .? [? ` size( int( uint( double( string( bytes( bool( timestamp( matches( .matches('a .contains( .startsWith( \
    Foo{ @result @has( _&&_ package as";

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig {
        cases: 4096,
        ..proptest::prelude::ProptestConfig::default()
    })]
    #[test]
    fn no_words_in_any_order_stop_the_server(
        words in proptest::collection::vec(proptest::sample::select(WORDS.split_ascii_whitespace().collect::<Vec<_>>()), 0..24),
        spaced: bool,
    ) {
        let text = words.join(if spaced { " " } else { "" });
        let began = Instant::now();
        if let Ok(program) = Program::compile(&[text]) {
            program.matches(&flow());
            program.matches(&drop());
        }
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
}
