use std::fs;

use super::*;

const PLAIN: [(&str, &str); 2] = [
    ("disable-client-tls", "true"),
    ("disable-server-tls", "true"),
];

fn config(pairs: &[(&'static str, &'static str)]) -> Result<Config, String> {
    let all = PLAIN.iter().chain(pairs).copied();
    Config::new(&Given::from_pairs(all)).map_err(|error| error.to_string())
}

/// Of a command line after `axoneme-relay serve`.
fn given(arguments: &[&str]) -> Result<Given, String> {
    let line = ["axoneme-relay", "serve"].iter().chain(arguments);
    let matches = command("axoneme-relay")
        .try_get_matches_from(line)
        .map_err(|error| error.to_string())?;
    let serve = matches.subcommand_matches("serve").unwrap();
    gather(serve).map_err(|error| error.to_string())
}

#[test]
fn defaults_are_those_of_the_field() {
    let config = config(&[]).unwrap();
    assert_eq!(config.cluster, "default");
    assert_eq!(config.peer_service, "unix:///var/run/cilium/hubble.sock");
    assert_eq!(config.listen.to_string(), "[::]:4245");
    assert_eq!(config.health.unwrap().to_string(), "[::]:4222");
    assert_eq!(config.metrics, None);
    assert_eq!(config.retry_timeout, Duration::from_secs(30));
    assert_eq!(config.sort.length, 100);
    assert_eq!(config.sort.delay, Duration::from_secs(1));
    assert_eq!(config.security, Security::Plain);
    assert_eq!(config.client, None);
}

#[test]
fn certificates_are_wanted_unless_they_are_switched_off() {
    let refusal = |pairs: &[(&'static str, &'static str)]| {
        let given = Given::from_pairs(pairs.iter().copied());
        Config::new(&given).unwrap_err().to_string()
    };
    let server = ("disable-server-tls", "true");
    assert!(refusal(&[server]).contains("tls-hubble-server-ca-files"));
    assert!(refusal(&[("disable-client-tls", "true")]).contains("tls-relay-server-cert-file"));
    let authority = ("tls-hubble-server-ca-files", "/ca, /other");
    let certificate = ("tls-hubble-client-cert-file", "/crt");
    assert!(refusal(&[server, authority, certificate]).contains("tls-hubble-client-key-file"));
    // Some by the names that they had before.
    let whole = given(&[
        "--tls-hubble-server-ca-files=/ca, /other",
        "--tls-hubble-client-cert-file=/crt",
        "--tls-client-key-file=/key",
        "--tls-server-cert-file=/server.crt",
        "--tls-server-key-file=/server.key",
        "--tls-relay-client-ca-files=/clients",
    ]);
    let config = Config::new(&whole.unwrap()).unwrap();
    assert_eq!(
        config.client,
        Some(ClientFiles {
            server_authorities: vec!["/ca".into(), "/other".into()],
            identity: Some(("/crt".into(), "/key".into())),
        })
    );
    assert_eq!(
        config.security,
        Security::Tls(TlsFiles {
            certificate: "/server.crt".into(),
            key: "/server.key".into(),
            client_authorities: vec!["/clients".into()],
        })
    );
}

#[test]
fn alerts_are_told_only_if_there_are_rules() {
    assert_eq!(config(&[]).unwrap().alerts, AlertConfig::default());
    let alerts = config(&[
        ("alert-rules", "/rules.yaml"),
        ("alertmanagers", "http://a:9093, http://b:9093/"),
        ("alert-webhooks", "http://hook/x"),
    ])
    .unwrap()
    .alerts;
    assert_eq!(alerts.rules, Some(Source::File("/rules.yaml".into())));
    let addresses = alerts.destinations.iter();
    let addresses: Vec<String> = addresses.map(|of| of.uri.to_string()).collect();
    let expected = [
        "http://a:9093/api/v2/alerts",
        "http://b:9093/api/v2/alerts",
        "http://hook/x",
    ];
    assert_eq!(addresses, expected);
    let built_in = config(&[("alert-rules", "built-in")]).unwrap().alerts;
    assert_eq!(built_in.rules, Some(Source::BuiltIn));
    let error = config(&[("alertmanagers", "http://a")]).unwrap_err();
    assert!(
        error.contains("nothing is told without alert-rules"),
        "{error}"
    );
    let error =
        config(&[("alert-rules", "built-in"), ("alert-webhooks", "https://a")]).unwrap_err();
    assert!(error.contains("alert-webhooks"), "{error}");
}

