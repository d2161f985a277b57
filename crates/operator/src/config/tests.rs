use super::*;

fn config(pairs: &[(&str, &str)]) -> Result<Config, Error> {
    Config::new(&Given::from_pairs(pairs.iter().copied()))
}

fn refusal(pairs: &[(&str, &str)]) -> String {
    config(pairs)
        .expect_err("the configuration must be refused")
        .to_string()
}

#[test]
fn defaults_are_upstreams() {
    let config = config(&[]).unwrap();
    assert_eq!(config.namespace, "kube-system");
    assert_eq!(config.lease.lease, Duration::from_secs(15));
    assert_eq!(config.lease.renew, Duration::from_secs(10));
    assert_eq!(config.lease.retry, Duration::from_secs(2));
    assert_eq!(config.health.to_string(), "127.0.0.1:9234");
    assert_eq!(config.metrics, None);
    assert!(config.register);
    assert!(matches!(config.ipam, Ipam::ClusterPool(pools) if pools.len() == 1));
    assert_eq!(config.collection.identities, Some(Duration::from_mins(15)));
    assert_eq!(config.collection.endpoints, Some(Duration::from_mins(5)));
    assert_eq!(config.collection.nodes, Some(Duration::from_mins(5)));
    assert_eq!(config.nodes.namespace, "kube-system");
    let unmanaged = config.unmanaged.unwrap();
    assert_eq!(unmanaged.every, Duration::from_secs(15));
    assert_eq!(unmanaged.selector, "k8s-app=kube-dns");
}

#[test]
fn a_directory_as_the_chart_mounts_it_is_read_and_flags_and_environment_win() {
    let directory = tempfile::tempdir().unwrap();
    for (key, value) in [
        ("ipam", "cluster-pool"),
        ("cluster-pool-ipv4-cidr", "10.4.0.0/16 10.6.0.0/16"),
        ("cluster-pool-ipv4-mask-size", "25"),
        ("unmanaged-pod-watcher-interval", "15"),
        ("operator-prometheus-serve-addr", ":9963"),
        ("enable-metrics", "true"),
        ("identity-gc-interval", "15m0s"),
        ("bpf-map-dynamic-size-ratio", "0.0025"),
        ("debug", "true"),
    ] {
        std::fs::write(directory.path().join(key), value).unwrap();
    }
    std::fs::create_dir(directory.path().join("..data")).unwrap();
    let of = directory.path().to_str().unwrap();
    let arguments = [
        "cilium-operator-generic",
        &format!("--config-dir={of}"),
        "--debug=false",
    ];
    let matches = command("axoneme-operator").get_matches_from(arguments);
    let environment = |name: &str| match name {
        "CILIUM_K8S_NAMESPACE" => Some("network".to_owned()),
        "K8S_NODE_NAME" => Some("n7".to_owned()),
        _ => None,
    };
    let config = Config::new(&gather(&matches, environment).unwrap()).unwrap();
    assert_eq!(config.namespace, "network");
    assert_eq!(config.nodes.namespace, "network");
    assert_eq!(config.node, "n7");
    assert!(!config.debug);
    assert_eq!(config.metrics.unwrap().to_string(), "[::]:9963");
    assert_eq!(config.unknown, ["bpf-map-dynamic-size-ratio"]);
    let Ipam::ClusterPool(pools) = config.ipam else {
        panic!("no pools");
    };
    let text: Vec<String> = pools[0].cidrs().iter().map(ToString::to_string).collect();
    assert_eq!(text, ["10.4.0.0/16", "10.6.0.0/16"]);
    assert_eq!(config.unmanaged.unwrap().every, Duration::from_secs(15));
}

#[test]
fn what_we_lack_stops_the_start_by_name_and_its_off_value_is_accepted() {
    for (key, value, off) in [
        ("ipam", "eni", "cluster-pool"),
        ("identity-management-mode", "operator", "agent"),
        ("enable-gateway-api", "true", "false"),
    ] {
        let message = refusal(&[(key, value)]);
        let expected =
            format!("{key}={value}: not available in this version; set it to {off} or remove it");
        assert_eq!(message, expected);
        config(&[(key, off)]).unwrap();
        config(&[(key, "")]).unwrap();
    }
}

