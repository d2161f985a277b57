//! Metrics of live agents and of a live operator, against what dashboards and alerts ask for.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use testkit::cluster::{Cluster, OPERATOR_METRICS, underlay_v4};
use testkit::scrape::{Page, fetch, queries};

use crate::cases::{eventually, only_from, run, run_as, within};
use crate::sockets;

/// Port of the agents' metrics.
pub(crate) const PORT: u16 = 9962;

/// Port of the metrics of flows.
pub(crate) const FLOWS: u16 = 9965;

/// Which of them; those of requests need somebody who reads requests.
pub(crate) const FLOW_METRICS: &str = "drop:sourceContext=pod|reserved-identity;destinationContext=pod flow flows-to-world icmp \
     policy:destinationContext=pod port-distribution tcp";

/// Where the agents' settings would have come from. Flags have the last word, so nothing differs.
pub(crate) const SOURCES: &str =
    r#"[{"kind":"config-map","namespace":"kube-system","name":"cilium-config"}]"#;

fn file(path: &str) -> String {
    let folder = PathBuf::from("../../deploy/chart/files");
    std::fs::read_to_string(folder.join(path)).expect("a file of the chart")
}

/// Expressions of the alerts about one program.
fn alerts(prefix: &str) -> Vec<(String, String)> {
    let rules: Value = serde_yaml_ng::from_str(&file("rules.yaml")).expect("rules");
    let rules = rules.pointer("/groups/0/rules").and_then(Value::as_array);
    let rules = rules.expect("a list of rules").iter().map(|rule| {
        let text = |name: &str| rule[name].as_str().unwrap_or_default().to_owned();
        (text("alert"), text("expr"))
    });
    rules
        .filter(|(_, expression)| {
            let of_operator = expression.contains("cilium_operator_");
            expression.contains("cilium_") && of_operator == (prefix == "cilium_operator_")
        })
        .collect()
}

fn check(page: &Page, asked: &[(String, String)]) -> anyhow::Result<()> {
    let mut faults = Vec::new();
    for (title, expression) in asked {
        let found = page.faults(expression)?;
        faults.extend(found.into_iter().map(|fault| format!("{title}: {fault}")));
    }
    if faults.is_empty() {
        return Ok(());
    }
    bail!("{}", faults.join("\n"))
}

pub(crate) fn agents(cluster: &Cluster) {
    let _pods = [run(cluster, 0, "a"), run(cluster, 0, "b")];
    let policy = only_from("b", "a");
    cluster.apply(&policy).expect("a policy");
    let machine = &cluster.nodes[0].machine;
    let address = underlay_v4(11).into();
    let mut asked = queries(&file("dashboards/cilium.json")).expect("a dashboard");
    asked.extend(alerts("cilium_"));
    assert!(asked.len() > 40, "{} expressions", asked.len());
    // A walk over the connections takes ten seconds.
    within(Duration::from_secs(40), || {
        let text = fetch(machine.namespace(), address, PORT)?;
        let page = Page::read(&text);
        check(&page, &asked)?;
        listed(&page, "## Agent", "cilium_")?;
        for line in [
            "cilium_endpoint_state{endpoint_state=\"ready\"} 2",
            "cilium_policy 1",
            "cilium_policy_endpoint_enforcement_status{enforcement=\"ingress\"} 1",
            "cilium_nodes_all_num 2",
            "cilium_controllers_failing 0",
            "cilium_drift_checker_config_delta 0",
        ] {
            ensure!(
                text.lines().any(|shown| shown == line),
                "no {line} in\n{text}"
            );
        }
        Ok(())
    })
    .expect("all that dashboard, alerts and documentation name is shown");
    let (mut least, mut size) = (Duration::MAX, 0);
    for _ in 0..20 {
        let begun = Instant::now();
        size = fetch(machine.namespace(), address, PORT)
            .expect("a page")
            .len();
        least = least.min(begun.elapsed());
    }
    println!(
        "figure: a scrape of an agent: {} us, {size} octets",
        least.as_micros()
    );
}

