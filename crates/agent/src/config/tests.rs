use std::path::Path;

use ::hubble::metrics::page::Formats;

use super::*;

fn config(pairs: &[(&str, &str)]) -> Result<Config, Error> {
    let node = [("k8s-node-name", "node1")];
    Config::new(&Given::from_pairs(
        node.into_iter().chain(pairs.iter().copied()),
    ))
}

fn refusal(pairs: &[(&str, &str)]) -> String {
    config(pairs)
        .expect_err("the configuration must be refused")
        .to_string()
}

#[test]
fn defaults_are_a_working_configuration() {
    let config = config(&[]).unwrap();
    assert_eq!(config.datapath.routing, Routing::Tunnel);
    assert_eq!(config.datapath.tunnel_port, 8472);
    assert_eq!(config.services.nodeport, (30000, 32767));
    assert!(config.policy.allow_localhost);
    assert!(config.unknown.is_empty());
}

#[test]
fn a_bad_value_is_refused_with_its_key() {
    assert!(
        refusal(&[("routing-mode", "carrier-pigeon")])
            .starts_with("routing-mode: \"carrier-pigeon\"")
    );
    assert!(refusal(&[("enable-ipv4", "maybe")]).starts_with("enable-ipv4: "));
    assert!(refusal(&[("node-port-range", "5,4")]).starts_with("node-port-range: "));
    assert!(
        refusal(&[("hubble-event-buffer-capacity", "4096")])
            .starts_with("hubble-event-buffer-capacity: ")
    );
    assert!(refusal(&[("cluster-name", "-x")]).starts_with("cluster-name: "));
}

#[test]
fn what_we_lack_stops_the_start_by_name_and_its_off_value_is_accepted() {
    let refused = refusal(&[("enable-wireguard", "true")]);
    assert!(
        refused.contains("enable-wireguard=true") && refused.contains("set it to false"),
        "{refused}"
    );
    config(&[
        ("enable-wireguard", "false"),
        ("datapath-mode", "veth"),
        ("static-cnp-path", ""),
    ])
    .unwrap();
}

#[test]
fn maglev_is_refused_by_name_because_it_does_not_exist_yet() {
    assert_eq!(
        refusal(&[("bpf-lb-algorithm", "maglev")]),
        "bpf-lb-algorithm=maglev: not available in this version; set it to random or remove it"
    );
    config(&[("bpf-lb-algorithm", "random")]).unwrap();
}

#[test]
fn an_unknown_key_is_remembered_and_harms_nothing() {
    assert_eq!(
        config(&[("enable-teleport", "true")]).unwrap().unknown,
        ["enable-teleport"]
    );
}

#[test]
fn a_key_of_the_operator_in_the_shared_config_map_is_no_unknown_key() {
    let shared = [
        ("operator-prometheus-serve-addr", ":9963"),
        ("identity-gc-interval", "15m"),
        ("clean-cilium-state", "true"),
    ];
    assert_eq!(config(&shared).unwrap().unknown, Vec::<String>::new());
}

#[test]
fn native_routing_with_masquerade_needs_to_know_what_is_native() {
    assert!(refusal(&[("routing-mode", "native")]).contains("ipv4-native-routing-cidr"));
    config(&[
        ("routing-mode", "native"),
        ("ipv4-native-routing-cidr", "10.0.0.0/8"),
    ])
    .unwrap();
}

#[test]
fn flags_win_over_environment_and_environment_over_files() {
    let directory = tempfile::tempdir().unwrap();
    for (key, value) in [
        ("mtu", "1400"),
        ("cluster-name", "from-file"),
        ("devices", "eth1"),
        ("..data", "x"),
    ] {
        std::fs::write(directory.path().join(key), value).unwrap();
    }
    let matches = command().get_matches_from([
        "agent",
        "--config-dir",
        directory.path().to_str().unwrap(),
        "--mtu=1500",
        "--debug",
    ]);
    let environment = |name: &str| match name {
        "CILIUM_MTU" => Some("1450".to_owned()),
        "CILIUM_CLUSTER_NAME" => Some("from-env".to_owned()),
        "K8S_NODE_NAME" => Some("node7".to_owned()),
        _ => None,
    };
    let config = Config::new(&gather(&matches, environment).unwrap()).unwrap();
    assert_eq!(
        (
            config.datapath.mtu,
            config.cluster.as_str(),
            config.node.as_str()
        ),
        (1500, "from-env", "node7")
    );
    assert_eq!(config.datapath.devices, ["eth1"]);
    assert!(config.debug && config.unknown.is_empty());
}

