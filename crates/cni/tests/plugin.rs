//! The plugin's commands in real namespaces, against an agent that answers, fails at every step, or is away.

#![allow(clippy::too_many_lines, reason = "a test reads best as one story")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

#[path = "plugin/fake.rs"]
mod fake;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use cni::attachment::Attachment;
use cni::{Limits, Outcome};
use fake::{FakeAgent, Fault};
use netlink::link::{Veth, VethEnd};
use netlink::route::{Kind, Route};
use netlink::{AdminState, Family, Handle, NamedNamespace, address, link, route, sysctl};
use serde_json::{Value, json};

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A node (namespace, agent, state directory) with one pod.
struct Bench {
    agent: Option<FakeAgent>,
    pod: NamedNamespace,
    host: NamedNamespace,
    in_pod: Handle,
    in_host: Handle,
    directory: tempfile::TempDir,
    attachment: Attachment,
}

/// `None` (with a printed reason) without root; with CI=true that is a failure.
fn bench() -> Option<Bench> {
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let name = |what: &str| format!("axt-{}-cni-{what}{number}", std::process::id());
    let host = match NamedNamespace::create(&name("h")) {
        Ok(host) => host,
        Err(error) if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
            panic!("needs root: {error}")
        }
        Err(error) => {
            println!("skipped, needs root: {error}");
            return None;
        }
    };
    let pod = NamedNamespace::create(&name("p")).expect("pod");
    let directory = tempfile::tempdir().expect("directory");
    let agent = FakeAgent::start(
        directory.path().join("agent.sock"),
        Handle::open_in(&host).expect("handle"),
    );
    Some(Bench {
        agent: Some(agent),
        in_pod: Handle::open_in(&pod).expect("handle"),
        in_host: Handle::open_in(&host).expect("handle"),
        pod,
        host,
        directory,
        attachment: Attachment {
            container: format!("c{number}"),
            interface: "eth0".into(),
        },
    })
}

const LIMITS: Limits = Limits {
    reach: Duration::from_millis(300),
    answer: Duration::from_secs(10),
    brief: Duration::from_secs(2),
};

impl Bench {
    fn agent(&self) -> &FakeAgent {
        self.agent.as_ref().expect("the agent runs")
    }

    fn variables(&self, command: &str) -> BTreeMap<&'static str, String> {
        [
            ("CNI_COMMAND", command.to_owned()),
            ("CNI_CONTAINERID", self.attachment.container.clone()),
            ("CNI_NETNS", self.pod.path().display().to_string()),
            ("CNI_IFNAME", self.attachment.interface.clone()),
            (
                "CNI_ARGS",
                "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_UID=u-1"
                    .to_owned(),
            ),
        ]
        .into()
    }

    fn config(&self, more: &Value) -> Value {
        let mut config = json!({
            "cniVersion": "1.1.0", "name": "axoneme", "type": "axoneme-cni",
            "agent-socket": self.directory.path().join("agent.sock"), "state-dir": self.directory.path(),
            "log-file": self.directory.path().join("cni.log"), "enable-debug": true,
        });
        for (key, value) in more.as_object().expect("object") {
            config[key] = value.clone();
        }
        config
    }

    fn call_with(
        &self,
        limits: Limits,
        variables: &BTreeMap<&'static str, String>,
        more: &Value,
    ) -> Outcome {
        let stdin = self.config(more).to_string();
        self.host
            .run(|| {
                cni::run(
                    &|name| variables.get(name).cloned(),
                    stdin.as_bytes(),
                    limits,
                )
            })
            .expect("enter the node")
    }

    fn call(&self, command: &str, more: &Value) -> Outcome {
        self.call_with(LIMITS, &self.variables(command), more)
    }

    /// The result of an ADD that must succeed.
    fn add(&self) -> Value {
        let outcome = self.call("ADD", &json!({}));
        assert_eq!(outcome.exit, 0, "{}", outcome.stdout);
        serde_json::from_str(&outcome.stdout).expect("result")
    }

    /// Code and sentence of a call that must fail.
    fn refused(&self, command: &str, more: &Value) -> (u64, String) {
        code(&self.call(command, more))
    }

    fn queued(&self) -> Vec<Value> {
        let Ok(entries) = std::fs::read_dir(self.directory.path().join("deleteQueue")) else {
            return Vec::new();
        };
        entries
            .map(|entry| entry.expect("entry").path())
            .filter(|path| path.extension().is_some_and(|e| e == "delete"))
            .map(|path| serde_json::from_slice(&std::fs::read(path).expect("read")).expect("json"))
            .collect()
    }

    /// Links of node and pod, without what every namespace has.
    fn links(&self) -> Vec<String> {
        [&self.in_host, &self.in_pod]
            .into_iter()
            .flat_map(|handle| handle.links().expect("list"))
            .filter(|link| link.kind == "veth")
            .map(|link| link.name)
            .collect()
    }
}

