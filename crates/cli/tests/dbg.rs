//! The program against a fake agent: every command of the node client, under both of its names.

#[path = "dbg/agent.rs"]
mod agent;
#[path = "dbg/rows.rs"]
mod rows;

use agent::Agent;
use serde_json::{Value, json};

fn usual() -> Agent {
    Agent::start(|_| {})
}

/// What a good command prints.
fn good(agent: &Agent, words: &[&str]) -> String {
    let ran = agent.dbg(words);
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (0, ""),
        "{words:?}: {}",
        ran.out
    );
    ran.out
}

macro_rules! golden {
    ($($name:ident: $words:expr;)+) => { $(
        #[test]
        fn $name() {
            let words: &[&str] = &$words;
            insta::assert_snapshot!(good(&usual(), words));
        }
    )+ };
}

golden! {
    status_has_a_line_per_part: ["status"];
    status_in_full_lists_addresses_and_nodes: ["status", "--verbose"];
    status_is_json_as_the_agent_says_it: ["status", "-o", "json"];
    version_is_of_client_and_agent: ["version"];
    endpoints_have_a_row_per_label: ["endpoint", "list"];
    one_endpoint_is_json: ["endpoint", "get", "7"];
    health_of_an_endpoint_is_four_lines: ["endpoint", "health", "7"];
    labels_of_an_endpoint_are_lines: ["endpoint", "labels", "7"];
    the_log_of_an_endpoint_is_its_changes: ["endpoint", "log", "7"];
    the_config_of_an_endpoint_is_the_options_of_the_node: ["endpoint", "config", "7"];
    the_config_of_an_endpoint_is_json_as_the_agent_says_it: ["endpoint", "config", "7", "-o", "json"];
    identities_have_a_row_per_label: ["identity", "list"];
    identities_of_endpoints_are_counted: ["identity", "list", "--endpoints"];
    one_identity_is_a_table_too: ["identity", "get", "1001"];
    addresses_are_sorted_with_their_labels: ["ip", "list"];
    addresses_are_numbers_when_asked: ["ip", "list", "-n", "-v"];
    an_address_is_found_by_its_row: ["ip", "get", "10.0.1.2"];
    policy_is_rules_and_revision: ["policy", "get"];
    selectors_have_a_row_per_identity: ["policy", "selectors"];
    two_are_explained: ["policy", "explain", "shop/batch", "10.0.1.2", "8080"];
    services_have_a_row_per_backend: ["service", "list"];
    nodes_are_sorted_by_name: ["node", "list"];
    nodes_are_reached_by_each_way_or_not: ["health", "status"];
    secondary_addresses_are_shown_when_asked: ["health", "status", "--verbose"];
    health_is_one_line_per_node_when_asked: ["health", "status", "--succinct"];
    this_node_tells_its_load: ["health", "get"];
    tables_of_the_agent_are_listed: ["map", "list"];
    config_names_keys_that_nobody_knows: ["config"];
    debuginfo_is_sections: ["debuginfo"];
    reconcile_says_that_all_is_written: ["reconcile"];
    features_say_what_is_lost: ["features"];
}

#[test]
fn fields_are_picked_by_path_as_scripts_do() {
    let agent = usual();
    assert_eq!(
        good(&agent, &["policy", "get", "-o", "jsonpath={.revision}"]),
        "7\n"
    );
    assert_eq!(
        good(&agent, &["version", "-o", "jsonpath={$.Daemon.Version}"]),
        "axoneme 0.1.0\n"
    );
    assert_eq!(good(&agent, &["config", "get", "routing-mode"]), "tunnel\n");
    assert_eq!(good(&agent, &["status", "--brief"]), "OK\n");
    let yaml = good(&agent, &["identity", "get", "1001", "-o", "yaml"]);
    assert!(yaml.contains("id: 1001\n"), "{yaml}");
    let all: Value =
        serde_json::from_str(&good(&agent, &["service", "list", "--output=json"])).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 2);
}