#[test]
fn a_tcp_flow_server_without_certificates_is_refused_unless_asked_for() {
    assert!(refusal(&[("hubble-listen-address", ":4244")]).contains("hubble-tls-cert-file"));
    let open = config(&[
        ("hubble-listen-address", ":4244"),
        ("hubble-disable-tls", "true"),
    ])
    .unwrap();
    assert_eq!(open.hubble.listen.unwrap().port(), 4244);
}

#[test]
fn metrics_of_flows_are_what_upstreams_keys_say() {
    assert!(config(&[]).unwrap().hubble.metrics.is_none());
    let given = config(&[
        ("hubble-metrics-server", ":9965"),
        (
            "hubble-metrics",
            "dns:query drop flow:sourceContext=pod|ip;labelsContext=source_ip,source_pod",
        ),
        ("enable-hubble-open-metrics", "true"),
    ]);
    let metrics = given.unwrap().hubble.metrics.unwrap();
    assert_eq!(metrics.address.port(), 9965);
    assert_eq!(metrics.formats, Formats::OpenMetrics);
    let WhichMetrics::Fixed(wanted) = metrics.which else {
        panic!("no list")
    };
    assert_eq!(wanted.len(), 3);

    let bad = refusal(&[("hubble-metrics", "drop flow:sourceContext=nobody")]);
    assert!(
        bad.starts_with("hubble-metrics: flow: sourceContext: \"nobody\" is none of "),
        "{bad}"
    );
    let both = refusal(&[
        ("hubble-metrics", "drop"),
        ("hubble-dynamic-metrics-config-path", "/dynamic.yaml"),
    ]);
    assert!(both.contains("hubble-dynamic-metrics-config-path"));
    let tls = refusal(&[("hubble-metrics-server-enable-tls", "true")]);
    assert!(tls.contains("hubble-metrics-server-tls-cert-file"));
}

