use std::collections::BTreeSet;

use clap::{CommandFactory, Parser};

use super::*;

#[derive(Parser, Debug)]
struct Program {
    #[command(flatten)]
    args: HubbleArgs,
}

/// Flags of upstream's commands that ask a server, `-` before the letter of a short one.
const SERVER: &str = "basic-auth-password basic-auth-username kube-context kube-namespace kubeconfig port-forward -P port-forward-port \
request-timeout server timeout tls tls-allow-insecure tls-ca-cert-files tls-client-cert-file tls-client-key-file tls-server-name \
config debug -D help -h";
const EVENTS: &str = "all first follow -f last since until output -o print-node-name time-format";
const FLOWS: &str = "all-namespaces -A cel-expression cluster drop-reason-desc fqdn from-all-namespaces from-cluster from-fqdn from-identity \
from-ip from-label from-namespace from-pod from-port from-service from-workload http-header http-method http-path http-status http-url \
identity interface ip ip-version ipv4 -4 ipv6 -6 label -l namespace -n node-label node-name not pod port protocol service snat-ip tcp-flags \
to-all-namespaces to-cluster to-fqdn to-identity to-ip to-label to-namespace to-pod to-port to-service to-workload trace-id \
traffic-direction type -t uuid verdict workload allowlist denylist color ip-translation numeric print-policy-names \
experimental-field-mask experimental-use-default-field-masks print-raw-filters silent-errors -s input-file";

/// All flags of a command and of those that it inherits, aliases too.
fn flags(path: &[&str]) -> BTreeSet<String> {
    let mut program = Program::command();
    program.build();
    let mut command = &program;
    for name in path {
        command = command
            .find_subcommand(name)
            .unwrap_or_else(|| panic!("no command {name}"));
    }
    let mut flags = BTreeSet::new();
    for argument in command.get_arguments() {
        let long = argument.get_long_and_visible_aliases().unwrap_or_default();
        let hidden = argument.get_all_aliases().unwrap_or_default();
        flags.extend(long.into_iter().chain(hidden).map(str::to_owned));
        flags.extend(argument.get_short().map(|letter| format!("-{letter}")));
    }
    flags
}

#[test]
fn every_flag_of_upstreams_client_is_one_here() {
    for (path, lists) in [
        (&["observe"][..], &[SERVER, EVENTS, FLOWS][..]),
        (&["observe", "flows"], &[SERVER, EVENTS, FLOWS]),
        (&["observe", "agent-events"], &[SERVER, EVENTS]),
        (&["observe", "debug-events"], &[SERVER, EVENTS]),
        (&["status"], &[SERVER, "output -o"]),
        (&["list", "namespaces"], &[SERVER, "output -o"]),
        (&["list", "nodes"], &[SERVER, "output -o"]),
        (&["watch", "peers"], &[SERVER]),
    ] {
        let have = flags(path);
        let wanted = lists.iter().flat_map(|list| list.split_whitespace());
        let missing: Vec<&str> = wanted.filter(|flag| !have.contains(*flag)).collect();
        assert!(missing.is_empty(), "{path:?} lacks {missing:?}");
    }
}

#[test]
fn the_relay_is_the_one_of_flags_then_file_then_defaults() {
    let parsed = |words: &[&str]| {
        let words = ["hubble"].into_iter().chain(words.iter().copied());
        Program::try_parse_from(words).unwrap().args.forward
    };
    let file = config::Settings::default();
    let plain = parsed(&["status"]);
    assert!(!plain.wanted(&file).unwrap());
    let relay = plain.relay(&file).unwrap();
    assert_eq!(
        (relay.namespace.as_str(), relay.port),
        ("kube-system", 4245)
    );
    assert!(
        !parsed(&["status", "--port-forward=false"])
            .wanted(&file)
            .unwrap()
    );
    let flags = [
        "observe",
        "-P",
        "--kube-context",
        "east",
        "--kube-namespace",
        "net",
        "--port-forward-port",
        "7",
    ];
    let named = parsed(&flags);
    assert!(named.wanted(&file).unwrap());
    let relay = named.relay(&file).unwrap();
    assert_eq!((relay.namespace.as_str(), relay.port), ("net", 7));
    assert_eq!(relay.access.context.as_deref(), Some("east"));
}

#[test]
fn a_forwarded_address_counts_before_the_server_that_is_named() {
    let mut file = config::Settings::default();
    file.forwarded = Some("127.0.0.1:7".to_owned());
    let args = file
        .complete(ConnectArgs::to("relay.example:80".to_owned()))
        .unwrap();
    assert_eq!(args.server.as_deref(), Some("127.0.0.1:7"));
}