pub(crate) fn operator(cluster: &Cluster) {
    let mut operator = cluster.start_operator(&[]).expect("an operator");
    let mut asked = queries(&file("dashboards/cilium-operator.json")).expect("a dashboard");
    asked.extend(alerts("cilium_operator_"));
    assert!(asked.len() > 12, "{} expressions", asked.len());
    let machine = &cluster.nodes[0].machine;
    within(Duration::from_secs(40), || {
        let text = fetch(
            machine.namespace(),
            underlay_v4(10).into(),
            OPERATOR_METRICS,
        )
        .with_context(|| operator.output())?;
        let page = Page::read(&text);
        check(&page, &asked)?;
        listed(&page, "## Operator", "cilium_operator_")
    })
    .expect("all that dashboard, alerts and documentation name is shown");
    operator.stop(Duration::from_secs(10)).expect("it ends");
}

/// Metrics of flows between pods, and of one that a policy denied.
pub(crate) fn flows(cluster: &Cluster) {
    // The policy of before holds for these, too, by their labels.
    let pods = [("d", "a"), ("e", "b"), ("f", "c")];
    let [a, b, c] = pods.map(|(name, app)| run_as(cluster, 0, name, app));
    let address = b.ipv4().expect("an address");
    eventually(|| sockets::tcp(&a.sandbox, &b.sandbox, address)).expect("d reaches e");
    let server = sockets::EchoServer::listen(&b.sandbox, address).expect("a server");
    let refused = sockets::connect(&c.sandbox, server.address, sockets::WAIT);
    assert!(refused.is_err(), "f is not allowed to reach e");
    let sent = a.sandbox.run(|| -> std::io::Result<usize> {
        UdpSocket::bind("0.0.0.0:0")?.send_to(b"x", "192.0.2.9:9")
    });
    sent.expect("a namespace").expect("a datagram leaves");
    let asked = queries(&file("dashboards/hubble.json")).expect("a dashboard");
    assert!(asked.len() > 10, "{} expressions", asked.len());
    let machine = &cluster.nodes[0].machine;
    within(Duration::from_secs(40), || {
        let text = fetch(machine.namespace(), underlay_v4(11).into(), FLOWS)?;
        let page = Page::read(&text);
        check(&page, &asked)?;
        listed(&page, "Shown by an agent with all metrics", "")?;
        for start in [
            "hubble_drop_total{destination=\"default/e\",protocol=\"TCP\",reason=\"POLICY_DENIED\",source=\"default/f\"} ",
            "hubble_policy_verdicts_total{action=\"forwarded\",destination=\"default/e\",direction=\"ingress\",match=",
            "hubble_policy_verdicts_total{action=\"dropped\",destination=\"default/e\",direction=\"ingress\",match=",
            "hubble_flows_to_world_total{protocol=\"UDP\",verdict=\"FORWARDED\"} ",
            "hubble_tcp_flags_total{family=\"IPv4\",flag=\"SYN\"} ",
            "hubble_tcp_flags_total{family=\"IPv4\",flag=\"SYN-ACK\"} ",
            "hubble_lost_events_total{source=\"perf_event_ring_buffer\"} 0",
        ] {
            ensure!(
                text.lines().any(|shown| shown.starts_with(start)),
                "no {start} in\n{text}"
            );
        }
        Ok(())
    })
    .expect("all that dashboard and documentation name is shown");
}

/// Every family that docs/metrics.md lists is shown, and no other.
fn listed(page: &Page, section: &str, prefix: &str) -> anyhow::Result<()> {
    let path = "../../docs/metrics.md";
    let text = std::fs::read_to_string(path)?;
    let (_, rest) = text.split_once(section).context("a section")?;
    let rest = rest.split("\n## ").next().unwrap_or_default();
    let rows = rest.lines().filter_map(|line| line.strip_prefix("| `"));
    let names = rows.filter_map(|row| row.split('`').next());
    let listed: Vec<String> = names.map(|name| format!("{prefix}{name}")).collect();
    let shown: Vec<&str> = page.families().collect();
    let missing: Vec<_> = listed
        .iter()
        .filter(|name| !shown.contains(&name.as_str()))
        .collect();
    let unlisted: Vec<_> = shown
        .iter()
        .filter(|name| !listed.iter().any(|of| of == *name))
        .collect();
    ensure!(
        missing.is_empty() && unlisted.is_empty(),
        "listed and not shown: {missing:?}; shown and not listed: {unlisted:?}"
    );
    Ok(())
}