fn code(outcome: &Outcome) -> (u64, String) {
    assert_eq!(outcome.exit, 1, "{}", outcome.stdout);
    let error: Value = serde_json::from_str(&outcome.stdout).expect("error object");
    (
        error["code"].as_u64().expect("code"),
        error["msg"].as_str().expect("msg").to_owned(),
    )
}

macro_rules! need {
    ($bench:expr) => {
        match $bench {
            Some(bench) => bench,
            None => return,
        }
    };
}

#[test]
fn add_returns_what_it_made_and_the_agent_gets_what_it_needs() {
    let bench = need!(bench());
    let result = bench.add();
    let host_link = bench.attachment.host_link();
    let inner = bench.in_pod.link("eth0").expect("eth0");
    let outer = bench.in_host.link(&host_link).expect("host end");
    let netns = bench.pod.path().display().to_string();
    let (inner_mac, outer_mac) = (
        inner.mac.expect("mac").to_string(),
        outer.mac.expect("mac").to_string(),
    );
    let expected = json!({
        "cniVersion": "1.1.0",
        "interfaces": [
            {"name": host_link, "mac": outer_mac, "mtu": 1500},
            {"name": "eth0", "mac": inner_mac, "mtu": 1500, "sandbox": netns},
        ],
        "ips": [
            {"interface": 1, "address": "10.97.0.2/32", "gateway": "10.97.0.1"},
            {"interface": 1, "address": "fd00:97::3/128", "gateway": "fd00:97::1"},
        ],
        "routes": [
            {"dst": "10.97.0.1/32"}, {"dst": "0.0.0.0/0", "gw": "10.97.0.1", "mtu": 1450},
            {"dst": "fd00:97::1/128"}, {"dst": "::/0", "gw": "fd00:97::1", "mtu": 1450},
        ],
        "dns": {},
    });
    assert_eq!(result, expected);
    assert_eq!(outer.state(), AdminState::Up, "the agent brought it up");
    let body = bench.agent().state().endpoints[&bench.attachment.to_string()].clone();
    let base = bench
        .pod
        .path()
        .file_name()
        .expect("name")
        .to_string_lossy()
        .into_owned();
    let expected = json!({
        "container-id": bench.attachment.container, "container-interface-name": "eth0",
        "container-netns-path": format!("/var/run/cilium/netns/{base}"), "properties": {"cni-netns-path": netns},
        "interface-name": host_link, "interface-index": outer.index, "mac": inner_mac, "host-mac": outer_mac,
        "netns-cookie": bench.pod.cookie().expect("cookie").to_string(), "state": "waiting-for-identity",
        "k8s-pod-name": "web", "k8s-namespace": "shop", "k8s-uid": "u-1", "sync-build-endpoint": true,
        "addressing": {
            "ipv4": "10.97.0.2", "ipv4-expiration-uuid": "uuid-2", "ipv4-pool-name": "default",
            "ipv6": "fd00:97::3", "ipv6-expiration-uuid": "uuid-3", "ipv6-pool-name": "default",
        },
    });
    assert_eq!(body, expected);
    assert_eq!(
        bench.agent().state().requests,
        [
            "GET /v1/config",
            "POST /v1/ipam?family=ipv4&owner=shop%2Fweb",
            "POST /v1/ipam?family=ipv6&owner=shop%2Fweb",
            "PUT /v1/endpoint/cilium-local:0"
        ]
    );
    assert_eq!(
        sysctl::read_in(&bench.pod, "net.ipv4.ip_local_reserved_ports").expect("sysctl"),
        "8472"
    );
    let log = std::fs::read_to_string(bench.directory.path().join("cni.log")).expect("log");
    assert!(
        log.contains("level=info msg=\"done\" command=ADD attachment=")
            && [
                " elapsed-us=",
                " configuration-us=",
                " endpoint-us=",
                " pod-us="
            ]
            .iter()
            .all(|time| log.contains(time)),
        "{log}"
    );
}

