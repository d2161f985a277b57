//! The program called as `loopback`, in a namespace of its own.

#![allow(clippy::print_stdout, reason = "a skipped test says so")]

use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use netlink::{AdminState, Handle, NamedNamespace};
use serde_json::{Value, json};

/// `None` (with a printed reason) without root; with CI=true that is a failure.
fn namespace(what: &str) -> Option<NamedNamespace> {
    match NamedNamespace::create(&format!("axt-{}-lo-{what}", std::process::id())) {
        Ok(namespace) => Some(namespace),
        Err(error) if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
            panic!("needs root: {error}")
        }
        Err(error) => {
            println!("skipped, needs root: {error}");
            None
        }
    }
}

/// Exit code and what was printed.
fn call(command: &str, netns: &Path, more: &Value) -> (i32, Value) {
    let directory = tempfile::tempdir().expect("directory");
    let program = directory.path().join("loopback");
    symlink(env!("CARGO_BIN_EXE_axoneme-cni"), &program).expect("link");
    let mut config = json!({ "cniVersion": "1.0.0", "name": "cni-loopback", "type": "loopback" });
    for (key, value) in more.as_object().expect("object") {
        config[key] = value.clone();
    }
    let mut child = Command::new(program)
        .env_clear()
        .env("CNI_COMMAND", command)
        .env("CNI_CONTAINERID", "c1")
        .env("CNI_IFNAME", "lo")
        .env("CNI_NETNS", netns)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start");
    let mut stdin = child.stdin.take().expect("stdin");
    stdin
        .write_all(config.to_string().as_bytes())
        .expect("write");
    drop(stdin);
    let output = child.wait_with_output().expect("wait");
    let printed = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code().expect("code"), printed)
}

#[test]
fn lo_comes_up_is_checked_and_goes_down() {
    let Some(pod) = namespace("life") else { return };
    let in_pod = Handle::open_in(&pod).expect("handle");
    let state = || {
        let link = in_pod.find_link("lo").expect("links").expect("lo");
        link.state()
    };
    assert_eq!(call("CHECK", &pod.path(), &json!({})).0, 1);
    let (code, result) = call("ADD", &pod.path(), &json!({}));
    assert_eq!((code, state()), (0, AdminState::Up), "{result}");
    assert_eq!(result["interfaces"][0]["name"], "lo");
    assert_eq!(result["interfaces"][0]["sandbox"], json!(pod.path()));
    assert_eq!(result["ips"][0]["address"], "127.0.0.1/8");
    assert_eq!(call("CHECK", &pod.path(), &json!({})), (0, Value::Null));
    assert_eq!(call("DEL", &pod.path(), &json!({})), (0, Value::Null));
    assert_eq!(state(), AdminState::Down);
}

#[test]
fn the_result_of_a_plugin_before_it_is_passed_on() {
    let Some(pod) = namespace("chain") else {
        return;
    };
    let previous = json!({
        "cniVersion": "1.0.0",
        "interfaces": [{ "name": "eth0", "sandbox": pod.path() }],
        "ips": [{ "interface": 0, "address": "10.0.0.5/32" }],
    });
    let (code, result) = call("ADD", &pod.path(), &json!({ "prevResult": previous }));
    assert_eq!(code, 0);
    assert_eq!(result["ips"], previous["ips"]);
    assert_eq!(result["interfaces"], previous["interfaces"]);
}

#[test]
fn a_namespace_that_is_gone_needs_no_taking_down() {
    let gone = Path::new("/run/netns/axt-was-never-there");
    assert_eq!(call("DEL", gone, &json!({})), (0, Value::Null));
    let (code, error) = call("ADD", gone, &json!({}));
    assert_eq!((code, &error["code"]), (1, &json!(4)), "{error}");
}