#[test]
fn the_health_program_asks_the_socket_it_is_told() {
    let agent = usual();
    let socket = agent.directory.path().join("health.sock");
    let socket = format!("unix://{}", socket.display());
    let ran = agent.run_as("cilium-health", &["-H", &socket, "ping"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "OK\n"));
    let words = ["status", "--probe", "-o=json", "--host", &socket];
    let ran = agent.run_as("cilium-health", &words);
    let status: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(status["timestamp"], "2026-01-02T03:05:00Z");
    let asked = agent.asked.lock().unwrap().clone();
    assert_eq!(asked, ["GET /v1beta/healthz", "PUT /v1beta/status/probe"]);
    let ran = agent.run_as("cilium-health", &["-H", "/nowhere/h.sock", "status"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("enable-health-checking"), "{}", ran.err);
}

#[test]
fn the_status_names_nodes_that_are_not_reached() {
    let agent = Agent::start(|answers| {
        let health = json!({ "state": "Ok", "msg": "1/2 reachable" });
        answers["GET /v1/healthz"]["cluster"]["ciliumHealth"] = health;
    });
    let out = good(&agent, &["status"]);
    let shown = "Cluster health:        1/2 reachable   (2026-01-02T03:04:05Z)\n";
    assert!(out.contains(shown), "{out}");
    let broken = "default/n2: host 172.30.0.12 by HTTP: Connection refused; endpoint 10.0.2.9 by ICMP: no answer within 3s";
    assert!(out.contains(broken), "{out}");
    assert!(!out.contains("default/n1: OK"), "{out}");
    assert!(good(&agent, &["status", "--verbose"]).contains("default/n1: OK"));
}

#[test]
fn an_agent_that_is_not_ready_fails_the_status_with_what_it_waits_for() {
    let agent = Agent::start(|answers| {
        let status = json!({ "cilium": { "state": "Warning", "msg": "waiting for nodes" } });
        answers.insert(
            "GET /v1/healthz".into(),
            json!({ "status": 503, "body": "" }),
        );
        answers.insert(
            "GET /v1/debuginfo".into(),
            json!({ "cilium-status": status }),
        );
    });
    let ran = agent.dbg(&["status", "--brief"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (1, "cilium: Warning waiting for nodes\n")
    );
}

#[test]
fn a_kernel_that_is_not_as_desired_fails_reconcile() {
    let agent = Agent::start(|answers| {
        let table = json!({ "table": "addresses", "entries": 4, "write": 2, "remove": 0 });
        answers.insert(
            "GET /v1/axoneme/reconcile".into(),
            json!({ "settled": false, "waiting-for": [], "tables": [table] }),
        );
    });
    let ran = agent.dbg(&["reconcile"]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("changes are left to write"), "{}", ran.out);
}

#[test]
fn the_agents_own_words_are_the_error_and_a_missing_agent_is_told_with_what_to_do() {
    let agent = usual();
    let ran = agent.dbg(&["endpoint", "get", "99"]);
    assert_eq!((ran.code, ran.err.as_str()), (1, "Error: no endpoint 99\n"));
    let ran = agent.dbg(&["-H", "/nowhere/agent.sock", "status"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err
            .starts_with("Error: cannot reach the agent at /nowhere/agent.sock: "),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("--host"), "{}", ran.err);
}

#[test]
fn commands_that_are_not_built_say_why_in_one_sentence() {
    let agent = usual();
    for words in [
        &["bgp", "peers"][..],
        &["bpf", "vtep", "list"],
        &["fqdn", "cache", "list"],
        &["endpoint", "regenerate", "7"],
    ] {
        let ran = agent.dbg(words);
        assert_eq!(
            (ran.code, ran.out.as_str(), ran.err.lines().count()),
            (1, "", 1),
            "{words:?}"
        );
    }
    let ran = agent.dbg(&["no-such-thing"]);
    assert_eq!(
        ran.err,
        "Error: there is no command 'no-such-thing'; --help lists those that there are\n"
    );
}

#[test]
fn maps_that_are_not_there_are_told_with_their_place() {
    let agent = usual();
    let root = agent.directory.path().display().to_string();
    for words in [
        &["bpf", "ct", "list", "global"][..],
        &["bpf", "lb", "list"],
        &["map", "get", "node"],
        &["bpf", "policy", "get", "--all"],
    ] {
        let words: Vec<&str> = words.iter().copied().chain(["--bpf-root", &root]).collect();
        let ran = agent.dbg(&words);
        assert_eq!(ran.code, 1, "{words:?}");
        assert!(
            ran.err
                .starts_with("Error: cannot open the eBPF maps under [directory]; "),
            "{}",
            ran.err
        );
    }
}

#[test]
fn a_flow_server_that_is_not_there_fails_the_monitor() {
    let ran = usual().dbg(&["monitor", "-t", "drop"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("[directory]/no-flows.sock"), "{}", ran.err);
}

#[test]
fn an_option_of_an_endpoint_is_refused_before_the_agent_is_asked() {
    let agent = usual();
    let ran = agent.dbg(&["endpoint", "config", "7", "PolicyAuditMode=Enabled"]);
    assert_eq!(
        (ran.code, ran.out.as_str(), ran.err.as_str()),
        (
            1,
            "",
            "Error: endpoint config: PolicyAuditMode=Enabled cannot be set, endpoints have no options of their own; \
             `config` shows those of the node\n"
        )
    );
    assert!(agent.asked.lock().unwrap().is_empty());
}

#[test]
fn an_endpoint_is_disconnected_by_a_delete() {
    let agent = usual();
    let ran = agent.run_as("cilium-dbg", &["endpoint", "disconnect", "7"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(*agent.asked.lock().unwrap(), ["DELETE /v1/endpoint/7"]);
}

#[test]
fn a_running_agent_forbids_the_clean_up() {
    let agent = usual();
    let ran = agent.dbg(&[
        "post-uninstall-cleanup",
        "-f",
        "--bpf-root",
        "/nowhere",
        "--state-dir",
        "/nowhere",
    ]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("is running and would put everything back"),
        "{}",
        ran.err
    );
}

fn why(agent: &Agent, words: &[&str]) -> (i32, String) {
    let root = agent.directory.path().display().to_string();
    // Nobody listens there, and nothing else is asked: tests stay on this machine.
    let peer = format!("unix://{root}/no-peer.sock");
    let words: Vec<&str> = ["why"]
        .into_iter()
        .chain(words.iter().copied())
        .chain(["--bpf-root", &root, "--peer-server", &peer])
        .collect();
    let ran = agent.run_as("axoneme", &words);
    (ran.code, ran.out + &ran.err)
}

#[test]
fn why_tells_who_denied_what_through_which_service_and_on_which_way() {
    let (code, told) = why(&usual(), &["shop/batch", "shop/api:80"]);
    insta::assert_snapshot!(told);
    assert_eq!(code, 1);
}

#[test]
fn why_tells_that_two_may_talk() {
    let (code, told) = why(&usual(), &["shop/web", "10.0.1.2:8080"]);
    insta::assert_snapshot!(told);
    assert_eq!(code, 0);
}

#[test]
fn why_tells_that_a_service_has_no_backend() {
    let (code, told) = why(&usual(), &["shop/web", "shop/empty"]);
    insta::assert_snapshot!(told);
    assert_eq!(code, 1);
}

#[test]
fn why_asks_back_when_a_name_is_nobody_or_a_port_is_not_the_services() {
    let agent = usual();
    for (words, wanted) in [
        (
            ["shop/nobody", "shop/api"],
            "shop/nobody is not a pod of this node; ask on its node, give its address",
        ),
        (
            ["shop/web", "shop/nobody"],
            "shop/nobody is neither a pod of this node nor a service",
        ),
        (
            ["shop/web", "shop/api:81"],
            "shop/api has no such port; it has 80/TCP",
        ),
        (["shop/web", "shop/api:http"], "\"http\" is not a port"),
    ] {
        let (code, told) = why(&agent, &words);
        assert_eq!(code, 1);
        assert!(told.contains(wanted), "{told}");
    }
}

#[test]
fn completions_and_manual_pages_come_from_the_same_definitions() {
    let agent = usual();
    for shell in ["bash", "zsh", "fish"] {
        let ran = agent.run_as("axoneme", &["completion", shell]);
        assert!(
            ran.code == 0 && ran.out.contains("post-uninstall-cleanup"),
            "{shell}: {}",
            ran.err
        );
    }
    assert!(agent.run_as("axoneme", &["man"]).out.starts_with(".ie "));
    let pages = agent.directory.path().join("man");
    assert_eq!(
        agent
            .run_as("axoneme", &["man", "--dir", pages.to_str().unwrap()])
            .code,
        0
    );
    assert!(pages.join("axoneme-dbg-endpoint-list.1").exists());
}

#[test]
fn apply_says_what_is_wrong_before_it_asks_anybody() {
    let agent = usual();
    let file = agent.directory.path().join("broken.yaml");
    std::fs::write(&file, "apiVersion: v1\nkind: Pod\n").unwrap();
    let ran = agent.run_as("axoneme", &["apply", "-f", file.to_str().unwrap()]);
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (
            1,
            "Error: [directory]/broken.yaml, document 1: metadata.name is missing\n"
        )
    );
    std::fs::write(&file, "{apiVersion: v1, kind: Pod, metadata: {name: a}}").unwrap();
    let ran = agent.run_as("axoneme", &["apply", "-f", file.to_str().unwrap()]);
    assert_eq!(
        ran.err,
        "Error: no API server is known: name a kubeconfig with --kubeconfig or KUBECONFIG\n"
    );
}