#[test]
fn what_add_made_can_be_checked_and_deleted_twice() {
    let bench = need!(bench());
    let result = bench.add();
    let previous = json!({"prevResult": result});
    assert_eq!(
        bench.call("CHECK", &previous),
        Outcome {
            stdout: String::new(),
            exit: 0
        }
    );
    for _ in 0..2 {
        assert_eq!(
            bench.call("DEL", &previous),
            Outcome {
                stdout: String::new(),
                exit: 0
            }
        );
        assert!(bench.links().is_empty() && bench.agent().is_empty());
    }
    let (code, text) = bench.refused("CHECK", &previous);
    assert_eq!(
        (code, text.as_str()),
        (103, "interface eth0 is not in the pod")
    );
}

#[test]
fn check_names_what_is_not_as_add_left_it() {
    let bench = need!(bench());
    let previous = json!({"prevResult": bench.add()});
    let eth0 = bench.in_pod.link("eth0").expect("eth0").index;
    let host_link = bench.attachment.host_link();
    let attempt = |wanted_code: u64, wanted: &str| {
        let (code, text) = bench.refused("CHECK", &previous);
        assert!(
            code == wanted_code && text.contains(wanted),
            "{code} {text} should be {wanted_code} {wanted}"
        );
    };
    bench
        .in_host
        .run(&link::set_down(&host_link))
        .expect("down");
    attempt(103, "is down");
    bench.in_host.run(&link::set_up(&host_link)).expect("up");
    bench.agent().state().endpoints.clear();
    attempt(3, "the agent has no endpoint for attachment");
    let v4 = "10.97.0.2/32".parse().expect("prefix");
    bench
        .in_pod
        .run(&address::delete(eth0, v4))
        .expect("delete");
    attempt(103, "address 10.97.0.2/32 is not on interface eth0");
    bench
        .in_pod
        .run(&link::set_mac("eth0", netlink::Mac([2, 0, 0, 0, 0, 1])))
        .expect("mac");
    attempt(103, "has MAC 02:00:00:00:00:01");
    let (code, text) = bench.refused("CHECK", &json!({}));
    assert!(code == 7 && text.contains("prevResult"), "{code} {text}");
}

#[test]
fn a_refusal_at_any_step_leaves_nothing_behind() {
    let bench = need!(bench());
    let steps = [
        "GET /v1/config",
        "POST /v1/ipam?family=ipv4",
        "POST /v1/ipam?family=ipv6",
        "PUT /v1/endpoint/cilium-local:0",
    ];
    for step in steps {
        bench.agent().fail(step, Fault::Status(500));
        let (code, text) = bench.refused("ADD", &json!({}));
        assert!(
            code == 101 && text.contains("500: told to fail"),
            "{step}: {code} {text}"
        );
        assert!(bench.links().is_empty(), "{step}: {:?}", bench.links());
        assert!(
            bench.agent().is_empty(),
            "{step}: {:?}",
            bench.agent().state().addresses
        );
        for family in [Family::V4, Family::V6] {
            let routes = bench
                .in_pod
                .routes(family, Some(netlink::route::TABLE_MAIN))
                .expect("routes");
            assert!(routes.is_empty(), "{step}: {routes:?}");
        }
    }
    bench.agent().state().faults.clear();
    bench.add();
}

#[test]
fn an_endpoint_whose_answer_was_lost_is_deleted_with_its_addresses() {
    let bench = need!(bench());
    bench.agent().fail("PUT", Fault::Close);
    let (code, text) = bench.refused("ADD", &json!({}));
    assert_eq!(code, 11, "{text}");
    assert!(bench.links().is_empty() && bench.agent().is_empty() && bench.queued().is_empty());
}

#[test]
fn an_endpoint_whose_answer_and_delete_were_lost_is_queued() {
    let bench = need!(bench());
    bench.agent().state().faults = vec![
        ("PUT".into(), Fault::Close),
        ("DELETE /v1/endpoint".into(), Fault::Status(503)),
    ];
    assert_eq!(bench.refused("ADD", &json!({})).0, 11);
    assert!(bench.links().is_empty());
    let expected =
        json!({"container-id": bench.attachment.container, "container-interface-name": "eth0"});
    assert_eq!(bench.queued(), [expected]);
}

