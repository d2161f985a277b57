//! Rules on code: who may do what, and what must not be left in it.

use super::layout::empty_word;
use super::{Finding, Source};

/// A piece of code that only some places may contain.
struct Reserved {
    rule: &'static str,
    /// What is looked for; a name matches as a whole word.
    code: &'static [&'static str],
    /// Beginnings of the paths that may.
    allowed: &'static [&'static str],
    /// Only in files whose path begins so; empty for all.
    within: &'static [&'static str],
    why: &'static str,
}

const RESERVED: &[Reserved] = &[
    Reserved {
        rule: "unsafe",
        code: &["unsafe"],
        allowed: &[
            "crates/datapath-ebpf/",
            "crates/datapath/src/abi",
            "crates/kernel/",
            "crates/netlink/",
        ],
        within: &[],
        why: "only datapath-ebpf, datapath::abi, kernel and netlink may",
    },
    Reserved {
        rule: "bpf-calls",
        code: &["SYS_bpf", "aya", "aya_obj"],
        allowed: &["crates/kernel/"],
        within: &[],
        why: "only kernel calls bpf()",
    },
    Reserved {
        rule: "netlink-sockets",
        code: &["AF_NETLINK", "NETLINK_ROUTE", "netlink_sys", "rtnetlink"],
        allowed: &["crates/netlink/", "crates/kernel/"],
        within: &[],
        why: "only netlink and kernel open netlink",
    },
    Reserved {
        rule: "kubernetes-client",
        code: &["kube", "kube_client", "kube_runtime", "etcd_client"],
        allowed: &["crates/store/"],
        within: &[],
        why: "only store knows the Kubernetes client and etcd",
    },
    Reserved {
        rule: "pure-model",
        code: &[
            "tokio",
            "std::fs",
            "std::net::TcpStream",
            "std::net::TcpListener",
            "std::net::UdpSocket",
            "std::os",
            "std::process",
            "std::thread",
            "std::env",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "UnixStream",
            "Instant::now",
            "SystemTime",
            "Timestamp::now",
            "Zoned::now",
            "async fn",
        ],
        allowed: &[],
        within: &["crates/model/src/", "crates/l7/src/", "crates/promql/src/"],
        why: "model, l7 and promql are pure: no runtime, no sockets, no files, no clock",
    },
    Reserved {
        rule: "plain-interfaces",
        code: &["async fn", "tokio", "std::fs"],
        allowed: &[],
        within: &["crates/api/src/", "crates/local-api/src/"],
        why: "api and local-api hold types, no logic",
    },
    Reserved {
        rule: "top-level-tasks",
        code: &["tokio::spawn", "task::spawn", "thread::spawn"],
        allowed: &[
            "crates/agent/src/wiring",
            "crates/apiserver/src/wiring",
            "crates/hubble/src/relay/wiring",
            "crates/operator/src/wiring",
            "crates/proxy/src/wiring",
            "crates/reconcile/src/tasks.rs",
            "xtask/",
        ],
        within: &[],
        why: "only wirings spawn; elsewhere take a task group of reconcile::tasks",
    },
    Reserved {
        rule: "no-panics",
        code: &[".unwrap()", ".expect(", "panic!(", "unreachable!("],
        allowed: &["xtask/", "crates/datapath-ebpf/"],
        within: &[],
        why: "what runs on a node returns an error",
    },
];

/// Marks of unfinished work; written in two parts so that this file holds none.
const UNFINISHED: &[(&str, &str)] = &[
    ("todo", "!"),
    ("unimplemented", "!"),
    ("FIX", "ME"),
    ("XX", "X"),
];

pub(super) fn check(source: &Source, findings: &mut Vec<Finding>) {
    for reserved in RESERVED {
        only_where_allowed(source, reserved, findings);
    }
    unfinished(source, findings);
    declared_names(source, findings);
    ignored_tests(source, findings);
}

fn only_where_allowed(source: &Source, reserved: &Reserved, findings: &mut Vec<Finding>) {
    let begins = |starts: &[&str]| starts.iter().any(|start| source.path.starts_with(start));
    let here = reserved.within.is_empty() || begins(reserved.within);
    if !here || begins(reserved.allowed) || source.path.ends_with("/build.rs") {
        return;
    }
    for (number, line) in source.running_code() {
        if let Some(code) = reserved.code.iter().find(|code| has_word(line, code)) {
            let why = format!("`{}`: {}", code.trim(), reserved.why);
            findings.push(Finding::new(source, number, reserved.rule, why));
        }
    }
}

/// Whether the words stand in the line, not as part of longer names.
fn has_word(line: &str, words: &str) -> bool {
    let part_of_name = |character: char| character.is_alphanumeric() || character == '_';
    let begins_name = words.starts_with(part_of_name);
    let ends_name = words.ends_with(part_of_name);
    line.match_indices(words).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + words.len()..].chars().next();
        let inside = begins_name && before.is_some_and(part_of_name);
        let goes_on = ends_name && after.is_some_and(part_of_name);
        !inside && !goes_on
    })
}

fn unfinished(source: &Source, findings: &mut Vec<Finding>) {
    for (index, line) in source.text.lines().enumerate() {
        for (head, tail) in UNFINISHED {
            let mark = format!("{head}{tail}");
            if has_word(line, &mark) {
                findings.push(Finding::new(
                    source,
                    index + 1,
                    "unfinished",
                    format!("{mark} is work for later"),
                ));
            }
        }
    }
}

/// A test that is switched off proves nothing; long ones belong to `./x full`.
fn ignored_tests(source: &Source, findings: &mut Vec<Finding>) {
    for (index, line) in source.code.lines().enumerate() {
        if line.trim_start().starts_with("#[ignore") {
            findings.push(Finding::new(
                source,
                index + 1,
                "ignored-tests",
                "a test that does not run proves nothing",
            ));
        }
    }
}

fn declared_names(source: &Source, findings: &mut Vec<Finding>) {
    for (index, line) in source.code.lines().enumerate() {
        let mut words = line
            .split_whitespace()
            .skip_while(|word| word.starts_with("pub"));
        let is_declaration = words
            .next()
            .is_some_and(|word| ["mod", "struct", "enum", "trait", "type", "fn"].contains(&word));
        let name = words.next().filter(|_| is_declaration).unwrap_or_default();
        let name = name
            .split(|character: char| !character.is_alphanumeric() && character != '_')
            .next();
        if let Some(word) = name
            .and_then(|name| empty_word(source, name))
            .filter(|_| !source.is_test())
        {
            findings.push(Finding::new(
                source,
                index + 1,
                "names",
                format!("'{word}' does not say what it does"),
            ));
        }
    }
}
