use super::*;

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.yaml");
    fs::write(&path, text).unwrap();
    (directory, path)
}

fn settings(text: &str) -> anyhow::Result<Settings> {
    let (_directory, path) = file(text);
    Settings::load(Some(&path))
}

#[test]
fn the_file_fills_in_what_flags_left_open() {
    let settings = settings(
        "server: tls://a:1\ntimeout: 7s\ntls: true\ntls-ca-cert-files: [x, y]\ntls-server-name: n\n",
    )
    .unwrap();
    let given = ConnectArgs {
        server: Some("b:2".into()),
        ..ConnectArgs::default()
    };
    let args = settings.complete(given).unwrap();
    assert_eq!(args.server.as_deref(), Some("b:2"));
    assert_eq!(args.timeout, Some(Duration::from_secs(7)));
    assert_eq!(args.tls, Some(true));
    assert_eq!(
        args.tls_ca_cert_files,
        [PathBuf::from("x"), PathBuf::from("y")]
    );
    assert_eq!(args.tls_server_name.as_deref(), Some("n"));
    assert_eq!(args.request_timeout, None);
}

#[test]
fn a_bad_value_is_named_with_its_key_and_file() {
    for (text, key) in [
        ("timeout: soon", "timeout"),
        ("tls: perhaps", "tls"),
        ("server: [a]", "server"),
        ("tls-ca-cert-files: [[a]]", "tls-ca-cert-files"),
    ] {
        let error = settings(text)
            .unwrap()
            .complete(ConnectArgs::default())
            .unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains(key) && error.contains("config.yaml"),
            "{error}"
        );
    }
    assert!(settings("- a").is_err());
    assert!(settings("").unwrap().values.is_empty());
}

#[test]
fn settings_are_set_shown_and_reset() {
    let (_directory, path) = file("");
    let run = |command: ConfigCommand| -> anyhow::Result<String> {
        let mut out = Vec::new();
        super::run(
            &ConfigArgs {
                command: Some(command),
            },
            Settings::load(Some(&path))?,
            &mut out,
        )?;
        Ok(String::from_utf8(out)?)
    };
    let key = || "tls-server-name".to_owned();
    run(ConfigCommand::Set {
        key: key(),
        value: Some("relay".into()),
    })
    .unwrap();
    assert_eq!(run(ConfigCommand::Get { key: key() }).unwrap(), "relay\n");
    let view = run(ConfigCommand::View).unwrap();
    assert!(
        view.contains("tls-server-name: relay\n") && view.contains("timeout: 5s\n"),
        "{view}"
    );
    run(ConfigCommand::Reset { key: Some(key()) }).unwrap();
    assert_eq!(run(ConfigCommand::Get { key: key() }).unwrap(), "\n");
    let error = run(ConfigCommand::Get { key: "nope".into() })
        .unwrap_err()
        .to_string();
    assert!(error.contains("unknown key: nope"), "{error}");
    let bad = ConfigCommand::Set {
        key: "timeout".into(),
        value: Some("soon".into()),
    };
    run(bad).unwrap_err();
    assert_eq!(
        run(ConfigCommand::Get {
            key: "timeout".into()
        })
        .unwrap(),
        "5s\n"
    );
}