#[test]
fn a_pod_whose_kernel_refuses_is_undone_also_at_the_agent() {
    let bench = need!(bench());
    // A default route that is there already is refused when routes are added, beside the PUT.
    let default = Route::to("0.0.0.0/0".parse().expect("prefix")).kind(Kind::Blackhole);
    bench.in_pod.run(&route::add(&default)).expect("route");
    let (code, text) = bench.refused("ADD", &json!({}));
    assert!(
        code == 102 && text.contains("add route 0.0.0.0/0 via 10.97.0.1"),
        "{code} {text}"
    );
    assert!(
        bench.links().is_empty() && bench.agent().is_empty(),
        "{:?}",
        bench.links()
    );
}

#[test]
fn a_second_add_is_refused_and_the_first_stays_whole() {
    let bench = need!(bench());
    let previous = json!({"prevResult": bench.add()});
    let (code, text) = bench.refused("ADD", &json!({}));
    assert!(
        code == 100 && text.contains("eth0") && text.contains("DEL comes first"),
        "{code} {text}"
    );
    assert_eq!(bench.call("CHECK", &previous).exit, 0);
    assert_eq!(
        bench.agent().state().addresses.len(),
        2,
        "the second's addresses were given back"
    );
}

#[test]
fn del_succeeds_without_agent_or_namespace_and_is_queued_once() {
    let mut bench = need!(bench());
    bench.add();
    bench.agent = None;
    let start = Instant::now();
    for _ in 0..2 {
        assert_eq!(bench.call("DEL", &json!({})).exit, 0);
    }
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    assert!(bench.links().is_empty());
    let expected =
        json!({"container-id": bench.attachment.container, "container-interface-name": "eth0"});
    assert_eq!(bench.queued(), [expected]);
    assert_eq!(
        bench.call("DEL", &json!({"state-dir": "/proc/axcni"})).exit,
        0,
        "also when nothing can be queued"
    );
    for gone in ["/run/netns/axcni-never-there", ""] {
        let mut variables = bench.variables("DEL");
        variables.insert("CNI_NETNS", gone.into());
        assert_eq!(bench.call_with(LIMITS, &variables, &json!({})).exit, 0);
    }
}

#[test]
fn the_queue_is_bounded_and_waits_for_no_lock_for_ever() {
    let mut bench = need!(bench());
    bench.agent = None;
    for number in 0..300 {
        let mut variables = bench.variables("DEL");
        variables.insert("CNI_CONTAINERID", format!("q{number}"));
        assert_eq!(bench.call_with(LIMITS, &variables, &json!({})).exit, 0);
    }
    assert_eq!(bench.queued().len(), cni::queue::LIMIT);
    let lock = std::fs::File::open(bench.directory.path().join("deleteQueue/lockfile"))
        .expect("lock file");
    lock.lock().expect("as the agent holds it");
    let waiting = bench.directory.path().join("deleteQueue");
    for file in std::fs::read_dir(&waiting).expect("queue").flatten() {
        if file.path().extension().is_some_and(|of| of == "delete") {
            std::fs::remove_file(file.path()).expect("as the agent does");
        }
    }
    let start = Instant::now();
    assert_eq!(bench.call("DEL", &json!({})).exit, 0);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(bench.queued().len(), 1, "it is not lost");
}

#[test]
fn status_tells_ready_limited_and_not_available_apart() {
    let mut bench = need!(bench());
    assert_eq!(
        bench.call("STATUS", &json!({})),
        Outcome {
            stdout: String::new(),
            exit: 0
        }
    );
    for (state, wanted) in [("Warning", 51), ("Failure", 50)] {
        bench.agent().state().health = Some(json!({"cilium": {"state": state, "msg": "no store"}}));
        let (code, text) = bench.refused("STATUS", &json!({}));
        assert!(code == wanted && text.contains("no store"), "{code} {text}");
    }
    bench.agent().fail("GET /v1/healthz", Fault::Status(503));
    assert_eq!(bench.refused("STATUS", &json!({})).0, 50);
    bench.agent = None;
    assert_eq!(bench.refused("STATUS", &json!({})).0, 50);
    assert_eq!(
        bench.refused("STATUS", &json!({"cniVersion": "1.0.0"})).0,
        1
    );
}

