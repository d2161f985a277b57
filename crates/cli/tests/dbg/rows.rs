//! Every row of upstream's node client: it works, or says in one sentence why there is nothing to do. The agent is a fake one and no map is
//! pinned, so what reads maps gets as far as naming the place where they should be.

use super::{Agent, usual};

/// What becomes of a command here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    /// It asks the agent and prints its answer; with `-o json` the output is JSON.
    Answers,
    /// It asks the agent, and has no other form.
    Prints,
    /// It reads or writes maps.
    Maps,
    /// It asks the API server, of which nothing is known here.
    Cluster,
    /// It follows the flow server.
    Flows,
    /// It says why it does nothing.
    Refuses,
}
use Row::{Answers, Cluster, Flows, Maps, Prints, Refuses};

const ROWS: &[(&str, Row)] = &[
    ("status", Answers),
    ("status --brief", Prints),
    ("status --verbose", Answers),
    ("status --all-addresses", Answers),
    ("status --all-controllers", Answers),
    ("status --all-health", Answers),
    ("status --all-nodes", Answers),
    ("status --all-redirects", Answers),
    ("status --all-clusters", Answers),
    ("status --require-k8s-connectivity", Answers),
    ("status --wait", Answers),
    ("version", Answers),
    ("endpoint list", Answers),
    ("endpoint get 7", Answers),
    ("endpoint log 7", Answers),
    ("endpoint health 7", Answers),
    ("endpoint labels 7", Prints),
    ("endpoint config 7", Answers),
    ("endpoint config 7 PolicyAuditMode=Enabled", Refuses),
    ("endpoint disconnect 7", Prints),
    ("endpoint regenerate 7", Refuses),
    ("identity list", Answers),
    ("identity list --endpoints", Answers),
    ("identity get 1001", Answers),
    ("policy get", Answers),
    ("policy selectors", Answers),
    ("policy subject-selectors", Answers),
    ("policy wait 7", Prints),
    ("service list", Answers),
    ("ip list", Answers),
    ("ip list -n", Answers),
    ("ip get 10.0.1.2", Answers),
    ("ip get 10.0.1.2 -n", Answers),
    ("node list", Answers),
    ("nodeid list", Refuses),
    ("health status", Answers),
    ("health status --probe", Answers),
    ("health get", Answers),
    ("health ping", Prints),
    ("fqdn cache list", Refuses),
    ("fqdn cache clean", Refuses),
    ("fqdn names", Refuses),
    ("map list", Answers),
    ("map get node", Maps),
    ("map events node", Refuses),
    ("bpf ct list global", Maps),
    ("bpf ct list 7", Maps),
    ("bpf ct flush global", Maps),
    ("bpf nat list", Maps),
    ("bpf nat flush", Maps),
    ("bpf policy get 7", Maps),
    ("bpf policy get --all", Maps),
    ("bpf policy get --all -n", Maps),
    ("bpf ipcache list", Maps),
    ("bpf ipcache get 10.0.1.2", Maps),
    ("bpf ipcache match 10.0.1.2/32", Maps),
    ("bpf ipcache update 10.0.1.2", Refuses),
    ("bpf ipcache delete 10.0.1.2", Refuses),
    ("bpf lb list", Maps),
    ("bpf lb list --frontends", Maps),
    ("bpf lb list --backends", Maps),
    ("bpf lb list --revnat", Maps),
    ("bpf lb list --source-ranges", Refuses),
    ("bpf lb maglev list", Refuses),
    ("bpf endpoint list", Maps),
    ("bpf metrics list", Maps),
    ("bpf auth list", Refuses),
    ("bpf bandwidth list", Refuses),
    ("bpf config list", Maps),
    ("bpf egress list", Refuses),
    ("bpf frag list", Maps),
    ("bpf fs show", Maps),
    ("bpf ipmasq list", Maps),
    ("bpf multicast group list", Refuses),
    ("bpf nodeid list", Refuses),
    ("bpf socknat list", Maps),
    ("bpf srv6 policy", Refuses),
    ("bpf vtep list", Refuses),
    ("monitor", Flows),
    ("monitor -t drop", Flows),
    ("monitor --type trace --from 7", Flows),
    ("monitor --to 7", Flows),
    ("monitor --related-to 7", Flows),
    ("monitor -v", Flows),
    ("monitor -vv", Flows),
    ("monitor -x", Refuses),
    ("monitor -j", Flows),
    ("metrics list", Refuses),
    ("metrics list -p cilium_drop", Refuses),
    ("encrypt status", Refuses),
    ("encrypt flush", Refuses),
    ("encrypt dump-xfrm", Refuses),
    ("bgp peers", Refuses),
    ("bgp routes", Refuses),
    ("bgp route-policies", Refuses),
    ("lrp list", Refuses),
    ("envoy admin metrics", Refuses),
    ("kvstore get x", Refuses),
    ("kvstore set x", Refuses),
    ("kvstore delete x", Refuses),
    ("prefilter list", Refuses),
    ("preflight validate-cnp", Cluster),
    ("preflight migrate-identity", Refuses),
    ("preflight fqdn-poller", Refuses),
    ("cgroups list", Refuses),
    ("config", Answers),
    ("config get routing-mode", Prints),
    ("debuginfo", Answers),
    ("loadinfo", Refuses),
    ("shell", Refuses),
    ("statedb dump", Refuses),
    ("sysdump", Refuses),
    ("troubleshoot kvstore", Refuses),
];

