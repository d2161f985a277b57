use api::hubble::flow as pb;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    intake::Intake,
    records::{Party, Point, Record, Way, What, protocol},
    ring::Capacity,
    sample::{Shop, denied, opened},
};

mod requests;

fn ring() -> Arc<Ring> {
    Arc::new(Ring::new(Capacity::default()))
}

/// An intake that counts these metrics.
fn counting(text: &str) -> Intake {
    let intake = Intake::new(ring(), Arc::new(Shop));
    intake.metrics().apply(&parse(text)).unwrap();
    intake
}

/// The page of an intake.
fn shown(intake: &Intake) -> String {
    let shown = Shown {
        metrics: Arc::clone(intake.metrics()),
        ring: Arc::clone(intake.ring()),
    };
    daemon::metrics::text(&page::registry(shown))
}

/// The series of a page whose name begins so, without the prefix that all have.
fn series(intake: &Intake, name: &str) -> Vec<String> {
    shown(intake)
        .lines()
        .filter_map(|line| line.strip_prefix("hubble_"))
        .filter(|line| line.starts_with(name))
        .map(str::to_owned)
        .collect()
}

/// What these flows are counted as.
fn counted(metric: &str, name: &str, flows: &[pb::Flow]) -> Vec<String> {
    let intake = counting(metric);
    for flow in flows {
        intake.message(flow.clone());
    }
    series(&intake, name)
}

/// The end of the connection that [`opened`] began, with all its flags.
fn closed() -> Record {
    Record {
        tcp_flags_or_icmp_type: 0x13,
        what: What::Closed {
            point: Point::ToEndpoint,
            way: Way::Forward,
        },
        ..opened()
    }
}

/// A ping to outside of the cluster.
fn ping() -> Record {
    let outside = Party {
        address: "192.0.2.9".parse().unwrap(),
        port: 0,
        identity: 2,
        endpoint: 0,
    };
    Record {
        destination: outside,
        protocol: protocol::ICMP,
        tcp_flags_or_icmp_type: 8,
        what: What::New {
            point: Point::ToStack,
            egress: Some(crate::sample::judgement(11)),
            ingress: None,
        },
        ..opened()
    }
}

/// A packet that led nowhere.
fn lost_its_way() -> Record {
    Record {
        what: What::Dropped {
            side: None,
            reason: 151,
        },
        ..ping()
    }
}

#[test]
fn all_series_of_a_recorded_set_of_flows() {
    let ends = "sourceContext=workload-name|reserved-identity;\
                destinationContext=workload-name|reserved-identity;\
                labelsContext=source_namespace,destination_namespace,traffic_direction";
    let names = ["drop", "flow", "icmp", "policy", "port-distribution", "tcp"];
    let mut wanted: Vec<_> = names.map(|name| format!("{name}:{ends}")).into();
    wanted.push("flows-to-world:port;any-drop;sourceContext=pod".to_owned());
    let intake = counting(&wanted.join(" "));
    for record in [opened(), closed(), denied(), ping(), lost_its_way()] {
        intake.record(record);
    }
    intake.lost(LossSource::KernelRing, 7);
    insta::assert_snapshot!(shown(&intake));
}

