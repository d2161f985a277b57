//! Every rule finds its bad example, and leaves the good one beside it alone.

use super::tree::{Source, Tree};
use super::{check, lexer};

/// The rules that a file breaks, each once.
fn broken(path: &str, text: &str) -> Vec<&'static str> {
    let tree = Tree {
        files: vec![Source::new(path, text)],
    };
    let mut rules: Vec<_> = check(&tree)
        .into_iter()
        .map(|finding| finding.rule)
        .collect();
    rules.dedup();
    rules
}

/// The rules that a line of code breaks in a file that is fine otherwise.
fn broken_by(path: &str, line: &str) -> Vec<&'static str> {
    broken(path, &format!("//! A module.\n{line}\n"))
}

/// The rules that a dependency breaks.
fn broken_by_dependency(member: &str, name: &str) -> Vec<&'static str> {
    let text = format!(
        "[package]\nname = \"{member}\"\n[lints]\nworkspace = true\n[dependencies]\n{name}.workspace = true\n"
    );
    broken(&format!("crates/{member}/Cargo.toml"), &text)
}

const MODEL: &str = "crates/model/src/labels.rs";
const AGENT: &str = "crates/agent/src/status.rs";
const NONE: [&str; 0] = [];

#[test]
fn a_clean_file_breaks_nothing() {
    assert_eq!(broken_by(AGENT, "fn answer() -> u8 { 42 }"), NONE);
}

#[test]
fn a_finding_names_path_line_rule_and_reason() {
    let tree = Tree {
        files: vec![Source::new(AGENT, "//! A module.\n\nuse aya::Ebpf;\n")],
    };
    let findings = check(&tree);
    assert_eq!(
        findings[0].to_string(),
        "crates/agent/src/status.rs:3: bpf-calls: `aya`: only kernel calls bpf()"
    );
}

#[test]
fn datapath_has_no_dependencies_not_even_for_tests() {
    assert_eq!(
        broken_by_dependency("datapath", "bytes"),
        ["datapath-is-alone"]
    );
    let text = "[package]\n[lints]\nworkspace = true\n[dev-dependencies]\nproptest = \"1\"\n";
    assert_eq!(
        broken("crates/datapath/Cargo.toml", text),
        ["datapath-is-alone"]
    );
}

#[test]
fn the_arrows_between_our_crates_have_one_direction() {
    assert_eq!(
        broken_by_dependency("model", "store"),
        ["dependency-direction"]
    );
    assert_eq!(
        broken_by_dependency("agent", "apiserver"),
        ["dependency-direction"]
    );
    assert_eq!(
        broken_by_dependency("agent", "testkit"),
        ["dependency-direction"]
    );
    assert_eq!(broken_by_dependency("kernel", "model"), NONE);
}

#[test]
fn model_takes_no_runtime() {
    assert_eq!(
        broken_by_dependency("model", "tokio"),
        ["reserved-dependency"]
    );
    assert_eq!(broken_by_dependency("model", "serde"), NONE);
}

#[test]
fn netlink_cni_and_local_api_take_no_runtime() {
    for member in ["netlink", "cni", "local-api"] {
        assert_eq!(
            broken_by_dependency(member, "tokio"),
            ["reserved-dependency"],
            "{member}"
        );
    }
}

#[test]
fn only_store_depends_on_the_kubernetes_client() {
    assert_eq!(
        broken_by_dependency("agent", "kube"),
        ["reserved-dependency"]
    );
    assert_eq!(broken_by_dependency("store", "kube"), NONE);
    assert_eq!(broken_by(AGENT, "use kube::Client;"), ["kubernetes-client"]);
    assert_eq!(broken_by(AGENT, "let kube_proxy = 1;"), NONE);
}

