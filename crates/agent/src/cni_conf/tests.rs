#![allow(clippy::unwrap_used, reason = "a failed step of a test ends the test")]

use std::fs;

use super::*;
use crate::config::Given;

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn others_are_set_aside_only_when_ours_shall_be_the_only_one() {
    let directory = tempfile::tempdir().unwrap();
    let ours = directory.path().join("05-cilium.conflist");
    for name in [
        "10-flannel.conflist",
        "00-first.conf",
        "old.json",
        "readme.txt",
    ] {
        fs::write(directory.path().join(name), "{}").unwrap();
    }
    ensure(&ours, "ours", false).unwrap();
    assert!(names(directory.path()).contains(&"10-flannel.conflist".to_owned()));

    assert_eq!(ensure(&ours, "ours", true).unwrap().len(), 3);
    assert_eq!(
        names(directory.path()),
        [
            "00-first.conf.cilium_bak",
            "05-cilium.conflist",
            "10-flannel.conflist.cilium_bak",
            "old.json.cilium_bak",
            "readme.txt",
        ]
    );
    assert!(ensure(&ours, "ours", true).unwrap().is_empty());
}

#[test]
fn a_configuration_that_was_removed_or_changed_is_put_back() {
    let directory = tempfile::tempdir().unwrap();
    let ours = directory.path().join("05-cilium.conflist");
    fs::write(directory.path().join(FORMER), "of a former version").unwrap();
    ensure(&ours, "ours", false).unwrap();
    assert_eq!(names(directory.path()), ["05-cilium.conflist"]);
    for damage in [Some("changed"), None] {
        match damage {
            Some(text) => fs::write(&ours, text).unwrap(),
            None => fs::remove_file(&ours).unwrap(),
        }
        assert_eq!(ensure(&ours, "ours", false).unwrap().len(), 1);
        assert_eq!(fs::read_to_string(&ours).unwrap(), "ours");
    }
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let ours = directory.path().join("none/05-cilium.conflist");
    assert!(ensure(&ours, "ours", true).is_err());
}

#[test]
fn the_plugin_is_told_its_agent_and_its_log() {
    let given = Given::from_pairs([
        ("k8s-node-name", "n1"),
        (
            "write-cni-conf-when-ready",
            "/host/etc/cni/net.d/05-cilium.conflist",
        ),
        ("cni-exclusive", "true"),
        ("cni-log-file", "/var/run/cilium/cilium-cni.log"),
    ]);
    let config = Config::new(&given).unwrap();
    assert!(config.cni.exclusive);
    let conf: serde_json::Value = serde_json::from_str(&text(&config)).unwrap();
    assert_eq!(conf["plugins"][0]["type"], "cilium-cni");
    assert_eq!(
        conf["plugins"][0]["agent-socket"],
        "/var/run/cilium/cilium.sock"
    );
    assert_eq!(
        conf["plugins"][0]["log-file"],
        "/var/run/cilium/cilium-cni.log"
    );
}

#[test]
fn a_configuration_of_somebody_else_is_left_alone() {
    let given = Given::from_pairs([
        ("k8s-node-name", "n1"),
        (
            "write-cni-conf-when-ready",
            "/host/etc/cni/net.d/05-cilium.conflist",
        ),
        ("custom-cni-conf", "true"),
    ]);
    assert_eq!(Config::new(&given).unwrap().cni.path, None);
}
