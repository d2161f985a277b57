use super::*;

#[test]
fn addresses_are_read_as_peers_state_them() {
    let tcp = |text: &str| Some(Place::Tcp(text.into()));
    let unix = |text: &str| Some(Place::Unix(text.into()));
    for (text, place) in [
        ("10.0.0.1:4244", tcp("10.0.0.1:4244")),
        ("[fd00::1]:80", tcp("[fd00::1]:80")),
        ("10.0.0.1", tcp("10.0.0.1:4244")),
        ("fd00::1", tcp("[fd00::1]:4244")),
        ("[fd00::1]", tcp("[fd00::1]:4244")),
        (
            "hubble-peer.kube-system.svc.cluster.local.:443",
            tcp("hubble-peer.kube-system.svc.cluster.local.:443"),
        ),
        ("unix:///var/run/x", unix("/var/run/x")),
        ("/var/run/hubble.sock", unix("/var/run/hubble.sock")),
        ("", None),
        ("host", None),
        (":80", None),
        ("host:0", None),
        ("host:http", None),
        ("unix://", None),
    ] {
        assert_eq!(Place::parse(text), place, "{text}");
    }
}

#[tokio::test]
async fn what_should_be_encrypted_is_never_sent_in_the_clear() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let authority = directory.path().join("ca.crt");
    std::fs::write(
        &authority,
        crate::server::tests::authority::Authority::new().pem(),
    )
    .unwrap();
    let files = ClientFiles {
        server_authorities: vec![authority],
        identity: None,
    };
    let limit = Duration::from_secs(5);
    let plain = Dialer::new(None, limit).unwrap();
    let encrypted = Dialer::new(Some(files), limit).unwrap();
    for (dialer, name) in [(plain, Some("n1.x")), (encrypted, None)] {
        let error = dialer.connect(&address, name).await.err().unwrap();
        assert!(error.to_string().contains("TLS"), "{error}");
    }
    let accepted = tokio::time::timeout(Duration::from_millis(50), listener.accept());
    assert!(accepted.await.is_err(), "nobody has connected");
}

#[tokio::test]
async fn a_server_that_does_not_shake_hands_is_given_up_in_time() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let authority = directory.path().join("ca.crt");
    std::fs::write(
        &authority,
        crate::server::tests::authority::Authority::new().pem(),
    )
    .unwrap();
    let files = ClientFiles {
        server_authorities: vec![authority],
        identity: None,
    };
    let dialer = Dialer::new(Some(files), Duration::from_millis(50)).unwrap();
    let error = dialer.connect(&address, Some("n1.x")).await.err().unwrap();
    assert!(matches!(error, DialError::Late { .. }), "{error}");
}
