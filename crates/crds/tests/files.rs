//! The definitions as files, for people and for whoever installs without the operator. `./x crds` writes them.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

const HEADER: &str = "# Made from the types of the crate `api` by `./x crds`.\n";

fn folder() -> PathBuf {
    PathBuf::from("../../deploy/crds")
}

/// With quotes around words that are texts since YAML 1.2 and were truth values in 1.1, which kubectl reads.
fn quoted(text: &str) -> String {
    let words = regex::Regex::new("(?im)^( *(?:- |[^:\n]*: ))(y|n|yes|no|on|off)$").unwrap();
    words.replace_all(text, "$1'$2'").into_owned()
}

#[test]
fn words_that_were_truth_values_once_are_quoted() {
    let before = "enum:\n- Yes\n- No\n- Note\na: on\nb: one\n";
    let after = "enum:\n- 'Yes'\n- 'No'\n- Note\na: 'on'\nb: one\n";
    assert_eq!(quoted(before), after);
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
        let text = quoted(&serde_yaml_ng::to_string(&object).unwrap());
        assert_eq!(serde_yaml_ng::from_str::<Value>(&text).unwrap(), object);
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
