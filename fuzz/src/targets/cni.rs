//! What a runtime hands to the CNI plugin: lines `NAME=value` of the environment, an empty line, standard input.

use std::collections::BTreeMap;

use cni::input::{Command, Config};
use cni::version::Version;

use super::{Shape, Target};

pub(super) const TARGET: Target = Target {
    name: "cni",
    shape: Shape::Text,
    seeds,
    run,
};

fn run(data: &[u8]) {
    let end = data.windows(2).position(|pair| pair == b"\n\n");
    let (environment, stdin) = match end {
        Some(at) => (&data[..at], &data[at + 2..]),
        None => (&[][..], data),
    };
    let environment = String::from_utf8_lossy(environment);
    let variables: BTreeMap<&str, &str> = environment
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    match Command::parse(&|name| variables.get(name).map(|value| (*value).to_owned())) {
        Ok(command) => drop(command.attachment().map(ToString::to_string)),
        Err(error) => is_an_answer(&error.to_json(Version::ALL[0])),
    }
    let version = Config::version_of(stdin);
    if let Err(error) = cni::parse_stdin(stdin) {
        is_an_answer(&error.to_json(version));
    }
}

/// A runtime can read the refusal: code and a sentence.
fn is_an_answer(text: &str) {
    let answer: serde_json::Value = serde_json::from_str(text).expect("an error is JSON");
    assert!(
        answer["code"].as_u64().is_some_and(|code| code > 0),
        "{answer}"
    );
    assert!(
        answer["msg"].as_str().is_some_and(|text| !text.is_empty()),
        "{answer}"
    );
}

const ENVIRONMENT: &str = "CNI_COMMAND=ADD\nCNI_CONTAINERID=c-1\nCNI_NETNS=/run/netns/p\nCNI_IFNAME=eth0\n\
    CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=a;K8S_POD_NAME=b;K8S_POD_UID=c\nCNI_PATH=/opt/cni/bin";

fn seeds() -> Vec<Vec<u8>> {
    let plain = r#"{"cniVersion":"1.1.0","name":"axoneme","type":"axoneme-cni","mtu":1450,"log-file":"","enable-debug":false,"agent-socket":"a.sock","state-dir":"state"}"#;
    let chained = r#"{"cniVersion":"1.0.0","name":"x","type":"axoneme-cni","chaining-mode":"generic-veth","prevResult":{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","mac":"02:00:00:00:00:01","sandbox":"/run/netns/p","mtu":1500}],"ips":[{"address":"10.0.1.5/24","gateway":"10.0.1.1","interface":0}],"routes":[{"dst":"0.0.0.0/0","gw":"10.0.1.1","priority":1,"table":254,"scope":0,"mtu":1500,"advmss":1460}],"dns":{"nameservers":["10.96.0.10"],"search":["svc"],"options":["ndots:5"]}}}"#;
    let collect = r#"{"cniVersion":"1.1.0","name":"x","type":"axoneme-cni","cni.dev/valid-attachments":[{"containerID":"c-1","ifname":"eth0"}],"ipam":{}}"#;
    let old = r#"{"cniVersion":"0.3.1","name":"x","type":"axoneme-cni","prevResult":{"cniVersion":"0.3.1","ips":[{"version":"4","address":"10.0.1.5/24"}]}}"#;
    let mut seeds: Vec<Vec<u8>> = [plain, chained, collect, old]
        .iter()
        .map(|stdin| format!("{ENVIRONMENT}\n\n{stdin}").into_bytes())
        .collect();
    for command in ["DEL", "CHECK", "GC", "STATUS", "VERSION"] {
        seeds.push(format!("{}\n\n{plain}", ENVIRONMENT.replace("ADD", command)).into_bytes());
    }
    seeds
}
