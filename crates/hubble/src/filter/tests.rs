mod fields;

use std::sync::Arc;

use api::hubble::flow as pb;

use super::*;

/// A DNS answer over UDP, by way of the proxy, from a service of one cluster to a pod of another; and where HTTP is
/// asked for, an HTTP response.
#[allow(clippy::too_many_lines, reason = "every field that a filter asks for")]
fn flow() -> Flow {
    let endpoint = |id: u32, pod: &str, cluster: &str| pb::Endpoint {
        identity: id,
        namespace: "shop".into(),
        pod_name: pod.into(),
        labels: vec![
            format!("k8s:app={pod}"),
            "k8s:tier=3".into(),
            "reserved:init".into(),
        ],
        workloads: vec![pb::Workload {
            name: pod.into(),
            kind: "Deployment".into(),
        }],
        cluster_name: cluster.into(),
        ..pb::Endpoint::default()
    };
    Flow {
        verdict: Verdict::Forwarded.into(),
        uuid: "u1".into(),
        node_name: "east/n1.example".into(),
        node_labels: vec!["zone=a".into()],
        ip: Some(pb::Ip {
            source: "10.0.0.1".into(),
            destination: "fd00::2".into(),
            source_xlated: "192.0.2.1".into(),
            ip_version: pb::IpVersion::IPv4.into(),
            encrypted: true,
        }),
        l4: Some(pb::Layer4 {
            protocol: Some(pb::layer4::Protocol::Tcp(pb::Tcp {
                source_port: 80,
                destination_port: 40000,
                flags: Some(pb::TcpFlags {
                    syn: true,
                    ack: true,
                    ..Default::default()
                }),
            })),
        }),
        source: Some(endpoint(1000, "web", "east")),
        destination: Some(endpoint(1001, "api", "west")),
        source_names: vec!["Web.example.org.".into()],
        destination_names: vec!["api.example.org".into(), "_sip._tcp.x".into()],
        source_service: Some(pb::Service {
            name: "web-svc".into(),
            namespace: "shop".into(),
        }),
        destination_service: Some(pb::Service {
            name: "api-svc".into(),
            namespace: "back".into(),
        }),
        l7: Some(pb::Layer7 {
            r#type: pb::L7FlowType::Response.into(),
            latency_ns: 1,
            record: Some(pb::layer7::Record::Http(pb::Http {
                code: 404,
                method: "GET".into(),
                url: "http://api.shop/v1/items?q=1".into(),
                protocol: "HTTP/1.1".into(),
                headers: vec![pb::HttpHeader {
                    key: "Host".into(),
                    value: "api".into(),
                }],
            })),
        }),
        event_type: Some(pb::CiliumEventType {
            r#type: 129,
            sub_type: 0,
        }),
        traffic_direction: pb::TrafficDirection::Ingress.into(),
        is_reply: Some(pbjson_types::BoolValue { value: true }),
        interface: Some(pb::NetworkInterface {
            index: 3,
            name: "lxc1".into(),
        }),
        trace_context: Some(pb::TraceContext {
            parent: Some(pb::TraceParent {
                trace_id: "abc".into(),
            }),
        }),
        ip_trace_id: Some(pb::IpTraceId {
            trace_id: 9,
            ip_option_type: 136,
        }),
        ..Flow::default()
    }
}

/// Compiles a filter written as JSON and asks it of `flow`.
fn ask(filter: &str, flow: &Flow) -> Result<bool, FilterError> {
    let filter: FlowFilter = serde_json::from_str(filter).unwrap();
    Selection::compile(&[filter], &[]).map(|selection| selection.matches(flow))
}

#[track_caller]
fn check(matching: &[&str], others: &[&str]) {
    for filter in matching {
        assert_eq!(ask(filter, &flow()), Ok(true), "{filter}");
    }
    for filter in others {
        assert_eq!(ask(filter, &flow()), Ok(false), "{filter}");
    }
}

#[track_caller]
fn refuse(field: &str, filters: &[&str]) {
    for filter in filters {
        let error = ask(filter, &flow()).unwrap_err();
        assert_eq!(
            (error.list, error.index, error.field),
            ("whitelist", 0, field),
            "{filter}"
        );
        assert!(!error.reason.is_empty());
    }
}

