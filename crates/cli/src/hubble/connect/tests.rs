use super::*;

fn target(args: ConnectArgs) -> anyhow::Result<Target> {
    Target::new(args, &Settings::default())
}

#[test]
fn without_flags_it_is_the_local_relay_in_plain_text() {
    let target = target(ConnectArgs::default()).unwrap();
    assert_eq!(target.server, DEFAULT_SERVER);
    assert_eq!(target.tls, None);
    assert_eq!(
        (target.timeout.as_secs(), target.request_timeout.as_secs()),
        (5, 12)
    );
}

#[test]
fn tls_is_used_for_its_prefix_its_flag_or_a_certificate() {
    let args = |server: Option<&str>| ConnectArgs {
        server: server.map(str::to_owned),
        ..ConnectArgs::default()
    };
    let prefixed = target(args(Some("tls://relay:443"))).unwrap();
    assert_eq!(
        (prefixed.server.as_str(), prefixed.tls.is_some()),
        ("relay:443", true)
    );
    assert!(
        target(ConnectArgs {
            tls: Some(true),
            ..args(None)
        })
        .unwrap()
        .tls
        .is_some()
    );
    let certificate = ConnectArgs {
        tls_client_cert_file: Some("c".into()),
        tls_client_key_file: Some("k".into()),
        ..args(None)
    };
    assert!(target(certificate).unwrap().tls.is_some());
}

#[test]
fn contradicting_flags_are_refused_by_name() {
    for (args, word) in [
        (
            ConnectArgs {
                tls_client_cert_file: Some("c".into()),
                ..Default::default()
            },
            "tls-client-key-file",
        ),
        (
            ConnectArgs {
                tls_client_key_file: Some("k".into()),
                ..Default::default()
            },
            "tls-client-cert-file",
        ),
        (
            ConnectArgs {
                tls_allow_insecure: Some(true),
                ..Default::default()
            },
            "tls-allow-insecure",
        ),
        (
            ConnectArgs {
                basic_auth_username: Some("u".into()),
                ..Default::default()
            },
            "basic-auth-password",
        ),
        (
            ConnectArgs {
                basic_auth_username: Some("u".into()),
                basic_auth_password: Some("p".into()),
                ..Default::default()
            },
            "TLS",
        ),
    ] {
        let error = target(args).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn credentials_are_sent_as_basic_authorization() {
    let args = ConnectArgs {
        tls: Some(true),
        basic_auth_username: Some("Aladdin".into()),
        basic_auth_password: Some("open sesame".into()),
        ..ConnectArgs::default()
    };
    // The example of RFC 7617.
    let expected = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
    assert_eq!(
        target(args).unwrap().authorization.as_deref(),
        Some(expected)
    );
}

#[test]
fn a_token_is_sent_where_nobody_else_reads_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "abc.def\n").unwrap();
    let to = |server: &str, tls: Option<bool>, name: Option<&str>| {
        target(ConnectArgs {
            server: Some(server.into()),
            tls,
            token_file: Some(file.clone()),
            basic_auth_username: name.map(str::to_owned),
            ..ConnectArgs::default()
        })
    };
    for (server, tls) in [
        ("relay.example:443", Some(true)),
        ("tls://relay.example:443", None),
        ("localhost:4245", None),
        ("127.0.0.1:4245", None),
        ("[::1]:4245", None),
        ("unix:///sock", None),
    ] {
        let sent = to(server, tls, None).unwrap().authorization;
        assert_eq!(sent.as_deref(), Some("Bearer abc.def"), "{server}");
    }
    for server in ["relay.example:80", "localhost.example:80", "10.0.0.1:4245"] {
        let refused = to(server, None, None).unwrap_err().to_string();
        assert!(refused.contains("--token-file"), "{server}: {refused}");
    }
    let both = to("localhost:4245", None, Some("ann")).unwrap_err();
    assert!(both.to_string().contains("exclude each other"), "{both}");
    std::fs::write(&file, "\n").unwrap();
    let empty = to("localhost:4245", None, None).unwrap_err();
    assert!(empty.to_string().contains("empty"), "{empty}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let args = ConnectArgs {
        server: Some("unix:///nowhere.sock".into()),
        ..Default::default()
    };
    let error = format!("{:#}", target(args).unwrap().connect().await.err().unwrap());
    assert!(error.contains("unix:///nowhere.sock"), "{error}");
}