#[test]
fn a_wrong_value_is_refused_by_its_key() {
    for (key, value) in [
        ("listen-address", ""),
        ("listen-address", "4245"),
        ("metrics-listen-address", "here"),
        ("retry-timeout", "soon"),
        ("dial-timeout", "-1s"),
        ("sort-buffer-drain-timeout", "0s"),
        ("sort-buffer-len-max", "0"),
        ("sort-buffer-len-max", "many"),
        ("disable-server-tls", "perhaps"),
        ("log-level", "loud"),
        ("log-format", "xml"),
        ("pprof", "true"),
    ] {
        let error = config(&[(key, value)]).unwrap_err();
        assert!(error.starts_with(key), "{error}");
    }
}

#[test]
fn flags_win_over_the_file_and_the_file_over_defaults() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.yaml");
    let text = "cluster-name: east\nlisten-address: :1\ngops: true\ngops-port: \"9893\"\n\
        sort-buffer-len-max: 7\ndisable-server-tls: true\ndisable-client-tls: true\n\
        tls-relay-client-ca-files: [a, b]\nretry-timeout: \nsort-buffer-drain-timeout:\nlikes: cheese\n";
    fs::write(&path, text).unwrap();
    let file = path.to_str().unwrap();
    let given = given(&["--config", file, "--listen-address=:2", "--debug", "--gops"]).unwrap();
    let config = Config::new(&given).unwrap();
    assert_eq!(config.cluster, "east");
    assert_eq!(config.listen.port(), 2);
    assert_eq!(config.sort.length, 7);
    assert_eq!(config.sort.delay, Duration::from_secs(1));
    assert_eq!(config.log.level, "debug");
    assert_eq!(config.unknown, ["likes"]);
    assert_eq!(
        files(
            &Reader::new(ALL, &given).unwrap(),
            "tls-relay-client-ca-files"
        ),
        [PathBuf::from("a"), "b".into()]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing.yaml");
    let error = given(&["--config", missing.to_str().unwrap()]).unwrap_err();
    assert!(error.contains("missing.yaml"), "{error}");
    let nested = directory.path().join("nested.yaml");
    fs::write(&nested, "cluster-name: {a: b}").unwrap();
    let error = given(&["--config", nested.to_str().unwrap()]).unwrap_err();
    assert!(
        error.contains("nested.yaml") && error.contains("cluster-name"),
        "{error}"
    );
    let empty = directory.path().join("empty.yaml");
    fs::write(&empty, "").unwrap();
    given(&["--config", empty.to_str().unwrap()]).unwrap();
}

#[test]
fn relays_of_clusters_have_names_addresses_and_certificates() {
    let plain = ("disable-clusters-tls", "true");
    let two = (
        "clusters",
        "west=relay.west.example:443, north=10.0.0.1:4245",
    );
    let clusters = config(&[two, plain]).unwrap().clusters;
    let named: Vec<_> = clusters
        .relays
        .iter()
        .map(|of| (of.name.as_str(), of.address.as_str()))
        .collect();
    assert_eq!(
        named,
        [
            ("west", "relay.west.example:443"),
            ("north", "10.0.0.1:4245")
        ]
    );
    assert_eq!(clusters.client, None);
    assert!(
        config(&[two])
            .unwrap_err()
            .contains("tls-clusters-ca-files")
    );
    let files = [
        two,
        ("tls-clusters-ca-files", "/ca,/other"),
        ("tls-clusters-cert-file", "/crt"),
        ("tls-clusters-key-file", "/key"),
    ];
    let client = config(&files).unwrap().clusters.client.unwrap();
    assert_eq!(
        client.server_authorities,
        [Path::new("/ca"), Path::new("/other")]
    );
    assert_eq!(client.identity, Some(("/crt".into(), "/key".into())));
    for wrong in [
        "west",
        "=10.0.0.1:1",
        "west=nowhere",
        "west=unix:///sock",
        "we st=10.0.0.1:1",
        "all=10.0.0.1:1",
        "default=10.0.0.1:1",
        "west=10.0.0.1:1,west=10.0.0.2:1",
    ] {
        let refused = config(&[("clusters", wrong), plain]).unwrap_err();
        assert!(refused.starts_with("clusters"), "{wrong}: {refused}");
    }
}

#[test]
fn further_names_of_the_web_interface_are_names() {
    assert!(config(&[("web-hosts", "ui.example,*.example")]).is_ok());
    let refused = config(&[("web-hosts", "ui.example:80")]).unwrap_err();
    assert!(refused.contains("without ports"), "{refused}");
}