#[test]
fn without_options_a_family_has_its_own_labels_only() {
    let intake = counting("flow drop");
    intake.record(denied());
    assert_eq!(
        series(&intake, "flows_processed_total"),
        [
            r#"flows_processed_total{protocol="TCP",subtype="",type="Drop",verdict="DROPPED"} 1"#,
            r#"flows_processed_total{protocol="TCP",subtype="",type="PolicyVerdict",verdict="DROPPED"} 1"#,
        ]
    );
    assert_eq!(
        series(&intake, "drop_total"),
        [r#"drop_total{protocol="TCP",reason="POLICY_DENIED"} 2"#]
    );
}

#[test]
fn nothing_is_counted_that_nobody_asked_for() {
    let intake = counting("");
    intake.record(opened());
    let page = shown(&intake);
    assert!(page.contains(r#"hubble_lost_events_total{source="hubble_ring_buffer"} 0"#));
    assert!(!page.contains("flows_processed"));
}

#[test]
fn an_identifier_counts_for_its_direction_only_and_the_first_with_a_value_wins() {
    let text = "tcp:sourceContext=ip;sourceEgressContext=dns|pod;destinationContext=identity";
    let flow = |direction: pb::TrafficDirection| pb::Flow {
        traffic_direction: direction.into(),
        ..syn()
    };
    let all = [
        flow(pb::TrafficDirection::Egress),
        flow(pb::TrafficDirection::Ingress),
        flow(pb::TrafficDirection::Unknown),
    ];
    assert_eq!(
        counted(text, "tcp_flags_total", &all),
        [
            r#"tcp_flags_total{destination="k8s:app=api,k8s:tier=back",family="IPv4",flag="SYN",source="10.0.0.1"} 2"#,
            r#"tcp_flags_total{destination="k8s:app=api,k8s:tier=back",family="IPv4",flag="SYN",source="shop/web-1"} 1"#,
        ]
    );
}

#[test]
fn every_identifier_has_its_value() {
    for (identifier, value) in [
        ("identity", "k8s:app=api,k8s:tier=back"),
        ("namespace", "shop"),
        ("pod", "shop/api-1"),
        ("Pod-Name", "api-1"),
        ("dns", "api.test,b.test"),
        ("ip", "10.0.0.2"),
        ("reserved-identity", ""),
        ("workload", "shop/api"),
        ("workload-name", "api"),
        ("app", "api"),
        ("reserved-identity|app", "api"),
    ] {
        let text = format!("tcp:destinationContext={identifier}");
        let line =
            format!(r#"tcp_flags_total{{destination="{value}",family="IPv4",flag="SYN"}} 1"#);
        assert_eq!(counted(&text, "tcp_flags_total", &[syn()]), [line]);
    }
}

#[test]
fn the_api_server_goes_before_other_reserved_identities() {
    let of = |labels: &[&str]| {
        let mut flow = syn();
        let end = flow.destination.as_mut().unwrap();
        end.labels = labels.iter().map(ToString::to_string).collect();
        let text = "tcp:destinationContext=reserved-identity";
        counted(text, "tcp_flags_total", &[flow]).remove(0)
    };
    assert!(of(&["reserved:host", "reserved:kube-apiserver"]).contains("reserved:kube-apiserver"));
    assert!(of(&["k8s:a=b", "reserved:world"]).contains("reserved:world"));
}

#[test]
fn all_labels_that_can_be_chosen() {
    let text = "drop:labelsContext=destination_app,source_ip,source_pod,source_namespace,source_workload,\
                source_workload_kind,source_app,destination_ip,destination_pod,destination_namespace,\
                destination_workload,destination_workload_kind,traffic_direction";
    let mut flow = syn();
    flow.verdict = pb::Verdict::Dropped.into();
    assert_eq!(
        counted(text, "drop_total", &[flow]),
        [concat!(
            r#"drop_total{destination_app="api",destination_ip="10.0.0.2",destination_namespace="shop","#,
            r#"destination_pod="api-1",destination_workload="api",destination_workload_kind="Deployment","#,
            r#"protocol="TCP",reason="DROP_REASON_UNKNOWN",source_app="web",source_ip="10.0.0.1","#,
            r#"source_namespace="shop",source_pod="web-1",source_workload="web","#,
            r#"source_workload_kind="Deployment",traffic_direction="unknown"} 1"#,
        )]
    );
}

#[test]
fn flags_are_counted_each_on_its_own_and_only_of_what_passed() {
    let with = |flags: pb::TcpFlags, verdict: pb::Verdict| {
        let mut flow = syn();
        flow.verdict = verdict.into();
        flow.l4 = Some(tcp(flags));
        flow
    };
    let answer = pb::TcpFlags {
        syn: true,
        ack: true,
        ..pb::TcpFlags::default()
    };
    let end = pb::TcpFlags {
        fin: true,
        rst: true,
        ack: true,
        ..pb::TcpFlags::default()
    };
    let ack = pb::TcpFlags {
        ack: true,
        ..pb::TcpFlags::default()
    };
    let flows = [
        with(answer, pb::Verdict::Redirected),
        with(end, pb::Verdict::Forwarded),
        with(ack, pb::Verdict::Forwarded),
        with(end, pb::Verdict::Dropped),
    ];
    assert_eq!(
        counted("tcp", "tcp_flags_total", &flows),
        [
            r#"tcp_flags_total{family="IPv4",flag="FIN"} 1"#,
            r#"tcp_flags_total{family="IPv4",flag="RST"} 1"#,
            r#"tcp_flags_total{family="IPv4",flag="SYN-ACK"} 1"#,
        ]
    );
}

#[test]
fn ports_of_replies_are_not_counted() {
    let with = |is_reply: Option<bool>| pb::Flow {
        is_reply: is_reply.map(|value| pbjson_types::BoolValue { value }),
        ..syn()
    };
    let flows = [with(Some(false)), with(Some(true)), with(None)];
    assert_eq!(
        counted("port-distribution", "port_distribution_total", &flows),
        [r#"port_distribution_total{port="8080",protocol="TCP"} 1"#]
    );
}

#[test]
fn what_goes_to_the_world_is_counted_as_its_options_say() {
    let mut out = syn();
    out.destination.as_mut().unwrap().labels = vec!["reserved:world-ipv6".into()];
    let mut udp = out.clone();
    udp.l4 = Some(pb::Layer4 {
        protocol: Some(pb::layer4::Protocol::Udp(pb::Udp {
            source_port: 1,
            destination_port: 53,
        })),
    });
    let mut reply = out.clone();
    reply.is_reply = Some(pbjson_types::BoolValue { value: true });
    let mut no_route = out.clone();
    no_route.verdict = pb::Verdict::Dropped.into();
    no_route.drop_reason_desc = 151;
    let mut denied = no_route.clone();
    denied.drop_reason_desc = 133;
    let flows = [out, udp, reply, no_route, denied, syn()];
    let of = |options: &str| {
        let text = format!("flows-to-world{options}");
        counted(&text, "flows_to_world_total", &flows)
    };
    assert_eq!(
        of(""),
        [
            r#"flows_to_world_total{protocol="TCP",verdict="DROPPED"} 1"#,
            r#"flows_to_world_total{protocol="TCP",verdict="FORWARDED"} 1"#,
            r#"flows_to_world_total{protocol="UDP",verdict="FORWARDED"} 1"#,
        ]
    );
    assert_eq!(
        of(":any-drop;syn-only"),
        [
            r#"flows_to_world_total{protocol="TCP",verdict="DROPPED"} 2"#,
            r#"flows_to_world_total{protocol="TCP",verdict="FORWARDED"} 1"#,
        ]
    );
    assert_eq!(
        of(":port"),
        [
            r#"flows_to_world_total{port="53",protocol="UDP",verdict="FORWARDED"} 1"#,
            r#"flows_to_world_total{port="8080",protocol="TCP",verdict="DROPPED"} 1"#,
            r#"flows_to_world_total{port="8080",protocol="TCP",verdict="FORWARDED"} 1"#,
        ]
    );
}

#[test]
fn the_nodes_own_connections_are_no_verdicts() {
    let intake = counting("policy");
    let mut own = opened();
    own.source.identity = 1;
    intake.record(own);
    assert!(series(&intake, "policy_verdicts_total").is_empty());
    intake.record(opened());
    assert_eq!(
        series(&intake, "policy_verdicts_total"),
        [
            r#"policy_verdicts_total{action="forwarded",direction="egress",match="l3-l4"} 1"#,
            r#"policy_verdicts_total{action="forwarded",direction="ingress",match="l3-l4"} 1"#,
        ]
    );
}

#[test]
fn the_series_of_a_pod_go_and_those_of_others_stay() {
    let text = "flow:sourceContext=pod;destinationContext=pod-name tcp:labelsContext=source_pod,source_namespace \
                drop:destinationContext=pod icmp:sourceContext=pod";
    let intake = counting(text);
    let mut other = syn();
    other.source.as_mut().unwrap().namespace = "shop2".into();
    for flow in [syn(), other] {
        intake.message(flow);
    }
    intake.metrics().forget("shop", "web-1");
    assert_eq!(series(&intake, "flows_processed_total").len(), 1);
    assert!(series(&intake, "flows_processed_total")[0].contains(r#"source="shop2/web-1""#));
    assert_eq!(
        series(&intake, "tcp_flags_total"),
        [
            r#"tcp_flags_total{family="IPv4",flag="SYN",source_namespace="shop2",source_pod="web-1"} 1"#
        ]
    );
    // A label that does not name the pod for sure is kept.
    intake.metrics().forget("shop", "api-1");
    assert_eq!(series(&intake, "flows_processed_total").len(), 1);
}

#[test]
fn filters_choose_the_flows_of_a_metric_and_may_change() {
    let only = |field: &str| {
        read(&format!(
            "metrics:\n- name: flow\n  includeFilters:\n  - {{{field}}}\n"
        ))
        .unwrap()
    };
    let intake = Intake::new(ring(), Arc::new(Shop));
    let metrics = intake.metrics();
    let change = metrics.apply(&only("verdict: [DROPPED]")).unwrap();
    assert_eq!((change.added, change.updated, change.removed), (1, 0, 0));
    intake.message(syn());
    assert!(series(&intake, "flows_processed_total").is_empty());

    let change = metrics.apply(&only("source_pod: [shop/web]")).unwrap();
    assert_eq!((change.added, change.updated, change.removed), (0, 1, 0));
    intake.message(syn());
    // What was counted before stays.
    let change = metrics.apply(&only("verdict: [DROPPED]")).unwrap();
    assert_eq!(change.updated, 1);
    assert_eq!(series(&intake, "flows_processed_total").len(), 1);

    let change = metrics.apply(&[]).unwrap();
    assert_eq!((change.added, change.updated, change.removed), (0, 0, 1));
    assert!(series(&intake, "flows_processed_total").is_empty());
}

#[test]
fn filters_on_the_node_see_its_name() {
    let wanted = read("metrics: [{name: flow, includeFilters: [{node_name: [n1]}]}]").unwrap();
    let intake = Intake::new(ring(), Arc::new(Shop));
    intake.metrics().apply(&wanted).unwrap();
    let config = crate::observer::Config {
        node: "n1".into(),
        ..crate::observer::Config::default()
    };
    let _observer = crate::observer::Observer::new(&intake, config, CancellationToken::default());
    intake.record(closed());
    assert_eq!(series(&intake, "flows_processed_total").len(), 1);
}

#[test]
fn settings_that_cannot_be_used_change_nothing_and_name_the_metric() {
    let intake = counting("flow:sourceContext=pod drop");
    let refused = |text: &str| {
        let error = intake.metrics().apply(&parse(text)).unwrap_err();
        error.to_string()
    };
    assert!(
        refused("tcp:sourceContext=nobody")
            .starts_with("tcp: sourceContext: \"nobody\" is none of identity, ")
    );
    assert!(
        refused("tcp:labelsContext=source_pod,x")
            .starts_with("tcp: labelsContext: \"x\" is none of source_ip, ")
    );
    assert_eq!(
        refused("tcp:destinationContext"),
        "tcp: destinationContext: destinationContext needs a value"
    );
    assert_eq!(refused("tcp tcp"), "tcp: given twice");
    assert_eq!(
        refused("flow:sourceContext=ip"),
        "flow: its options cannot change while the agent runs"
    );
    assert!(refused("http httpV2").starts_with("httpV2: "));
    let bad = read("metrics: [{name: tcp, includeFilters: [{source_ip: [x]}]}]").unwrap();
    let error = intake.metrics().apply(&bad).unwrap_err().to_string();
    assert!(
        error.starts_with("tcp: whitelist[0].source_ip: "),
        "{error}"
    );
    intake.record(denied());
    assert_eq!(series(&intake, "drop_total").len(), 1);
    assert!(series(&intake, "tcp_flags_total").is_empty());
}

#[test]
fn a_name_that_is_not_known_is_left_out() {
    let intake = counting("weather tcp:colour=blue");
    intake.message(syn());
    assert_eq!(series(&intake, "tcp_flags_total").len(), 1);
}

fn tcp(flags: pb::TcpFlags) -> pb::Layer4 {
    pb::Layer4 {
        protocol: Some(pb::layer4::Protocol::Tcp(pb::Tcp {
            source_port: 40000,
            destination_port: 8080,
            flags: Some(flags),
        })),
    }
}

fn end(app: &str) -> pb::Endpoint {
    pb::Endpoint {
        namespace: "shop".into(),
        pod_name: format!("{app}-1"),
        labels: vec![format!("k8s:app={app}"), "k8s:tier=back".into()],
        workloads: vec![pb::Workload {
            name: app.into(),
            kind: "Deployment".into(),
        }],
        ..pb::Endpoint::default()
    }
}

/// A SYN from web to api that was let through.
fn syn() -> pb::Flow {
    pb::Flow {
        verdict: pb::Verdict::Forwarded.into(),
        event_type: Some(pb::CiliumEventType {
            r#type: 4,
            sub_type: 0,
        }),
        ip: Some(pb::Ip {
            source: "10.0.0.1".into(),
            destination: "10.0.0.2".into(),
            ip_version: pb::IpVersion::IPv4.into(),
            ..pb::Ip::default()
        }),
        l4: Some(tcp(pb::TcpFlags {
            syn: true,
            ..pb::TcpFlags::default()
        })),
        source: Some(end("web")),
        destination: Some(end("api")),
        destination_names: vec!["api.test".into(), "b.test".into()],
        ..pb::Flow::default()
    }
}

/// Time of one flow of a new connection through an intake: the least of ten rounds. A connection within the node is three.
fn price(intake: &Intake) -> Duration {
    const RECORDS: u32 = 500;
    let round = |_| {
        let begun = Instant::now();
        for _ in 0..RECORDS {
            intake.record(opened());
        }
        begun.elapsed() / (RECORDS * 3)
    };
    (0..10).map(round).min().unwrap_or_default()
}

#[test]
fn what_a_flow_costs_does_not_grow_with_the_series() {
    let ends = "sourceContext=ip;destinationContext=workload-name|reserved-identity;\
                labelsContext=source_namespace,destination_namespace,traffic_direction";
    let all = [
        "dns",
        "drop",
        "flow",
        "flows-to-world",
        "httpV2",
        "icmp",
        "kafka",
        "policy",
        "port-distribution",
        "tcp",
    ]
    .map(|name| format!("{name}:{ends}"))
    .join(" ");
    let (off, one, many) = (counting(""), counting("flow"), counting(&all));
    let few = price(&many);
    println!(
        "figure: a flow: {:?}, counted by one metric {:?}, by ten with labels {few:?}",
        price(&off),
        price(&one)
    );
    for number in 0..MAX_SERIES {
        let mut flow = syn();
        if let Some(ip) = &mut flow.ip {
            ip.source = number.to_string();
        }
        many.message(flow);
    }
    assert!(series(&many, "flows_processed_total").len() >= MAX_SERIES);
    let full = price(&many);
    println!("figure: with {MAX_SERIES} series in some of these: {full:?}");
    assert!(
        full < few * 10,
        "{few:?} with a few series, {full:?} with many"
    );
}
