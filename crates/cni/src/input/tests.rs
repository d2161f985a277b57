//! What is accepted and what is refused, with the words of the refusal.

#![allow(clippy::too_many_lines, reason = "a list of cases is as long as it is")]

use std::collections::BTreeMap;

use super::*;

fn command(variables: &[(&str, &str)]) -> Result<Command, Error> {
    let variables: BTreeMap<String, String> = variables
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    Command::parse(&|name| variables.get(name).cloned())
}

const ADD: [(&str, &str); 4] = [
    ("CNI_COMMAND", "ADD"),
    ("CNI_CONTAINERID", "c-1"),
    ("CNI_NETNS", "/run/netns/p"),
    ("CNI_IFNAME", "eth0"),
];

fn add_with(key: &str, value: &str) -> Result<Command, Error> {
    let mut variables: Vec<(&str, &str)> = ADD
        .iter()
        .copied()
        .filter(|(name, _)| *name != key)
        .collect();
    variables.push((key, value));
    command(&variables)
}

#[test]
fn arguments_are_read_from_the_environment() {
    let parsed = add_with(
        "CNI_ARGS",
        "IgnoreUnknown=1;K8S_POD_NAMESPACE=a;K8S_POD_NAME=b;K8S_POD_UID=c;;X=y=z",
    )
    .expect("ok");
    let Command::Add(arguments) = parsed else {
        panic!("{parsed:?}")
    };
    assert_eq!(arguments.owner(), "a/b");
    assert_eq!(
        (
            arguments.pod_uid.as_str(),
            arguments.attachment.to_string().as_str()
        ),
        ("c", "c-1:eth0")
    );
    let plain = command(&ADD).expect("ok");
    let Command::Add(arguments) = plain else {
        panic!("{plain:?}")
    };
    assert_eq!(arguments.owner(), "c-1");
    assert!(matches!(
        add_with("CNI_COMMAND", "STATUS"),
        Ok(Command::Status)
    ));
    assert!(matches!(
        command(&ADD.map(|(k, v)| if k == "CNI_COMMAND" {
            (k, "DEL")
        } else {
            (k, v)
        })),
        Ok(Command::Del(_))
    ));
}

#[test]
fn a_wrong_argument_is_named() {
    let cases = [
        ("CNI_COMMAND", "", "CNI_COMMAND is missing"),
        ("CNI_COMMAND", "add", "CNI_COMMAND is \"add\""),
        ("CNI_CONTAINERID", "", "CNI_CONTAINERID is missing"),
        ("CNI_CONTAINERID", "../x", "CNI_CONTAINERID is"),
        ("CNI_CONTAINERID", "a/b", "CNI_CONTAINERID is"),
        ("CNI_CONTAINERID", "-a", "CNI_CONTAINERID is"),
        ("CNI_IFNAME", "", "CNI_IFNAME is missing"),
        ("CNI_IFNAME", "..", "CNI_IFNAME is"),
        ("CNI_IFNAME", "a/b", "CNI_IFNAME is"),
        ("CNI_IFNAME", "a b", "CNI_IFNAME is"),
        ("CNI_IFNAME", "sixteen-bytes-xx", "CNI_IFNAME is"),
        ("CNI_NETNS", "", "CNI_NETNS is missing"),
        ("CNI_ARGS", "x", "CNI_ARGS: \"x\" is not KEY=VALUE"),
        ("CNI_ARGS", "K8S_POD_NAME=a", "CNI_ARGS: K8S_POD_NAME and"),
    ];
    for (key, value, wanted) in cases {
        let error = add_with(key, value).expect_err(wanted);
        assert!(
            error.code == Code::InvalidEnvironment && error.message.starts_with(wanted),
            "{error:?}"
        );
    }
}

#[test]
fn a_configuration_is_read_with_unknown_keys_ignored() {
    let config = Config::parse(
        br#"{"cniVersion":"0.3.1","name":"cilium","type":"cilium-cni","enable-debug":true,"log-file":"/l","mtu":1400,
            "chaining-mode":"portmap","eni":{"x":1},"agent-socket":"/s","unknown":[1],
            "cni.dev/valid-attachments":[{"containerID":"c","ifname":"eth0"}]}"#,
    )
    .expect("ok");
    assert_eq!(
        (config.version, config.mtu, config.chaining, config.debug),
        (Version::V0_3_1, Some(1400), Chaining::Alone, true)
    );
    assert_eq!(
        (config.state.to_str(), config.agent_socket),
        (Some("/var/run/cilium"), Some("/s".into()))
    );
    assert_eq!(config.valid_attachments.map(|set| set.len()), Some(1));
    assert_eq!(
        Config::parse(br#"{"name":"x"}"#).expect("ok").version,
        Version::V0_1_0
    );
}