#[test]
fn an_empty_filter_matches_everything_and_so_does_no_filter() {
    check(&["{}"], &[]);
    assert!(Selection::default().matches(&flow()));
    assert!(
        Selection::compile(&[], &[])
            .unwrap()
            .matches(&Flow::default())
    );
}

#[test]
fn fields_are_and_values_are_or_and_the_deny_list_wins() {
    check(
        &[r#"{"source_ip":["1.1.1.1","10.0.0.1"],"source_port":["80"]}"#],
        &[r#"{"source_ip":["10.0.0.1"],"source_port":["81"]}"#],
    );
    let filter = |text| serde_json::from_str::<FlowFilter>(text).unwrap();
    let web = filter(r#"{"source_pod":["shop/web"]}"#);
    let other = filter(r#"{"source_pod":["x/y"]}"#);
    let selects = |allow: &[FlowFilter], deny: &[FlowFilter]| {
        Selection::compile(allow, deny).unwrap().matches(&flow())
    };
    assert!(selects(&[other.clone(), web.clone()], &[]));
    assert!(!selects(std::slice::from_ref(&other), &[]));
    assert!(selects(&[], std::slice::from_ref(&other)));
    assert!(!selects(std::slice::from_ref(&web), &[other, web.clone()]));
}

#[test]
fn addresses_match_exactly_or_by_block() {
    check(
        &[
            r#"{"source_ip":["10.0.0.0/24"]}"#,
            r#"{"destination_ip":["fd00:0::2"]}"#,
            r#"{"destination_ip":["fd00::/64"]}"#,
            r#"{"source_ip_xlated":["192.0.2.1"]}"#,
        ],
        &[
            r#"{"source_ip":["10.0.1.0/24"]}"#,
            r#"{"source_ip":["fd00::/64"]}"#,
            r#"{"destination_ip":["10.0.0.1"]}"#,
        ],
    );
    refuse(
        "source_ip",
        &[
            r#"{"source_ip":["10.0.0"]}"#,
            r#"{"source_ip":["10.0.0.1/33"]}"#,
        ],
    );
    refuse("destination_ip", &[r#"{"destination_ip":[""]}"#]);
    assert_eq!(
        ask(r#"{"source_ip":["0.0.0.0/0"]}"#, &Flow::default()),
        Ok(false)
    );
}

#[test]
fn pods_and_services_match_by_namespace_and_beginning() {
    check(
        &[
            r#"{"source_pod":["shop/we"]}"#,
            r#"{"source_pod":["shop/"]}"#,
            r#"{"source_pod":["/web"]}"#,
            r#"{"source_pod":["/"]}"#,
            r#"{"destination_pod":["shop/api"]}"#,
            r#"{"source_service":["shop/web"]}"#,
            r#"{"destination_service":["back/"]}"#,
        ],
        &[
            r#"{"source_pod":["web"]}"#,
            r#"{"source_pod":["sho/"]}"#,
            r#"{"source_pod":["shop/eb"]}"#,
            r#"{"destination_service":["shop/api"]}"#,
        ],
    );
    for field in [
        "source_pod",
        "destination_pod",
        "source_service",
        "destination_service",
    ] {
        refuse(field, &[&format!(r#"{{"{field}":[""]}}"#)]);
        assert_eq!(
            ask(&format!(r#"{{"{field}":["/"]}}"#), &Flow::default()),
            Ok(false)
        );
    }
    let mut nameless = flow();
    nameless.source = Some(pb::Endpoint {
        identity: 2,
        ..pb::Endpoint::default()
    });
    assert_eq!(ask(r#"{"source_pod":["/"]}"#, &nameless), Ok(false));
    let mut default = flow();
    default.source.as_mut().unwrap().namespace = "default".into();
    assert_eq!(ask(r#"{"source_pod":["web"]}"#, &default), Ok(true));
}

#[test]
fn dns_names_match_by_pattern_without_case_or_last_dot() {
    check(
        &[
            r#"{"source_fqdn":["web.example.org"]}"#,
            r#"{"source_fqdn":[" WEB.example.org. "]}"#,
            r#"{"source_fqdn":["*.example.org"]}"#,
            r#"{"destination_fqdn":["*"]}"#,
            r#"{"destination_fqdn":["_sip._tcp.x"]}"#,
        ],
        &[
            r#"{"source_fqdn":["example.org"]}"#,
            r#"{"source_fqdn":["webXexample.org"]}"#,
            r#"{"destination_fqdn":["*._tcp.x"]}"#,
        ],
    );
    refuse(
        "source_fqdn",
        &[r#"{"source_fqdn":[""]}"#, r#"{"source_fqdn":["a b"]}"#],
    );
    refuse("destination_fqdn", &[r#"{"destination_fqdn":["a[bc]"]}"#]);
}

#[test]
fn labels_match_by_selector_and_source() {
    check(
        &[
            r#"{"source_label":["app=web"]}"#,
            r#"{"source_label":["k8s:app=web"]}"#,
            r#"{"source_label":["any:app == web"]}"#,
            r#"{"source_label":["reserved:init"]}"#,
            r#"{"source_label":["app in (db, web), tier"]}"#,
            r#"{"source_label":["app notin (db)"]}"#,
            r#"{"source_label":["app!=db"]}"#,
            r#"{"source_label":["missing!=db"]}"#,
            r#"{"source_label":["!missing"]}"#,
            r#"{"source_label":["tier>2,tier<4"]}"#,
            r#"{"source_label":["app=db","app=web"]}"#,
            r#"{"source_label":[""]}"#,
            r#"{"destination_label":["app=api"]}"#,
            r#"{"node_labels":["zone=a"]}"#,
        ],
        &[
            r#"{"source_label":["container:app=web"]}"#,
            r#"{"source_label":["app=web,!tier"]}"#,
            r#"{"source_label":["app=db"]}"#,
            r#"{"source_label":["app!=web"]}"#,
            r#"{"source_label":["app notin (web)"]}"#,
            r#"{"source_label":["reserved:app"]}"#,
            r#"{"source_label":["tier>3"]}"#,
            r#"{"source_label":["app="]}"#,
            r#"{"node_labels":["zone=b"]}"#,
        ],
    );
    for bad in [
        "=a", "a b", "a in", "a in (b", "a,,b", "a in b", "!", "a>x", "(a)",
    ] {
        refuse(
            "source_label",
            &[&format!(r#"{{"source_label":["{bad}"]}}"#)],
        );
    }
    refuse("node_labels", &[r#"{"node_labels":["a in ("]}"#]);
}

#[test]
fn workloads_identities_and_clusters_match_exactly() {
    check(
        &[
            r#"{"source_workload":[{"name":"web"}]}"#,
            r#"{"source_workload":[{"kind":"Deployment"}]}"#,
            r#"{"destination_workload":[{"name":"api","kind":"Deployment"}]}"#,
            r#"{"source_identity":[1000]}"#,
            r#"{"destination_identity":[5,1001]}"#,
            r#"{"source_cluster_name":["east"]}"#,
            r#"{"destination_cluster_name":["west"]}"#,
        ],
        &[
            r#"{"source_workload":[{"name":"we"}]}"#,
            r#"{"destination_workload":[{"name":"api","kind":"Job"}]}"#,
            r#"{"source_identity":[1001]}"#,
            r#"{"destination_identity":[1000]}"#,
            r#"{"source_cluster_name":["eas"]}"#,
            r#"{"destination_cluster_name":["east"]}"#,
        ],
    );
    refuse("source_cluster_name", &[r#"{"source_cluster_name":[""]}"#]);
    refuse(
        "destination_cluster_name",
        &[r#"{"destination_cluster_name":["a",""]}"#],
    );
}

#[test]
fn ports_are_those_of_tcp_udp_and_sctp() {
    check(
        &[
            r#"{"source_port":["80"]}"#,
            r#"{"destination_port":["1","40000"]}"#,
        ],
        &[r#"{"source_port":["8"]}"#, r#"{"destination_port":["80"]}"#],
    );
    refuse(
        "source_port",
        &[
            r#"{"source_port":["65536"]}"#,
            r#"{"source_port":["http"]}"#,
        ],
    );
    refuse("destination_port", &[r#"{"destination_port":["-1"]}"#]);
    let echo = with_protocol(pb::layer4::Protocol::IcmPv4(pb::IcmPv4::default()));
    assert_eq!(ask(r#"{"source_port":["0"]}"#, &echo), Ok(false));
}

fn with_protocol(protocol: pb::layer4::Protocol) -> Flow {
    Flow {
        l4: Some(pb::Layer4 {
            protocol: Some(protocol),
        }),
        ..Flow::default()
    }
}

#[test]
fn protocols_match_by_name_of_either_layer() {
    use pb::layer4::Protocol;
    let names = |flow: &Flow| -> Vec<&str> {
        [
            "icmp", "ICMPv4", "icmpv6", "Tcp", "udp", "sctp", "vrrp", "igmp", "dns", "http",
            "kafka",
        ]
        .into_iter()
        .filter(|name| ask(&format!(r#"{{"protocol":["{name}"]}}"#), flow) == Ok(true))
        .collect()
    };
    assert_eq!(names(&flow()), ["Tcp", "http"]);
    for (protocol, expected) in [
        (
            Protocol::IcmPv4(pb::IcmPv4::default()),
            vec!["icmp", "ICMPv4"],
        ),
        (
            Protocol::IcmPv6(pb::IcmPv6::default()),
            vec!["icmp", "icmpv6"],
        ),
        (Protocol::Udp(pb::Udp::default()), vec!["udp"]),
        (Protocol::Sctp(pb::Sctp::default()), vec!["sctp"]),
        (Protocol::Vrrp(pb::Vrrp::default()), vec!["vrrp"]),
        (Protocol::Igmp(pb::Igmp::default()), vec!["igmp"]),
    ] {
        assert_eq!(names(&with_protocol(protocol)), expected);
    }
    assert!(names(&Flow::default()).is_empty());
    refuse("protocol", &[r#"{"protocol":["tcpp"]}"#]);
}

#[test]
fn replies_match_and_drops_without_the_flag_count_as_none() {
    check(
        &[r#"{"reply":[true]}"#, r#"{"reply":[false,true]}"#],
        &[r#"{"reply":[false]}"#],
    );
    let dropped = Flow {
        verdict: Verdict::Dropped.into(),
        ..Flow::default()
    };
    assert_eq!(ask(r#"{"reply":[false]}"#, &dropped), Ok(true));
    assert_eq!(ask(r#"{"reply":[true]}"#, &dropped), Ok(false));
    assert_eq!(
        ask(r#"{"reply":[true,false]}"#, &Flow::default()),
        Ok(false)
    );
}

#[test]
fn the_event_matches_by_type_verdict_direction_and_place() {
    check(
        &[
            r#"{"event_type":[{"type":129}]}"#,
            r#"{"event_type":[{"type":4},{"type":129,"match_sub_type":true}]}"#,
            r#"{"event_type":[{"match_sub_type":true,"sub_type":0}]}"#,
            r#"{"verdict":["DROPPED","FORWARDED"]}"#,
            r#"{"traffic_direction":["INGRESS"]}"#,
            r#"{"ip_version":["IPv4"]}"#,
            r#"{"encrypted":[true]}"#,
            r#"{"interface":[{"name":"lxc1"}]}"#,
            r#"{"interface":[{"index":3}]}"#,
            r#"{"uuid":["u1"]}"#,
            r#"{"trace_id":["abc"]}"#,
            r#"{"ip_trace_id":["9"]}"#,
        ],
        &[
            r#"{"event_type":[{"type":4}]}"#,
            r#"{"event_type":[{"type":129,"match_sub_type":true,"sub_type":1}]}"#,
            r#"{"verdict":["DROPPED"]}"#,
            r#"{"traffic_direction":["EGRESS"]}"#,
            r#"{"ip_version":["IPv6"]}"#,
            r#"{"encrypted":[false]}"#,
            r#"{"interface":[{"index":3,"name":"lxc2"}]}"#,
            r#"{"uuid":["u2"]}"#,
            r#"{"trace_id":["ab"]}"#,
            r#"{"ip_trace_id":["8"]}"#,
        ],
    );
}

#[test]
fn drop_reasons_only_match_what_was_dropped() {
    let filter = r#"{"drop_reason_desc":["POLICY_DENIED"]}"#;
    let reason = pb::DropReason::PolicyDenied.into();
    let dropped = Flow {
        verdict: Verdict::Dropped.into(),
        drop_reason_desc: reason,
        ..Flow::default()
    };
    assert_eq!(ask(filter, &dropped), Ok(true));
    let audited = Flow {
        verdict: Verdict::Audit.into(),
        drop_reason_desc: reason,
        ..dropped
    };
    assert_eq!(ask(filter, &audited), Ok(false));
}

#[test]
fn tcp_flags_must_all_be_set() {
    check(
        &[
            r#"{"tcp_flags":[{"SYN":true}]}"#,
            r#"{"tcp_flags":[{"FIN":true},{"SYN":true,"ACK":true}]}"#,
        ],
        &[r#"{"tcp_flags":[{"SYN":true,"FIN":true}]}"#],
    );
    let udp = with_protocol(pb::layer4::Protocol::Udp(pb::Udp::default()));
    assert_eq!(ask(r#"{"tcp_flags":[{}]}"#, &udp), Ok(false));
}

#[test]
fn nodes_match_by_cluster_and_pattern() {
    check(
        &[
            r#"{"node_name":["n1.example"]}"#,
            r#"{"node_name":["east/"]}"#,
            r#"{"node_name":["/n1*"]}"#,
            r#"{"node_name":["ea*/*.example"]}"#,
        ],
        &[
            r#"{"node_name":["n1"]}"#,
            r#"{"node_name":["west/n1.example"]}"#,
        ],
    );
    let bare = Flow {
        node_name: "n1".into(),
        ..Flow::default()
    };
    assert_eq!(ask(r#"{"node_name":["default/n1"]}"#, &bare), Ok(true));
    refuse(
        "node_name",
        &[r#"{"node_name":[""]}"#, r#"{"node_name":["a/b/c"]}"#],
    );
    refuse("node_name", &[r#"{"node_name":["n 1"]}"#]);
}

#[test]
fn http_matches_status_method_path_url_and_header() {
    check(
        &[
            r#"{"http_status_code":["404"]}"#,
            r#"{"http_status_code":["5+","40+"]}"#,
            r#"{"http_method":["get"]}"#,
            r#"{"http_path":["^/v1/items$"]}"#,
            r#"{"http_url":["shop/.*q=1"]}"#,
            r#"{"http_header":[{"key":"Host","value":"api"}]}"#,
            r#"{"http_method":["GET"],"event_type":[{"type":129}]}"#,
        ],
        &[
            r#"{"http_status_code":["40"]}"#.replace("\"40\"", "\"400\"").as_str(),
            r#"{"http_method":["POST"]}"#,
            r#"{"http_path":["q=1"]}"#,
            r#"{"http_url":["^/v1"]}"#,
            r#"{"http_header":[{"key":"Host","value":"web"}]}"#,
        ],
    );
    for bad in ["4", "40", "+", "4044", "404+", "abc", "0+", "600"] {
        refuse(
            "http_status_code",
            &[&format!(r#"{{"http_status_code":["{bad}"]}}"#)],
        );
    }
    refuse("http_path", &[r#"{"http_path":["("]}"#]);
    refuse("http_url", &[r#"{"http_url":["["]}"#]);
    refuse(
        "event_type",
        &[r#"{"http_method":["GET"],"event_type":[{"type":4}]}"#],
    );
    let mut request = flow();
    if let Some(pb::layer7::Record::Http(http)) =
        request.l7.as_mut().and_then(|l7| l7.record.as_mut())
    {
        http.code = 0;
    }
    assert_eq!(ask(r#"{"http_status_code":["4+"]}"#, &request), Ok(false));
}

#[test]
fn dns_queries_match_by_expression() {
    let dns = pb::Dns {
        query: "api.shop.svc.".into(),
        ..pb::Dns::default()
    };
    let record = Some(pb::layer7::Record::Dns(dns));
    let flow = Flow {
        l7: Some(pb::Layer7 {
            record,
            ..Default::default()
        }),
        ..Flow::default()
    };
    assert_eq!(ask(r#"{"dns_query":["shop"]}"#, &flow), Ok(true));
    assert_eq!(ask(r#"{"dns_query":["^shop"]}"#, &flow), Ok(false));
    refuse("dns_query", &[r#"{"dns_query":["*"]}"#]);
}

#[test]
fn errors_name_the_list_the_filter_and_the_field() {
    let good = FlowFilter::default();
    let bad = FlowFilter {
        source_port: vec!["x".into()],
        ..FlowFilter::default()
    };
    let error = Selection::compile(&[], &[good, bad]).err().unwrap();
    assert_eq!(
        error.to_string(),
        "blacklist[1].source_port: \"x\" is no port (0 to 65535)"
    );
}
