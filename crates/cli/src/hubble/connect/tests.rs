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

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let args = ConnectArgs {
        server: Some("unix:///nowhere.sock".into()),
        ..Default::default()
    };
    let error = format!("{:#}", target(args).unwrap().connect().await.err().unwrap());
    assert!(error.contains("unix:///nowhere.sock"), "{error}");
}
