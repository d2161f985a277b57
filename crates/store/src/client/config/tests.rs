use std::ffi::OsString;

use serde_json::json;

use super::*;

/// A file with one cluster, user and context of that name.
fn write(folder: &Path, name: &str, server: &str) -> PathBuf {
    let text = json!({ "apiVersion": "v1", "kind": "Config", "current-context": name,
        "clusters": [{ "name": name, "cluster": { "server": server } }],
        "users": [{ "name": name, "user": {} }],
        "contexts": [{ "name": name, "context": { "cluster": name, "user": name } }] });
    let path = folder.join(name);
    std::fs::write(&path, text.to_string()).unwrap();
    path
}

async fn server_of(list: OsString, context: Option<&str>) -> Result<String, Error> {
    let options = Options {
        kubeconfig: Some(list.into()),
        context: context.map(str::to_owned),
        ..Options::named("test")
    };
    config(&options, 0)
        .await
        .map(|config| config.cluster_url.to_string())
}

#[tokio::test]
async fn several_files_are_one_and_a_context_may_be_named() {
    let folder = tempfile::tempdir().unwrap();
    let a = write(folder.path(), "a", "http://a.example:1");
    let b = write(folder.path(), "b", "http://b.example:2");
    let gone = folder.path().join("gone");
    let list = || std::env::join_paths([&gone, &a, &b]).unwrap();
    assert_eq!(
        server_of(list(), None).await.unwrap(),
        "http://a.example:1/"
    );
    assert_eq!(
        server_of(list(), Some("b")).await.unwrap(),
        "http://b.example:2/"
    );
    let error = server_of(list(), Some("c")).await.unwrap_err().to_string();
    assert!(error.contains('c'), "{error}");
}

#[tokio::test]
async fn a_file_that_is_named_alone_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let gone = folder.path().join("gone");
    let error = server_of(gone.clone().into(), None)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("gone"), "{error}");
    let list = std::env::join_paths([&gone, &gone]).unwrap();
    let error = server_of(list, None).await.unwrap_err().to_string();
    assert!(error.contains("none of"), "{error}");
}