#[test]
fn exporters_are_what_upstreams_keys_say() {
    let none = config(&[]).unwrap().hubble.exports;
    assert!(none.fixed.is_none() && none.file.is_none());
    let given = config(&[
        (
            "hubble-export-file-path",
            "/var/run/cilium/hubble/events.log",
        ),
        ("hubble-export-file-max-size-mb", "3"),
        ("hubble-export-file-compress", "true"),
        (
            "hubble-export-allowlist",
            r#"{"source_pod":["shop/"]} {"verdict":["DROPPED"]}"#,
        ),
        ("hubble-export-fieldmask", "time source.pod_name"),
        ("hubble-export-fieldaggregate", "verdict"),
        ("hubble-export-aggregation-interval", "30s"),
        ("hubble-flowlogs-config-path", "/flowlogs.yaml"),
    ]);
    let exports = given.unwrap().hubble.exports;
    let fixed = exports.fixed.unwrap();
    assert_eq!((fixed.file_max_size_mb, fixed.file_max_backups), (3, 5));
    assert_eq!(
        (fixed.include_filters.len(), fixed.field_mask.len()),
        (2, 2)
    );
    assert_eq!(fixed.aggregation_interval, Duration::from_secs(30));
    assert_eq!(exports.file.unwrap(), Path::new("/flowlogs.yaml"));

    let starts = |pairs: &[(&str, &str)], start: &str| {
        let refusal = refusal(pairs);
        assert!(refusal.starts_with(start), "{refusal}");
    };
    let key = "hubble-export-denylist";
    starts(
        &[(key, r#"{"colour":["red"]}"#)],
        "hubble-export-denylist: ",
    );
    starts(
        &[(key, r#"{"source_ip":["x"]}"#)],
        "hubble-export-denylist: ",
    );
    starts(
        &[("hubble-export-fieldmask", "sauce")],
        "hubble-export-fieldmask: ",
    );
}

#[test]
fn a_collector_is_told_what_the_keys_say() {
    const KEY: &str = "hubble-otlp-endpoint";
    assert!(config(&[]).unwrap().hubble.exports.otlp.is_none());
    let plain = config(&[
        (KEY, "http://collector.observability:4317"),
        ("cluster-name", "east"),
    ]);
    let plain = plain.unwrap().hubble.exports.otlp.unwrap();
    assert!(plain.signals.logs && plain.signals.metrics && plain.signals.traces);
    assert_eq!(plain.interval, Duration::from_mins(1));
    assert_eq!(
        (plain.cluster.as_str(), plain.node.as_str()),
        ("east", "node1")
    );
    assert!(plain.tls.is_none() && plain.headers.is_none());

    let given = config(&[
        (KEY, "https://collector"),
        ("hubble-otlp-signals", "metrics,traces"),
        ("hubble-otlp-interval", "15s"),
        ("hubble-otlp-allowlist", r#"{"source_pod":["shop/"]}"#),
        ("hubble-otlp-headers-file", "/otlp/headers"),
        ("hubble-otlp-tls-ca-files", "/otlp/ca.crt"),
        ("hubble-otlp-tls-cert-file", "/otlp/tls.crt"),
        ("hubble-otlp-tls-key-file", "/otlp/tls.key"),
    ]);
    let given = given.unwrap().hubble.exports.otlp.unwrap();
    assert!(given.collector.is_encrypted());
    assert!(!given.signals.logs && given.signals.metrics && given.signals.traces);
    assert_eq!(given.include_filters.len(), 1);
    assert_eq!(given.headers.unwrap(), Path::new("/otlp/headers"));
    let tls = given.tls.unwrap();
    assert_eq!(tls.server_authorities, [Path::new("/otlp/ca.crt")]);
    assert_eq!(tls.identity.unwrap().1, Path::new("/otlp/tls.key"));
}

#[test]
fn a_collector_that_cannot_be_meant_is_refused_by_its_key() {
    let plain = ("hubble-otlp-endpoint", "http://collector:4317");
    let encrypted = ("hubble-otlp-endpoint", "https://collector:4317");
    let authority = ("hubble-otlp-tls-ca-files", "/ca.crt");
    for (pairs, key) in [
        (
            &[("hubble-otlp-endpoint", "collector:4317")][..],
            "hubble-otlp-endpoint: ",
        ),
        (
            &[plain, ("hubble-otlp-signals", "profiles")],
            "hubble-otlp-signals: ",
        ),
        (
            &[plain, ("hubble-otlp-signals", " ")],
            "hubble-otlp-signals: ",
        ),
        (
            &[plain, ("hubble-otlp-interval", "5ms")],
            "hubble-otlp-interval: ",
        ),
        (
            &[plain, ("hubble-otlp-denylist", r#"{"source_ip":["x"]}"#)],
            "hubble-otlp-denylist: ",
        ),
        (&[encrypted], "hubble-otlp-tls-ca-files: "),
        (&[plain, authority], "hubble-otlp-tls-ca-files: "),
        (
            &[
                encrypted,
                authority,
                ("hubble-otlp-tls-cert-file", "/tls.crt"),
            ],
            "hubble-otlp-tls-cert-file, hubble-otlp-tls-key-file: ",
        ),
    ] {
        let refusal = refusal(pairs);
        assert!(refusal.starts_with(key), "{refusal}");
    }
}

#[test]
fn the_list_of_spared_destinations_has_upstreams_place_unless_told_otherwise() {
    assert_eq!(config(&[]).unwrap().datapath.masquerade_list, None);
    let path = |pairs| config(pairs).unwrap().datapath.masquerade_list.unwrap();
    assert_eq!(
        path(&[("enable-ip-masq-agent", "true")]),
        PathBuf::from("/etc/config/ip-masq-agent")
    );
    let other = [
        ("enable-ip-masq-agent", "true"),
        ("ip-masq-agent-config-path", "/etc/spared/list"),
    ];
    assert_eq!(path(&other), PathBuf::from("/etc/spared/list"));
}

#[test]
fn connections_live_as_long_as_upstreams_keys_say() {
    use kernel::collector::Lifetimes;
    let lifetimes = |given: &[(&str, &str)]| config(given).unwrap().datapath.lifetimes;
    assert_eq!(lifetimes(&[]), Lifetimes::default());
    let seconds = std::time::Duration::from_secs;
    assert_eq!(
        lifetimes(&[
            ("bpf-ct-timeout-regular-tcp", "6h0m0s"),
            ("bpf-ct-timeout-regular-tcp-syn", "20s"),
            ("bpf-ct-timeout-regular-tcp-fin", "5s"),
            ("bpf-ct-timeout-regular-any", "30s"),
        ]),
        Lifetimes {
            tcp: seconds(6 * 3600),
            tcp_opening: seconds(20),
            tcp_closing: seconds(5),
            other: seconds(30),
        }
    );
    assert!(
        refusal(&[("bpf-ct-timeout-regular-any", "60")])
            .starts_with("bpf-ct-timeout-regular-any: ")
    );
}

#[test]
fn without_health_checks_there_is_no_health_endpoint_either() {
    let on = config(&[]).unwrap().node_health;
    assert!(on.enabled && on.endpoint && on.port == 4240 && on.icmp_tries == 3);
    let off = config(&[("enable-health-checking", "false")]);
    let off = off.unwrap().node_health;
    assert!(!off.enabled && !off.endpoint);
    assert!(refusal(&[("cluster-health-port", "0")]).starts_with("cluster-health-port: "));
    assert!(
        refusal(&[("health-check-icmp-failure-threshold", "0")])
            .starts_with("health-check-icmp-failure-threshold: ")
    );
}

#[test]
fn etcd_is_used_when_the_mode_of_identities_says_so() {
    assert!(config(&[]).unwrap().kvstore.is_none());
    let pairs = [
        ("identity-allocation-mode", "kvstore"),
        ("kvstore", "etcd"),
        ("kvstore-opt", r#"{"etcd.address": "https://e:2379"}"#),
    ];
    let kvstore = config(&pairs).unwrap().kvstore.unwrap();
    assert_eq!(kvstore.options.endpoints, ["https://e:2379"]);
    assert_eq!(kvstore.lease_ttl, std::time::Duration::from_mins(15));
    assert!(refusal(&pairs[..1]).starts_with("kvstore: "));
}

#[test]
fn pools_are_chosen_and_kept_ahead_as_the_keys_say() {
    let of = |pairs: &[(&str, &str)]| {
        let config = config(pairs).unwrap();
        assert_eq!(config.wants().ahead, config.pools.ahead);
        let ahead = config.pools.ahead.iter();
        let ahead: Vec<String> = ahead.map(|(pool, n)| format!("{pool}={n}")).collect();
        (config.ipam, config.pools.default.to_string(), ahead)
    };
    let text =
        |texts: &[&str]| -> Vec<String> { texts.iter().map(|text| (*text).to_owned()).collect() };
    let (_, default, ahead) = of(&[]);
    assert_eq!((&*default, ahead), ("default", text(&["default=8"])));
    let multi = ("ipam", "multi-pool");
    let (ipam, default, ahead) = of(&[multi, ("ipam-default-ip-pool", "blue")]);
    assert_eq!(
        (ipam, &*default, ahead),
        (Ipam::MultiPool, "blue", text(&["blue=8"]))
    );
    let pairs = [
        multi,
        ("ipam-multi-pool-pre-allocation", "default=16,red=0"),
    ];
    assert_eq!(of(&pairs).2, text(&["default=16", "red=0"]));
    for bad in ["default", "default=x", "=8", "a=1,a=2", "a=-1"] {
        let refused = refusal(&[("ipam-multi-pool-pre-allocation", bad)]);
        assert!(
            refused.starts_with("ipam-multi-pool-pre-allocation: "),
            "{refused}"
        );
    }
}