#[test]
fn gc_removes_what_no_valid_attachment_names_and_nothing_else() {
    let bench = need!(bench());
    bench.add();
    let kept = json!([{"containerID": bench.attachment.container, "ifname": "eth0"}]);
    assert_eq!(
        bench
            .call("GC", &json!({"cni.dev/valid-attachments": kept}))
            .exit,
        0
    );
    assert_eq!(
        (bench.links().len(), bench.agent().state().endpoints.len()),
        (2, 1)
    );
    let (code, text) = bench.refused("GC", &json!({}));
    assert!(
        code == 7 && text.contains("cni.dev/valid-attachments"),
        "{code} {text}"
    );
    bench
        .agent()
        .state()
        .endpoints
        .insert(String::new(), json!({}));
    assert_eq!(
        bench
            .call("GC", &json!({"cni.dev/valid-attachments": []}))
            .exit,
        0
    );
    assert!(bench.links().is_empty());
    let state = bench.agent().state();
    assert_eq!(
        state.endpoints.keys().collect::<Vec<_>>(),
        [""],
        "an endpoint without attachment is not the runtime's"
    );
    assert!(state.addresses.is_empty());
}

#[test]
fn add_waits_for_an_agent_that_starts_late_and_gives_up_in_time() {
    let mut bench = need!(bench());
    let socket = bench.agent().socket.clone();
    bench.agent = None;
    let start = Instant::now();
    let (code, text) = bench.refused("ADD", &json!({}));
    assert!(code == 11 && text.contains("connect to"), "{code} {text}");
    assert!(start.elapsed() < Duration::from_secs(3));
    assert!(bench.links().is_empty());
    let host = Handle::open_in(&bench.host).expect("handle");
    let late = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        FakeAgent::start(socket, host)
    });
    let patient = Limits {
        reach: Duration::from_secs(10),
        ..LIMITS
    };
    let outcome = bench.call_with(patient, &bench.variables("ADD"), &json!({}));
    bench.agent = Some(late.join().expect("agent"));
    assert_eq!(outcome.exit, 0, "{}", outcome.stdout);
}

#[test]
fn a_family_that_is_off_is_left_out() {
    let bench = need!(bench());
    bench.agent().state().ipv6 = false;
    let result = bench.add();
    assert_eq!(result["ips"].as_array().expect("ips").len(), 1);
    assert_eq!(result["routes"].as_array().expect("routes").len(), 2);
}

#[test]
fn behind_another_plugin_its_interface_is_adopted_and_left_alone() {
    let bench = need!(bench());
    bench
        .in_pod
        .run(&link::create_veth(&Veth {
            end: VethEnd::named("eth0"),
            state: AdminState::Up,
            peer: VethEnd::named("vethother"),
            peer_namespace: Some(&bench.host),
        }))
        .expect("veth");
    let eth0 = bench.in_pod.link("eth0").expect("eth0").index;
    let v4 = "10.95.0.9/24".parse().expect("prefix");
    bench
        .in_pod
        .run(&address::add(eth0, v4, address::PrefixRoute::Add))
        .expect("address");
    let netns = bench.pod.path();
    let previous = json!({
        "cniVersion": "1.1.0",
        "interfaces": [{"name": "vethother"}, {"name": "eth0", "sandbox": netns}],
        "ips": [{"interface": 1, "address": "10.95.0.9/24"}], "routes": [], "dns": {"nameservers": ["10.95.0.1"]},
    });
    let (code, text) = bench.refused("ADD", &json!({"chaining-mode": "generic-veth"}));
    assert!(code == 7 && text.contains("prevResult"), "{code} {text}");
    let chained = json!({"chaining-mode": "generic-veth", "prevResult": previous});
    let outcome = bench.call("ADD", &chained);
    assert_eq!(
        serde_json::from_str::<Value>(&outcome.stdout).expect("result"),
        previous
    );
    let body = bench.agent().state().endpoints[&bench.attachment.to_string()].clone();
    assert_eq!(body["interface-name"], "vethother");
    assert_eq!(body["addressing"], json!({"ipv4": "10.95.0.9"}));
    assert_eq!(
        body["datapath-configuration"],
        json!({"external-ipam": true})
    );
    assert_eq!(bench.call("CHECK", &chained).exit, 0);
    assert_eq!(bench.call("DEL", &chained).exit, 0);
    assert!(bench.agent().state().endpoints.is_empty());
    assert_eq!(
        bench.links().len(),
        2,
        "the interface is the other plugin's"
    );
}

