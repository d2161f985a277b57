use super::*;

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("etcd.config");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

#[test]
fn the_file_names_endpoints_and_certificates_as_upstreams_chart_writes_it() {
    let (_folder, path) = file(
        "---\nendpoints:\n  - https://one:2379\n  - https://two:2379\ntrusted-ca-file: '/secrets/etcd-client-ca.crt'\nkey-file: '/secrets/etcd-client.key'\ncert-file: '/secrets/etcd-client.crt'\n",
    );
    let options = Options::read(None, Some(&path)).unwrap();
    assert_eq!(options.endpoints, ["https://one:2379", "https://two:2379"]);
    assert_eq!(
        options.trusted_ca_file.as_deref(),
        Some(Path::new("/secrets/etcd-client-ca.crt"))
    );
    let (certificate, key) = options.client.unwrap();
    assert_eq!(certificate, Path::new("/secrets/etcd-client.crt"));
    assert_eq!(key, Path::new("/secrets/etcd-client.key"));
}

#[test]
fn an_address_without_a_scheme_is_plain_http() {
    let options = Options::read(Some("127.0.0.1:2379"), None).unwrap();
    assert_eq!(options.endpoints, ["http://127.0.0.1:2379"]);
}

#[test]
fn what_leads_to_no_etcd_is_refused_by_name() {
    let refused = |text: &str| {
        let (_folder, path) = file(text);
        Options::read(None, Some(&path)).unwrap_err().to_string()
    };
    assert!(Options::read(None, None).is_err());
    assert!(refused("endpoints: []").contains("etcd.address nor etcd.config"));
    assert!(refused("endpoints: [https://a]\ncert-file: /c").contains("key-file"));
    for half in ["username: root", "password: hidden"] {
        let said = refused(&format!("endpoints: [https://a]\n{half}"));
        assert!(said.ends_with("username, password: give both or neither"));
    }
    let said = refused("endpoints: [https://a]\nusername: root\npassword: [hidden]");
    assert!(!said.contains("hidden"), "{said}");
    let missing = Options::read(None, Some(Path::new("/nowhere/etcd.config")));
    assert!(missing.unwrap_err().to_string().contains("/nowhere"));
}

#[test]
fn a_user_has_a_password_that_nobody_shows() {
    let (_folder, path) = file("endpoints: [https://a]\nusername: root\npassword: hidden\n");
    let options = Options::read(None, Some(&path)).unwrap();
    let user = options.user.as_ref().unwrap();
    assert_eq!((&*user.name, &*user.password), ("root", "hidden"));
    let shown = format!("{options:?}");
    assert!(
        shown.contains("User root") && !shown.contains("hidden"),
        "{shown}"
    );
}
