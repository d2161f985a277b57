//! The definitions as files, for people and for whoever installs without the operator. `./x crds` writes them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;

const HEADER: &str = "# Made from the types of the crate `api` by `./x crds`.\n";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/crds")
}

/// Name and content of every file.
fn files() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for definition in crds::definitions() {
        let object = json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": definition.metadata,
            "spec": definition.spec,
        });
        let plural = definition.spec["names"]["plural"].as_str().unwrap();
        let text = serde_yaml_ng::to_string(&object).unwrap();
        files.insert(format!("{plural}.yaml"), format!("{HEADER}{text}"));
    }
    files
}

#[test]
fn the_files_are_what_the_types_say() {
    let (folder, files) = (folder(), files());
    if std::env::var_os("AXONEME_WRITE_CRDS").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in &files {
            std::fs::write(folder.join(name), text).unwrap();
        }
    }
    for (name, text) in &files {
        let found = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert_eq!(
            &found, text,
            "deploy/crds/{name}: `./x crds` writes it anew"
        );
    }
    for entry in std::fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            files.contains_key(&name),
            "deploy/crds/{name} is of no kind"
        );
    }
}