fn words(row: &str) -> Vec<&str> {
    row.split(' ').collect()
}

/// Whether it was the pins that were missing.
fn is_about_maps(error: &str) -> bool {
    ["cannot open the eBPF maps under", "cannot list"]
        .iter()
        .any(|what| error.starts_with(&format!("Error: {what} [directory]")))
}

/// Whether a refusal names the command, or the flag that it is about.
fn is_named(row: &str, name: &str) -> bool {
    row.starts_with(name) || (name.starts_with("--") && row.contains(" -"))
}

/// What is wrong with a row, if anything.
fn fault(agent: &Agent, row: &str, expected: Row) -> Option<String> {
    let root = agent.directory.path().display().to_string();
    let mut words = words(row);
    if expected == Maps {
        words.extend(["--bpf-root", &root]);
    }
    let ran = agent.dbg(&words);
    let one_line = ran.err.lines().count() == 1;
    let right = match expected {
        Answers | Prints => ran.code == 0 && ran.err.is_empty(),
        Maps => ran.code == 1 && is_about_maps(&ran.err),
        Cluster => {
            ran.code == 1 && one_line && ran.err.starts_with("Error: no API server is known: ")
        }
        Flows => ran.code == 1 && one_line && ran.err.contains("[directory]/no-flows.sock"),
        Refuses => {
            let name = ran
                .err
                .strip_prefix("Error: ")
                .and_then(|text| text.split_once(": "));
            ran.code == 1
                && one_line
                && ran.out.is_empty()
                && name.is_some_and(|(name, why)| is_named(row, name) && why.len() > 20)
        }
    };
    (!right).then(|| {
        format!(
            "{row}: {expected:?}, but {} {:?} {:?}",
            ran.code, ran.err, ran.out
        )
    })
}

#[test]
fn every_row_of_the_node_client_works_or_says_why_not() {
    let agent = usual();
    let faults: Vec<String> = ROWS
        .iter()
        .filter_map(|(row, expected)| fault(&agent, row, *expected))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn what_the_agent_answers_is_json_when_asked() {
    let agent = usual();
    for (row, _) in ROWS.iter().filter(|(_, row)| *row == Answers) {
        let ran = agent.dbg(&[words(row), vec!["-o", "json"]].concat());
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{row}");
        let value: Result<serde_json::Value, _> = serde_json::from_str(&ran.out);
        assert!(value.is_ok(), "{row}: {}", ran.out);
    }
}

#[test]
fn what_reads_maps_takes_json_too() {
    let agent = usual();
    let root = agent.directory.path().display().to_string();
    let lists = ROWS.iter().filter(|(_, row)| *row == Maps);
    let reads = |row: &str| {
        ["list", "get", "match", "show"]
            .iter()
            .any(|word| row.contains(word))
    };
    for (row, _) in lists.filter(|(row, _)| reads(row)) {
        let ran = agent.dbg(&[words(row), vec!["-o", "json", "--bpf-root", &root]].concat());
        assert!(
            ran.code == 1 && is_about_maps(&ran.err),
            "{row}: {}",
            ran.err
        );
    }
}