#[test]
fn a_bad_value_is_refused_with_its_key() {
    for (key, value) in [
        ("cluster-pool-ipv4-cidr", "10.0.0.0/33"),
        ("cluster-pool-ipv4-cidr", "fd00::/64"),
        ("cluster-pool-ipv4-cidr", ""),
        ("cluster-pool-ipv4-mask-size", "0"),
        ("cluster-pool-ipv4-mask-size", "33"),
        ("cluster-pool-ipv4-mask-size", "7"),
        ("cluster-pool-ipv4-cidr", "10.0.0.0/8,10.1.0.0/16"),
        ("identity-gc-interval", "soon"),
        ("operator-api-serve-addr", "everywhere"),
        ("leader-election-lease-duration", "5s"),
        ("leader-election-lease-duration", "15500ms"),
        ("enable-ipv4", "maybe"),
        ("identity-gc-rate-limit", "0"),
    ] {
        let message = refusal(&[(key, value)]);
        let word = key
            .rsplit_once("-mask-size")
            .map_or(key, |(start, _)| start);
        assert!(message.contains(word), "{key}={value}: {message}");
    }
}

#[test]
fn slices_are_written_at_a_rate_by_the_number_of_nodes() {
    assert!(config(&[]).unwrap().slices.is_none());
    let on = ("enable-cilium-endpoint-slice", "true");
    let slices = config(&[on]).unwrap().slices.unwrap();
    assert_eq!(slices.largest, 100);
    assert_eq!(slices.rates.of(5000).limit.to_string(), "10");
    let limits = r#"[{"nodes":100,"limit":50,"burst":100},{"nodes":0,"limit":10,"burst":20}]"#;
    let slices = config(&[on, ("ces-rate-limits", limits)])
        .unwrap()
        .slices
        .unwrap();
    let at = |nodes| slices.rates.of(nodes).burst.to_string();
    assert_eq!([0, 99, 100, 5000].map(at), ["20", "20", "100", "100"]);
    for (key, value) in [
        ("ces-max-ciliumendpoints-per-ces", "0"),
        ("ces-rate-limits", "[]"),
        ("ces-rate-limits", r#"[{"nodes":0,"limit":0,"burst":20}]"#),
        ("ces-rate-limits", r#"[{"nodes":0,"limit":10}]"#),
        ("disable-endpoint-crd", "true"),
    ] {
        let message = refusal(&[on, (key, value)]);
        assert!(message.contains(key), "{message}");
    }
}

#[test]
fn without_endpoints_in_the_store_nothing_that_hangs_on_them_is_removed() {
    let config = config(&[("disable-endpoint-crd", "true")]).unwrap();
    assert_eq!(config.collection.identities, None);
    assert_eq!(config.collection.endpoints, None);
    assert!(!config.collection.endpoints_once);
    assert!(config.unmanaged.is_none());
}

#[test]
fn an_agent_that_reads_the_same_config_map_complains_of_none_of_our_keys() {
    // Both read these; each knows them itself.
    #[rustfmt::skip]
    let shared = [
        "k8s-node-name", "k8s-api-server-urls", "k8s-kubeconfig-path", "enable-ipv4", "enable-ipv6", "ipam", "log-format", "debug",
        "identity-allocation-mode", "identity-management-mode", "kvstore", "kvstore-opt", "kvstore-lease-ttl", "enable-cilium-endpoint-slice", "enable-ingress-controller",
        "enable-gateway-api", "enable-bgp-control-plane", "mesh-auth-enabled",
    ];
    let named = daemon::settings::shared::OF_OPERATORS;
    let missing = ALL
        .names()
        .filter(|name| !shared.contains(name) && !named.contains(name));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&str>::new());
    assert!(named.is_sorted());
}
