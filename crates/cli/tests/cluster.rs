//! The cluster family against a fake cluster: status, configuration, connectivity, sysdump, installation.

#![allow(clippy::unwrap_used, reason = "a failed step of a test ends the test")]

#[path = "cluster/exec.rs"]
mod exec;
#[path = "cluster/fake.rs"]
mod fake;

use std::io::{BufRead, Read, Write};
use std::os::unix::fs::PermissionsExt;

use fake::{Fake, ran};
use serde_json::{Value, json};

#[test]
fn a_cluster_that_is_well_is_told_so_with_exit_code_0() {
    let fake = Fake::start();
    let ran = fake.run(&["status"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    insta::assert_snapshot!(ran.out);
}

#[test]
fn an_agent_that_is_not_well_fails_the_status_and_json_says_the_same() {
    let fake = Fake::start();
    fake.shared.content().status =
        Some(json!({ "cilium": { "state": "Failure", "msg": "no policy" } }));
    fake.shared.content().broken = "cilium-b".to_owned();
    let ran = fake.run(&["status", "-o", "json"]);
    assert_eq!(ran.code, 1);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let errors: Vec<String> = report["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| of["what"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert_eq!(errors[0], "agent: no policy");
    assert!(
        errors[1].contains("the kubelet does not answer"),
        "{}",
        errors[1]
    );
}

#[test]
fn waiting_ends_when_all_is_well_and_says_meanwhile_what_it_waits_for() {
    let fake = Fake::start();
    fake.shared.content().status =
        Some(json!({ "cilium": { "state": "Failure", "msg": "no policy yet" } }));
    let shared = fake.shared.clone();
    std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_secs(3));
        shared.content().status = None;
    });
    let ran = fake.run(&["status", "--wait", "--wait-duration", "60s"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(
        ran.err.contains("no policy yet (and 1 more)"),
        "{}",
        ran.err
    );
}

#[test]
fn waiting_has_an_end() {
    let fake = Fake::start();
    fake.shared
        .content()
        .objects
        .remove("/apis/apps/v1/namespaces/kube-system/daemonsets/cilium");
    let ran = fake.run(&["status", "--wait", "--wait-duration", "1s"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.out.contains("DaemonSet cilium: is not there"),
        "{}",
        ran.out
    );
}

#[test]
fn the_configuration_is_shown_set_and_removed_and_agents_are_restarted() {
    let fake = Fake::start();
    assert_eq!(
        fake.run(&["config", "view"]).out,
        "enable-ipv4   true\nrouting-mode  tunnel\n"
    );
    let ran = fake.run(&["config", "set", "enable-ipv4", "false"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (
            0,
            "enable-ipv4 is set to false\ndaemonsets/cilium is restarted\ndeployments/cilium-operator is restarted\n"
        )
    );
    let daemon_set =
        fake.shared.content().objects["/apis/apps/v1/namespaces/kube-system/daemonsets/cilium"]
            .clone();
    assert!(
        daemon_set
            .pointer("/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt")
            .is_some()
    );
    let ran = fake.run(&["config", "set", "enable-ipv4", "false"]);
    assert_eq!(ran.out, "enable-ipv4 is so already\n");
    let ran = fake.run(&["config", "delete", "routing-mode", "--restart=false"]);
    assert_eq!(
        ran.out,
        "routing-mode is removed\nIt counts when agents and operator are restarted\n"
    );
    assert_eq!(
        fake.run(&["config", "view", "-o", "json"]).out,
        "{\n  \"enable-ipv4\": \"false\"\n}\n"
    );
}

#[test]
fn the_context_and_the_versions_are_told() {
    let fake = Fake::start();
    let ran = fake.run(&["context"]);
    assert!(ran.out.starts_with("Context:     lab\n"), "{}", ran.out);
    assert!(ran.out.contains("Others:      other\n"), "{}", ran.out);
    assert!(
        fake.run(&["context", "--context", "gone"])
            .err
            .contains("there is no context gone")
    );
    let ran = fake.run(&["version"]);
    assert_eq!(
        ran.out,
        format!(
            "axoneme {}\nagents: 0.1.0 on 2 nodes\n",
            env!("CARGO_PKG_VERSION")
        )
    );
    assert_eq!(
        fake.run(&["version", "--client"]).out,
        format!("axoneme {}\n", env!("CARGO_PKG_VERSION"))
    );
}

/// The command of a connectivity test, and of it these tests.
fn test(fake: &Fake, tests: &str, more: &[&str]) -> fake::Ran {
    let words = [
        "connectivity",
        "test",
        "--curl-image",
        "agnhost:1",
        "--test",
        tests,
    ];
    fake.run(&[&words, more].concat())
}

#[test]
fn tests_pass_where_pods_reach_each_other_unless_a_policy_is_there() {
    let fake = Fake::start();
    let tests = "^no-policies$,^no-policies-extra$,^all-egress-deny,^pod-to-itself,^health$,^no-unexpected,^check-log";
    let ran = test(
        &fake,
        tests,
        &["--flow-validation", "strict", "--junit-file", "results.xml"],
    );
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let junit = std::fs::read_to_string(fake.directory.path().join("results.xml")).unwrap();
    assert!(
        junit.contains("<testsuites tests=\"8\" failures=\"0\" skipped=\"1\""),
        "{junit}"
    );
    assert!(
        ran.out.contains("7 passed, 0 failed, 1 skipped"),
        "{}",
        ran.out
    );
    let left: Vec<String> = fake
        .shared
        .content()
        .objects
        .keys()
        .filter(|path| path.contains("policies/"))
        .cloned()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn nodes_that_do_not_reach_each_other_fail_by_name_and_way() {
    let fake = Fake::start();
    let status =
        json!({ "cilium": { "state": "Ok" }, "cluster": { "ciliumHealth": { "state": "Ok" } } });
    fake.shared.content().status = Some(status);
    let address = |http: &str| json!({ "ip": "10.0.0.1", "icmp": { "latency": 1 }, "http": { "status": http } });
    let health = |http: &str| {
        json!({ "nodes": [{ "name": "default/n2", "host": { "primary-address": address("") },
            "health-endpoint": { "primary-address": address(http) } }] })
    };
    fake.shared.content().health = Some(health(""));
    let ran = test(&fake, "^health$", &[]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(
        ran.out.contains("1 passed, 0 failed, 0 skipped"),
        "{}",
        ran.out
    );
    fake.shared.content().health = Some(health("Connection refused"));
    let ran = test(&fake, "^health$", &[]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    let wrong = "default/n2: its endpoint is not reached by http: Connection refused";
    assert!(ran.out.contains(wrong), "{}", ran.out);
}

#[test]
fn a_verdict_that_is_deliberately_wrong_makes_the_run_red() {
    let fake = Fake::start();
    for (name, wanted, got) in [
        (
            "no-policies-extra",
            "silence: no rule of the caller's egress allows it",
            "an answer",
        ),
        ("all-egress-deny", "an answer", "silence"),
    ] {
        let ran = test(&fake, &format!("^{name}$"), &["--invert", name]);
        assert_eq!(ran.code, 1, "{}", ran.out);
        assert!(
            ran.out
                .contains(&format!("expected  {wanted}\n    got       {got}\n")),
            "{}",
            ran.out
        );
        assert!(
            ran.out.contains("0 passed, 1 failed, 0 skipped"),
            "{}",
            ran.out
        );
    }
}

#[test]
fn a_network_that_denies_what_a_policy_allows_fails_by_name() {
    let fake = Fake::start();
    let ran = test(&fake, "^client-egress$", &["--flow-validation", "disabled"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.out.contains("pod-to-pod/client -> echo-same-node"),
        "{}",
        ran.out
    );
    assert!(
        ran.out
            .contains("from      cilium-test-1/client-5d4f8c-abcde on n1"),
        "{}",
        ran.out
    );
}

#[test]
fn flows_that_are_missing_are_a_warning_or_a_failure() {
    let fake = Fake::start();
    // Denied by a rule, and the flows of the fake cluster always say that none allows it.
    let ran = test(&fake, "^all-entities-deny$", &[]);
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert!(
        ran.out
            .contains("no flow says that it was dropped with POLICY_DENY at EGRESS"),
        "{}",
        ran.out
    );
    let ran = test(
        &fake,
        "^all-entities-deny$",
        &["--flow-validation", "strict"],
    );
    assert_eq!(ran.code, 1, "{}", ran.out);
}

#[test]
fn drops_and_errors_since_the_beginning_fail_the_run_and_a_sysdump_is_collected() {
    let fake = Fake::start();
    {
        let mut content = fake.shared.content();
        "2026-01-01T00:00:00Z ERROR cannot write".clone_into(&mut content.log);
        (content.dropped, content.drops_by_call) = (1000, 1);
    }
    let ran = test(
        &fake,
        "^no-policies-extra$,^no-unexpected,^check-log",
        &["--collect-sysdump-on-failure"],
    );
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    assert!(
        ran.out
            .contains("n1: 12 packets were dropped (egress): CT: Map insertion failed"),
        "{}",
        ran.out
    );
    assert!(
        ran.out
            .contains("cilium-a/cilium-agent: 2026-01-01T00:00:00Z ERROR cannot write"),
        "{}",
        ran.out
    );
    assert!(
        ran.err
            .contains("what the cluster is like is in axoneme-sysdump-"),
        "{}",
        ran.err
    );
}

#[test]
fn namespaces_share_the_tests() {
    let fake = Fake::start();
    let ran = test(
        &fake,
        "^no-policies,^all-egress-deny",
        &["--test-concurrency", "2", "--json"],
    );
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let all: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
    let mut namespaces: Vec<&str> = all
        .iter()
        .map(|of| of["namespace"].as_str().unwrap())
        .collect();
    namespaces.sort_unstable();
    assert_eq!(
        namespaces,
        [
            "cilium-test-1",
            "cilium-test-1",
            "cilium-test-2",
            "cilium-test-2"
        ]
    );
}

#[test]
fn a_namespace_of_before_is_used_again_or_made_anew() {
    let fake = Fake::start();
    assert_eq!(test(&fake, "^no-policies-extra$", &[]).code, 0);
    // What an interrupted run left would deny all.
    let left = json!({ "kind": "NetworkPolicy", "metadata": { "name": "left", "namespace": "cilium-test-1",
        "labels": { "app.kubernetes.io/managed-by": "axoneme-connectivity-test" } } });
    let path = "/apis/networking.k8s.io/v1/namespaces/cilium-test-1/networkpolicies/left";
    fake.shared.content().objects.insert(path.to_owned(), left);
    let ran = test(&fake, "^no-policies-extra$", &[]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let ran = test(&fake, "^no-policies-extra$", &["--force-deploy"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let deleted = "DELETE /api/v1/namespaces/cilium-test-1".to_owned();
    assert!(fake.shared.content().asked.contains(&deleted));
}

/// The files of an archive.
fn unpack(path: &std::path::Path) -> Vec<(String, String)> {
    let file = std::fs::File::open(path).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let mut all = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        all.push((entry.path().unwrap().display().to_string(), text));
    }
    all
}

/// Secrets wherever somebody may have put one.
fn plant(fake: &Fake) {
    let mut content = fake.shared.content();
    let key = "-----BEGIN RSA PRIVATE KEY-----\nCANARY-of-a-key\n-----END RSA PRIVATE KEY-----";
    content.objects.insert("/api/v1/namespaces/kube-system/secrets/hubble-ca-secret".to_owned(),
        json!({ "metadata": { "name": "hubble-ca-secret" }, "data": { "ca.key": "CANARY-of-a-secret" } }));
    let mut web = fake::pod("shop", "web", "n1", "10.0.0.1", &json!({}));
    web["metadata"]["annotations"] =
        json!({ "kubectl.kubernetes.io/last-applied-configuration": "CANARY-of-an-annotation" });
    web["spec"]["containers"][0]["env"] =
        json!([{ "name": "DATABASE", "value": "CANARY-of-an-environment" }]);
    web["spec"]["containers"][0]["args"] = json!(["--password=CANARY-of-an-argument"]);
    content
        .objects
        .insert("/api/v1/namespaces/shop/pods/web".to_owned(), web);
    content.objects.insert("/api/v1/namespaces/kube-system/configmaps/cilium-ca".to_owned(),
        json!({ "metadata": { "name": "cilium-ca" }, "data": { "ca.key": key, "etcd-password": "CANARY-of-a-configmap" } }));
    content.objects.insert("/api/v1/namespaces/shop/events/e".to_owned(),
        json!({ "metadata": { "name": "e" }, "message": "pull https://me:CANARY-of-an-event@images.example/x failed" }));
    content.log = format!(
        "GET / Authorization: Bearer CANARY-of-a-log\n{key}\ntoken=CANARY-of-a-second-log\n"
    );
    content.flows.push(json!({ "l7": { "http": { "url": "http://me:CANARY-of-a-flow@shop/", "headers": [
        { "key": "Authorization", "value": "CANARY-of-a-header" }, { "key": "Cookie", "value": "CANARY-of-a-cookie" }] } } }));
    content.status =
        Some(json!({ "cilium": { "state": "Ok", "msg": "kvstore password: CANARY-of-a-status" } }));
}

#[test]
fn a_sysdump_has_what_is_needed_and_no_secret() {
    let fake = Fake::start();
    plant(&fake);
    let ran = fake.run(&["sysdump", "--output-filename", "dump.tar.gz"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let path = fake.directory.path().join("dump.tar.gz");
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let files = unpack(&path);
    for (name, text) in &files {
        assert!(!text.contains("CANARY"), "{name}: {text}");
    }
    let asked = fake.shared.content().asked.clone();
    assert!(
        !asked.iter().any(|of| of.contains("secrets")),
        "secrets were read"
    );
    let has = |wanted: &str| {
        files
            .iter()
            .any(|(name, text)| name == wanted && !text.is_empty())
    };
    for wanted in [
        "objects/pods.json",
        "objects/nodes.json",
        "objects/configmaps.json",
        "objects/ciliumnetworkpolicies.json",
        "objects/events.json",
        "logs/cilium-a/cilium-agent.log",
        "logs/cilium-operator-x/cilium-operator.log",
        "agents/n1/status.json",
        "agents/n2/endpoints.json",
        "agents/n2/bpf-ct.json",
        "agents/n1/flows.json",
        "objects/version.json",
    ] {
        assert!(
            has(wanted),
            "{wanted} is not in {:?}",
            files.iter().map(|(name, _)| name).collect::<Vec<_>>()
        );
    }
    // What was around the secrets is there.
    let text = |wanted: &str| {
        files
            .iter()
            .find(|(name, _)| name == wanted)
            .unwrap()
            .1
            .clone()
    };
    assert!(text("objects/pods.json").contains("DATABASE"));
    assert!(text("agents/n1/flows.json").contains("Authorization"));
}

#[test]
fn a_pod_that_does_not_answer_costs_its_own_files_only() {
    let fake = Fake::start();
    fake.shared.content().broken = "cilium-b".to_owned();
    let ran = fake.run(&["sysdump", "--output-filename", "dump.tar.gz"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let files = unpack(&fake.directory.path().join("dump.tar.gz"));
    let errors = &files
        .iter()
        .find(|(name, _)| name == "errors.txt")
        .unwrap()
        .1;
    // The health program is in no pod of the fake cluster.
    assert!(errors.lines().all(|line| line.starts_with("agents/n2/") || line.starts_with("agents/n1/health.json")), "{errors}");
    assert!(errors.contains("agents/n2/status.json: "), "{errors}");
    assert!(
        files
            .iter()
            .any(|(name, _)| name == "agents/n1/status.json")
    );
    assert!(
        files
            .iter()
            .any(|(name, _)| name == "logs/cilium-b/cilium-agent.log")
    );
}

#[test]
fn without_helm_it_is_said_how_to_get_it() {
    let fake = Fake::start();
    std::fs::create_dir(fake.directory.path().join("chart")).unwrap();
    let mut command = fake.command(&["install", "--chart-directory", "chart"]);
    let ran = ran(command.env("PATH", fake.directory.path()));
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("helm is not there") && ran.err.contains("helm.sh/docs/intro/install"),
        "{}",
        ran.err
    );
}

#[test]
fn helm_is_run_for_the_cluster_that_is_meant() {
    let fake = Fake::start();
    let helm = fake.directory.path().join("own-helm");
    let script = "#!/bin/sh\necho \"$@\"\necho \"$KUBECONFIG\"\n";
    std::fs::write(&helm, script).unwrap();
    std::fs::set_permissions(&helm, std::fs::Permissions::from_mode(0o755)).unwrap();
    let words = [
        "upgrade",
        "--chart-directory",
        "chart",
        "--context",
        "other",
        "-n",
        "net",
        "--set",
        "a=1",
    ];
    let ran = ran(fake.command(&words).env("HELM", &helm));
    let kubeconfig = fake
        .directory
        .path()
        .join("kubeconfig")
        .display()
        .to_string();
    assert_eq!(
        ran.out,
        format!(
            "upgrade cilium chart --reset-then-reuse-values --set a=1 --namespace net --kube-context other\n{kubeconfig}\n"
        )
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
}

/// A relay, whose service names the port of its pod.
fn add_relay(fake: &Fake) {
    let mut relay = fake::pod(
        "kube-system",
        "hubble-relay-x",
        "n1",
        "10.0.0.9",
        &json!({ "k8s-app": "hubble-relay" }),
    );
    relay["spec"]["containers"] =
        json!([{ "name": "hubble-relay", "ports": [{ "name": "grpc", "containerPort": 4245 }] }]);
    let service = json!({ "spec": { "ports": [{ "port": 80, "targetPort": "grpc" }] } });
    let mut content = fake.shared.content();
    content.objects.insert(
        "/api/v1/namespaces/kube-system/pods/hubble-relay-x".to_owned(),
        relay,
    );
    content.objects.insert(
        "/api/v1/namespaces/kube-system/services/hubble-relay".to_owned(),
        service,
    );
}

#[test]
fn a_local_port_leads_to_the_relay_until_it_is_ended() {
    let fake = Fake::start();
    let words = ["hubble", "port-forward", "--port-forward-port", "0"];
    let ran = fake.run(&words);
    assert!(
        ran.err.contains("there is no hubble-relay in kube-system"),
        "{}",
        ran.err
    );
    add_relay(&fake);
    let mut child = fake
        .command(&words)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    let (address, rest) = line.split_once(' ').unwrap();
    assert_eq!(
        rest,
        "leads to port 4245 of hubble-relay; end with Ctrl-C\n"
    );
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(b"hello").unwrap();
    let mut back = [0; 5];
    stream.read_exact(&mut back).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(&back, b"HELLO");
}

#[test]
fn the_flow_client_asks_a_relay_through_a_forwarded_port() {
    let fake = Fake::start();
    add_relay(&fake);
    // What answers there is no flow server, but it was the client's own words that came to it.
    let ran = fake.run(&[
        "hubble",
        "status",
        "-P",
        "--port-forward-port",
        "0",
        "--timeout",
        "3s",
        "--request-timeout",
        "3s",
    ]);
    assert_eq!(ran.code, 1);
    let forwarded = fake.shared.content().forwarded.clone();
    assert!(
        forwarded.starts_with(b"PRI * HTTP/2.0"),
        "{:?} {}",
        String::from_utf8_lossy(&forwarded),
        ran.err
    );
}

#[test]
fn throughput_is_measured_between_pods_and_nodes() {
    let fake = Fake::start();
    let words = [
        "connectivity",
        "perf",
        "--curl-image",
        "agnhost:1",
        "--duration",
        "1",
        "--samples",
        "2",
    ];
    let ran = fake.run(&words);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    insta::assert_snapshot!(ran.out);
}