#[test]
fn only_kernel_depends_on_aya_and_calls_bpf() {
    assert_eq!(
        broken_by_dependency("agent", "aya"),
        ["reserved-dependency"]
    );
    assert_eq!(broken_by_dependency("kernel", "aya"), NONE);
    assert_eq!(
        broken_by(AGENT, "libc::syscall(libc::SYS_bpf);"),
        ["bpf-calls"]
    );
    assert_eq!(
        broken_by("crates/kernel/src/sys.rs", "libc::SYS_bpf;"),
        NONE
    );
}

#[test]
fn only_netlink_and_kernel_open_netlink() {
    assert_eq!(
        broken_by_dependency("cli", "netlink-sys"),
        ["reserved-dependency"]
    );
    assert_eq!(
        broken_by(AGENT, "socket(libc::AF_NETLINK);"),
        ["netlink-sockets"]
    );
    assert_eq!(
        broken_by("crates/netlink/src/socket.rs", "libc::AF_NETLINK;"),
        NONE
    );
}

#[test]
fn every_member_takes_the_lints_of_the_workspace() {
    assert_eq!(
        broken("crates/model/Cargo.toml", "[package]\nname = \"model\"\n"),
        ["workspace-lints"]
    );
}

#[test]
fn a_manifest_that_is_no_toml_is_a_finding() {
    assert_eq!(
        broken("crates/model/Cargo.toml", "[package\n"),
        ["manifest"]
    );
}

#[test]
fn unsafe_code_lies_in_four_places() {
    let line = "unsafe { read() }";
    assert_eq!(broken_by(AGENT, line), ["unsafe"]);
    assert_eq!(broken_by("crates/datapath/src/packet.rs", line), ["unsafe"]);
    for path in [
        "crates/kernel/src/x.rs",
        "crates/netlink/src/x.rs",
        "crates/datapath/src/abi/x.rs",
    ] {
        assert_eq!(broken_by(path, line), NONE, "{path}");
    }
    assert_eq!(broken_by(AGENT, "#![forbid(unsafe_code)]"), NONE);
}

#[test]
fn model_has_no_files_sockets_threads_or_clock() {
    for line in [
        "use std::fs;",
        "use std::net::UdpSocket;",
        "tokio::time::sleep(x);",
        "let now = Instant::now();",
        "let now = SystemTime::UNIX_EPOCH;",
        "let now = jiff::Timestamp::now();",
        "std::process::exit(1);",
        "async fn f() {}",
    ] {
        assert_eq!(broken_by(MODEL, line), ["pure-model"], "{line}");
    }
    assert_eq!(broken_by(MODEL, "use std::net::IpAddr;"), NONE);
}

#[test]
fn interfaces_hold_no_logic() {
    assert_eq!(
        broken_by("crates/api/src/flow.rs", "pub async fn send() {}"),
        ["plain-interfaces"]
    );
}

#[test]
fn only_wirings_spawn() {
    assert_eq!(
        broken_by(AGENT, "tokio::spawn(work());"),
        ["top-level-tasks"]
    );
    assert_eq!(
        broken_by(AGENT, "std::thread::spawn(work);"),
        ["top-level-tasks"]
    );
    assert_eq!(
        broken_by("crates/agent/src/wiring.rs", "tokio::spawn(work());"),
        NONE
    );
    assert_eq!(
        broken_by("crates/agent/src/status/tests.rs", "tokio::spawn(work());"),
        NONE
    );
}

#[test]
fn what_runs_on_a_node_does_not_panic() {
    for line in [
        "x.unwrap();",
        "x.expect(y);",
        "panic!(y);",
        "unreachable!();",
    ] {
        assert_eq!(broken_by(AGENT, line), ["no-panics"], "{line}");
    }
    assert_eq!(broken_by(AGENT, "x.unwrap_or(1); // never .unwrap()"), NONE);
    let in_tests = "fn f() {}\n#[cfg(test)]\nmod tests {\n    fn t() { x.unwrap(); }\n}";
    assert_eq!(broken_by(AGENT, in_tests), NONE);
}