#[test]
fn a_wrong_namespace_is_refused_before_the_agent_is_asked() {
    let bench = need!(bench());
    let own = bench.host.path().display().to_string();
    for (netns, wanted) in [
        ("/run/netns/axcni-never-there", "CNI_NETNS"),
        ("/etc/hostname", "not a namespace"),
        (&own, "the node's own"),
    ] {
        let mut variables = bench.variables("ADD");
        variables.insert("CNI_NETNS", netns.to_owned());
        let (code, text) = code(&bench.call_with(LIMITS, &variables, &json!({})));
        assert!(code == 4 && text.contains(wanted), "{code} {text}");
    }
    assert!(bench.agent().state().requests.is_empty());
}

#[test]
fn the_process_speaks_the_protocol() {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let run = |command: &str, stdin: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_axoneme-cni"))
            .env_clear()
            .env("CNI_COMMAND", command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("spawn");
        child
            .stdin
            .take()
            .expect("stdin")
            .write_all(stdin.as_bytes())
            .expect("write");
        let output = child.wait_with_output().expect("wait");
        (
            output.status.code(),
            serde_json::from_slice::<Value>(&output.stdout).expect("JSON on stdout"),
        )
    };
    let versions = json!([
        "0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"
    ]);
    assert_eq!(
        run("VERSION", r#"{"cniVersion":"0.4.0"}"#),
        (
            Some(0),
            json!({"cniVersion": "0.4.0", "supportedVersions": versions})
        )
    );
    let (exit, error) = run("ADD", r#"{"cniVersion":"1.0.0","name":"x"}"#);
    assert_eq!(
        (exit, error),
        (
            Some(1),
            json!({"cniVersion": "1.0.0", "code": 4, "msg": "CNI_CONTAINERID is missing"})
        )
    );
    let (exit, error) = run("FRY", "{}");
    assert_eq!((exit, &error["code"]), (Some(1), &json!(4)));
}

/// The real binary inside the bench's node.
fn spawn(bench: &Bench, command: &str) -> std::process::Child {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let (variables, stdin) = (
        bench.variables(command),
        bench.config(&json!({})).to_string(),
    );
    let mut child = bench
        .host
        .run(|| {
            Command::new(env!("CARGO_BIN_EXE_axoneme-cni"))
                .env_clear()
                .envs(variables)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("spawn")
        })
        .expect("enter the node");
    child
        .stdin
        .take()
        .expect("stdin")
        .write_all(stdin.as_bytes())
        .expect("write");
    child
}

#[test]
fn a_plugin_killed_at_any_moment_leaves_nothing_after_del() {
    let bench = need!(bench());
    let start = Instant::now();
    let whole = spawn(&bench, "ADD").wait_with_output().expect("wait");
    assert!(
        whole.status.success(),
        "{}",
        String::from_utf8_lossy(&whole.stdout)
    );
    let mut whole = start.elapsed();
    assert!(spawn(&bench, "DEL").wait().expect("wait").success());
    assert!(bench.links().is_empty() && bench.agent().is_empty());
    let rounds = 40;
    let mut killed_inside = 0;
    for round in 0..rounds {
        let mut child = spawn(&bench, "ADD");
        std::thread::sleep(whole * round / rounds);
        child.kill().expect("kill");
        let status = child.wait().expect("wait");
        if status.success() {
            // It is quicker than it was: the first call is the slowest.
            whole = whole * 4 / 5;
        } else {
            killed_inside += 1;
        }
        assert!(spawn(&bench, "DEL").wait().expect("wait").success());
        assert!(
            bench.links().is_empty(),
            "round {round}: {:?}",
            bench.links()
        );
        let mut state = bench.agent().state();
        assert!(
            state.endpoints.is_empty(),
            "round {round}: {:?}",
            state.endpoints
        );
        // What no endpoint took over expires at the agent.
        state.addresses.clear();
    }
    assert!(
        killed_inside > rounds / 4,
        "only {killed_inside} of {rounds} kills hit a running plugin"
    );
    assert!(bench.queued().is_empty());
}