#[test]
fn malformed_configurations_are_refused_with_code_and_field() {
    let deep = "[".repeat(100_000);
    let cases: [(&str, Code, &str); 29] = [
        ("", Code::Decode, "not JSON"),
        ("\u{0}", Code::Decode, "not JSON"),
        ("{", Code::Decode, "not JSON"),
        ("[]", Code::Decode, "not a JSON object"),
        ("null", Code::Decode, "not a JSON object"),
        (&deep, Code::Decode, "not JSON"),
        (
            r#"{"name":"x","cniVersion":"9.9.9"}"#,
            Code::IncompatibleVersion,
            "cniVersion \"9.9.9\"",
        ),
        (
            r#"{"name":"x","cniVersion":1}"#,
            Code::InvalidConfig,
            "cniVersion must be a string",
        ),
        ("{}", Code::InvalidConfig, "name must"),
        (r#"{"name":"../x"}"#, Code::InvalidConfig, "name must"),
        (
            r#"{"name":["x"]}"#,
            Code::InvalidConfig,
            "name must be a string",
        ),
        (r#"{"name":"x","mtu":-1}"#, Code::InvalidConfig, "mtu must"),
        (r#"{"name":"x","mtu":1e9}"#, Code::InvalidConfig, "mtu must"),
        (
            r#"{"name":"x","mtu":"1500"}"#,
            Code::InvalidConfig,
            "mtu must",
        ),
        (
            r#"{"name":"x","enable-debug":"yes"}"#,
            Code::InvalidConfig,
            "enable-debug must",
        ),
        (
            r#"{"name":"x","chaining-mode":"x"}"#,
            Code::InvalidConfig,
            "chaining-mode is \"x\"",
        ),
        (
            r#"{"name":"x","ipam":[]}"#,
            Code::InvalidConfig,
            "ipam must",
        ),
        (
            r#"{"name":"x","ipam":{"type":"../../bin/sh"}}"#,
            Code::InvalidConfig,
            "ipam.type must be a plain file name",
        ),
        (
            r#"{"name":"x","ipam":{"type":"host-local"}}"#,
            Code::UnsupportedField,
            "ipam.type is \"host-local\"",
        ),
        (
            r#"{"name":"x","log-file":{}}"#,
            Code::InvalidConfig,
            "log-file must be a string",
        ),
        (
            r#"{"name":"x","prevResult":1}"#,
            Code::InvalidConfig,
            "prevResult must",
        ),
        (
            r#"{"name":"x","prevResult":{"ips":{}}}"#,
            Code::InvalidConfig,
            "prevResult.ips must be a list",
        ),
        (
            r#"{"name":"x","prevResult":{"ips":[{"address":"x"}]}}"#,
            Code::InvalidConfig,
            "prevResult.ips[0].address is \"x\"",
        ),
        (
            r#"{"name":"x","prevResult":{"ips":[{"address":"10.0.0.1/33"}]}}"#,
            Code::InvalidConfig,
            "prevResult.ips[0].address",
        ),
        (
            r#"{"name":"x","prevResult":{"ips":[{"address":"10.0.0.1/32","interface":0}]}}"#,
            Code::InvalidConfig,
            "prevResult.ips[0].interface is no position",
        ),
        (
            r#"{"name":"x","prevResult":{"interfaces":[{"mtu":-1}]}}"#,
            Code::InvalidConfig,
            "prevResult.interfaces[0].mtu",
        ),
        (
            r#"{"name":"x","prevResult":{"ip4":{"gateway":"10.0.0.1"}}}"#,
            Code::InvalidConfig,
            "prevResult.ip4.ip is missing",
        ),
        (
            r#"{"name":"x","cni.dev/valid-attachments":{}}"#,
            Code::InvalidConfig,
            "cni.dev/valid-attachments must",
        ),
        (
            r#"{"name":"x","cni.dev/valid-attachments":[{"ifname":"e"}]}"#,
            Code::InvalidConfig,
            "cni.dev/valid-attachments[0] must",
        ),
    ];
    for (stdin, code, wanted) in cases {
        let error = crate::parse_stdin(stdin.as_bytes()).expect_err(stdin);
        assert!(
            error.code == code && error.message.contains(wanted),
            "{stdin:.80}: {error:?}"
        );
    }
    let error = Config::parse(&vec![b' '; STDIN_LIMIT + 1]).expect_err("long");
    assert!(error.message.contains("longer than"), "{error}");
}

#[test]
fn every_prefix_and_single_byte_change_of_a_configuration_is_parsed_or_refused_without_a_panic() {
    let whole = br#"{"cniVersion":"1.1.0","name":"n","mtu":1500,"prevResult":{"interfaces":[{"name":"eth0","sandbox":"/s"}],
        "ips":[{"interface":0,"address":"10.0.0.2/32","gateway":"10.0.0.1"}],"routes":[{"dst":"::/0","gw":"fd00::1","mtu":9}]}}"#;
    crate::parse_stdin(whole).expect("whole");
    for length in 0..whole.len() {
        crate::parse_stdin(&whole[..length]).expect_err("a prefix is not JSON");
    }
    for position in 0..whole.len() {
        for byte in [0, b'"', b'{', b'9', b'-', 0xff] {
            let mut changed = whole.to_vec();
            changed[position] = byte;
            let _ = crate::parse_stdin(&changed);
        }
    }
}

#[test]
fn commands_younger_than_the_version_are_refused() {
    let status = Command::Status
        .check_version(Version::V1_0_0)
        .expect_err("STATUS");
    assert_eq!(
        status.message,
        "cniVersion 1.0.0 does not have STATUS: it came with 1.1.0"
    );
    assert_eq!(
        Command::Gc
            .check_version(Version::V0_4_0)
            .expect_err("GC")
            .code,
        Code::IncompatibleVersion
    );
    let check = add_with("CNI_COMMAND", "CHECK").expect("ok");
    assert!(
        check.check_version(Version::V0_3_1).is_err()
            && check.check_version(Version::V0_4_0).is_ok()
    );
}