#[test]
fn unfinished_work_is_found_in_code_and_comments() {
    for (head, tail) in [
        ("todo", "!()"),
        ("unimplemented", "!()"),
        ("// FIX", "ME"),
        ("// XX", "X"),
    ] {
        assert_eq!(
            broken_by(AGENT, &format!("{head}{tail}")),
            ["unfinished"],
            "{head}"
        );
    }
}

#[test]
fn a_test_that_is_switched_off_is_a_finding() {
    let line = "#[test]\n#[ignore = \"slow\"]\nfn t() {}";
    assert_eq!(
        broken_by("crates/agent/src/status/tests.rs", line),
        ["ignored-tests"]
    );
}

#[test]
fn names_that_say_nothing_are_found_in_paths_and_declarations() {
    assert_eq!(broken_by("crates/agent/src/util.rs", ""), ["names"]);
    assert_eq!(
        broken_by("crates/agent/src/net_helpers/x.rs", ""),
        ["names"]
    );
    assert_eq!(
        broken_by(AGENT, "pub(crate) struct EndpointManager;"),
        ["names"]
    );
    assert_eq!(broken_by(AGENT, "mod common;"), ["names"]);
    assert_eq!(broken_by(AGENT, "struct Utilisation;"), NONE);
    let kernel = "crates/kernel/src/probe.rs";
    assert_eq!(broken_by(kernel, "fn has_helper() {}"), NONE);
    assert_eq!(broken_by(kernel, "struct MapManager;"), ["names"]);
}

#[test]
fn modules_are_named_by_their_file() {
    assert_eq!(
        broken_by("crates/agent/src/endpoint/mod.rs", ""),
        ["no-mod-rs"]
    );
}

#[test]
fn a_module_begins_with_what_it_is_for() {
    assert_eq!(broken(AGENT, "use std::fmt;\n"), ["first-line"]);
    assert_eq!(
        broken("crates/agent/src/status/tests.rs", "use super::*;\n"),
        NONE
    );
}

#[test]
fn a_file_has_500_lines_without_its_tests() {
    let long = "//! A module.\n".to_owned() + &"fn f() {}\n".repeat(500);
    assert_eq!(broken(AGENT, &long), ["file-size"]);
    let tested = "//! A module.\n".to_owned()
        + &"fn f() {}\n".repeat(499)
        + "#[cfg(test)]\nmod tests {\n"
        + &"    fn t() {}\n".repeat(500)
        + "}\n";
    assert_eq!(broken(AGENT, &tested), NONE);
}

#[test]
fn paths_of_one_machine_are_found() {
    for folder in ["work", "root", "home", "tmp"] {
        let line = format!("const PLACE: &str = \"/{folder}/x\";");
        assert_eq!(broken_by(AGENT, &line), ["no-machine-paths"], "{folder}");
    }
    let scratch = format!("write(\"/{}/x\");", "tmp");
    assert_eq!(
        broken_by("crates/agent/src/status/tests.rs", &scratch),
        NONE
    );
    assert_eq!(broken_by(AGENT, "let group = \"kubepods/work/x\";"), NONE);
    let settings = format!("\"/{}/cilium/config-map\"", "tmp");
    assert_eq!(broken_by(AGENT, &settings), NONE);
}

#[test]
fn built_objects_and_unread_snapshots_are_found() {
    assert_eq!(
        broken("crates/kernel/datapath.o", "\u{7f}ELF"),
        ["no-built-files"]
    );
    assert_eq!(
        broken("crates/cli/tests/x.snap.new", "text"),
        ["fresh-golden-files"]
    );
}

#[test]
fn comments_strings_and_characters_are_no_code() {
    let text = "a // b\n/* c /* d */ e */f \"g \\\" h\" r#\"i \" j\"# 'k' '\\'' '\\u{1f}' l<'m> b\"n\" \"o\np\" q";
    let code = lexer::code(text);
    assert_eq!(code.lines().count(), text.lines().count());
    let left: Vec<&str> = code.split_whitespace().collect();
    assert_eq!(left, ["a", "f", "l<'m>", "b", "q"]);
}
