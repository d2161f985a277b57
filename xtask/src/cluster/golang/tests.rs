use super::*;

#[test]
fn a_key_changes_with_any_file_of_the_module_and_with_nothing_else() {
    let folder = std::env::temp_dir().join(format!("axoneme-key-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("go.mod"), "module a\n").unwrap();
    fs::write(folder.join("main.go"), "package main\n").unwrap();
    let first = key(&folder).unwrap();
    assert_eq!(first, key(&folder).unwrap());
    assert_eq!(first.len(), 16);
    fs::write(folder.join("go.sum"), "").unwrap();
    let second = key(&folder).unwrap();
    assert_ne!(first, second);
    fs::write(folder.join("main.go"), "package main // changed\n").unwrap();
    assert_ne!(second, key(&folder).unwrap());
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_version_of_kubernetes_reaches_its_programs() {
    let text = "module a\n\ngo 1.26.0\n\nrequire (\n\tgithub.com/a/b v1.0.0\n\tk8s.io/kubernetes v1.37.2\n)\n\nreplace k8s.io/api => k8s.io/api v0.37.2\n";
    assert_eq!(required(text, "k8s.io/kubernetes"), Some("v1.37.2"));
    assert_eq!(
        required("require k8s.io/kubernetes v1.37.2\n", "k8s.io/kubernetes"),
        Some("v1.37.2")
    );
    assert_eq!(required(text, "k8s.io/api"), None);
    let flags = linker_flags(text);
    assert!(
        flags.contains("-X k8s.io/component-base/version.gitVersion=v1.37.2 "),
        "{flags}"
    );
    assert!(
        flags.contains("-X k8s.io/client-go/pkg/version.gitMinor=37 "),
        "{flags}"
    );
    assert_eq!(
        linker_flags("module a\n\nrequire go.etcd.io/etcd/server/v3 v3.6.16\n"),
        "-s -w"
    );
}

#[test]
fn helm_renders_for_the_kubernetes_that_its_client_is_of() {
    let flags = linker_flags(
        "require helm.sh/helm/v3 v3.19.5\n\nrequire (\n\tk8s.io/client-go v0.34.1 // indirect\n)\n",
    );
    assert!(
        flags.contains("-X helm.sh/helm/v3/internal/version.version=v3.19.5 "),
        "{flags}"
    );
    assert!(
        flags.contains("-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=34"),
        "{flags}"
    );
}

#[test]
fn the_version_of_go_is_read_and_an_old_one_is_too_old() {
    assert_eq!(version("go version go1.26.8 linux/amd64"), Some((1, 26)));
    assert_eq!(version("go version go1.27rc1 linux/amd64"), Some((1, 27)));
    assert!(version("go version go1.19.8 linux/amd64").unwrap() < OLDEST_GO);
    assert_eq!(version("strange"), None);
}
