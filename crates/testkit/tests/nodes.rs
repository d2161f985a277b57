//! Nodes with real agents: pods made through the CNI plugin, real sockets between them, agents and stores that die.
#![allow(clippy::print_stdout, reason = "times and cases are the tests' output")]

#[path = "nodes/answers.rs"]
mod answers;
#[path = "nodes/cases.rs"]
mod cases;
#[path = "nodes/churn.rs"]
mod churn;
#[path = "nodes/drift.rs"]
mod drift;
#[path = "nodes/health.rs"]
mod health;
#[path = "nodes/hundred.rs"]
mod hundred;
#[path = "nodes/in_force.rs"]
mod in_force;
#[path = "nodes/kills.rs"]
mod kills;
#[path = "nodes/need.rs"]
mod need;
#[path = "nodes/pools.rs"]
mod pools;
#[path = "nodes/questions.rs"]
mod questions;
#[path = "nodes/reboot.rs"]
mod reboot;
#[path = "nodes/records.rs"]
mod records;
#[path = "nodes/restart.rs"]
mod restart;
#[path = "nodes/said.rs"]
mod said;
#[path = "nodes/scraped.rs"]
mod scraped;
#[path = "nodes/services.rs"]
mod services;
#[path = "nodes/soak.rs"]
mod soak;
#[path = "nodes/sockets.rs"]
mod sockets;
#[path = "nodes/spoken.rs"]
mod spoken;
#[path = "nodes/truth.rs"]
mod truth;
#[path = "nodes/upgrade.rs"]
mod upgrade;

use testkit::cluster::{Cluster, Options};
use testkit::demo::possible;

use cases::Cases;

/// Names are unique per process and letter, so that tests can run at the same time.
fn cluster(letter: char, options: impl FnOnce(Options) -> Options) -> Cluster {
    let name = format!("ax{letter}{}", std::process::id() % 100_000);
    Cluster::start(options(Options::named(&name))).expect("the cluster starts")
}

/// Pods of other nodes are reached without an overlay.
fn natively(options: Options) -> Options {
    options
        .with("routing-mode", "native")
        .with("auto-direct-node-routes", "true")
        .with("ipv4-native-routing-cidr", "10.244.0.0/16")
        .with("ipv6-native-routing-cidr", "fd00:10:244::/48")
}

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

#[test]
fn pods_nodes_and_policies_over_the_overlay() {
    if !possible() {
        return;
    }
    let cluster = cluster('v', |options| options);
    let mut cases = Cases::new(&cluster);
    cases.connectivity();
    cases.policy_switch();
    cases.finish();
}

#[test]
fn pods_nodes_and_policies_with_native_routing() {
    if !possible() {
        return;
    }
    let cluster = cluster('n', natively);
    let mut cases = Cases::new(&cluster);
    cases.connectivity();
    cases.policy_switch();
    cases.finish();
}

#[test]
fn a_killed_agent_loses_no_allowed_packet_and_delivers_no_denied_one() {
    if !possible() {
        return;
    }
    let mut cluster = cluster('k', |options| options);
    restart::kills(&mut cluster, number("AXONEME_KILLS", 20));
    restart::store_away(&mut cluster);
}

#[test]
fn adding_and_deleting_pods_with_kills_leaks_nothing() {
    if !possible() {
        return;
    }
    let mut cluster = cluster('c', |options| Options {
        nodes: 1,
        ..options
    });
    churn::timing(&cluster, 30);
    churn::leaks(&mut cluster, number("AXONEME_CHURN", 50));
}

#[test]
fn a_full_node_notices_no_restart_of_its_agent() {
    if !possible() {
        return;
    }
    let mut cluster = cluster('h', |options| options);
    // Four in the gate, which has twenty kills besides.
    let number = number("AXONEME_KILLS", 20) / 5;
    hundred::restarts(&mut cluster, 100, number);
}

#[test]
fn a_node_that_lost_power_delivers_nothing_denied_while_its_pods_come_back() {
    if !possible() {
        return;
    }
    let mut cluster = cluster('r', |options| options);
    reboot::under_a_flood(&mut cluster, 50);
}

#[test]
fn kills_of_every_component_lose_nothing_and_leave_nothing() {
    // Over a minute: only where somebody says how many, as the suite `kills` of `./x full` does.
    let asked = number("AXONEME_KILLS", 0);
    if asked == 0 || !possible() {
        return;
    }
    let cluster = cluster('x', |options| {
        options
            .with("bpf-ct-timeout-regular-tcp-syn", "3s")
            .with("bpf-ct-timeout-regular-tcp-fin", "2s")
            .with("bpf-ct-timeout-regular-any", "3s")
    });
    kills::at_random(&cluster, asked);
}

/// With `AXONEME_PREVIOUS`, a folder, the nodes begin with the agent and the plugin from there and end with them.
#[test]
fn another_release_and_back_cuts_no_connection() {
    if !possible() {
        return;
    }
    let previous = std::env::var_os("AXONEME_PREVIOUS").map(std::path::PathBuf::from);
    let mut cluster = cluster('u', |options| Options {
        programs: previous.clone(),
        ..options
    });
    upgrade::there_and_back(&mut cluster, previous.as_deref());
}

#[test]
fn an_agent_that_cannot_take_over_leaves_everything_as_it_is() {
    if !possible() {
        return;
    }
    let mut cluster = cluster('l', |options| options);
    upgrade::refused(&mut cluster);
}

/// What a process of the next test does, in a node's cgroup.
#[test]
fn a_client_of_services() {
    services::clients::work();
}

#[test]
fn services_are_reached_from_everywhere_and_sockets_survive_their_backends() {
    if !possible() {
        return;
    }
    let cluster = cluster('s', |options| options);
    services::matrix(&cluster);
    services::host_network(&cluster);
    services::backends_go(&cluster);
}

#[test]
fn a_busy_life_loses_nothing_and_leaves_nothing() {
    if !possible() {
        return;
    }
    let mut cluster = cluster('b', |options| options);
    let seconds = number("AXONEME_SOAK_SECONDS", 8);
    soak::live(&mut cluster, std::time::Duration::from_secs(seconds as u64));
}

#[test]
fn nodes_know_which_of_them_are_reached_and_by_which_way() {
    if !possible() {
        return;
    }
    let mut cluster = cluster('p', |options| {
        let options = options
            .with("enable-health-checking", "true")
            // Health endpoints are exempt from that as well.
            .with("enable-policy", "always");
        Options {
            nodes: 3,
            ..options
        }
    });
    health::whole(&cluster);
    health::ways_are_told_apart(&cluster);
    health::a_cut_cable_is_told_in_time(&cluster);
    health::a_killed_agent(&mut cluster);
}

#[test]
fn pods_have_addresses_of_pools_that_grow_are_exhausted_and_recover() {
    if !possible() {
        return;
    }
    let mut cluster = cluster('g', |options| {
        options
            .with("ipam", "multi-pool")
            .with_operator("ipam", "multi-pool")
            .with_operator("auto-create-cilium-pod-ip-pools", pools::POOLS)
    });
    pools::reach_each_other(&cluster);
    pools::grow_and_survive_a_kill(&mut cluster);
    pools::are_exhausted_and_recover(&cluster);
    pools::without_a_store(&mut cluster);
    upgrade::every_file_has_a_number(&cluster);
}

#[test]
fn a_policy_says_on_which_nodes_it_is_in_force() {
    if !possible() {
        return;
    }
    let mut cluster = cluster('i', |options| options);
    in_force::with_an_agent_away(&mut cluster);
}

#[test]
fn a_policy_that_looks_at_a_further_label_loses_and_delivers_nothing_wrongly() {
    if !possible() {
        return;
    }
    let cluster = cluster('d', |options| {
        options
            .with("enable-identity-by-need", "true")
            .with("identity-change-grace-period", "2s")
    });
    need::a_further_label(&cluster);
    upgrade::every_file_has_a_number(&cluster);
}

#[test]
fn every_connection_is_told_by_exactly_its_flows() {
    if !possible() {
        return;
    }
    let cluster = cluster('f', |options| {
        options
            .with("bpf-ct-timeout-regular-tcp-syn", "3s")
            .with("bpf-ct-timeout-regular-tcp-fin", "2s")
            .with("bpf-ct-timeout-regular-any", "3s")
    });
    truth::told(&cluster);
}

#[test]
fn faults_are_told_with_their_cause_whose_fault_they_are_and_how_often() {
    if !possible() {
        return;
    }
    let cluster = cluster('q', |options| {
        natively(options)
            .with("hubble-listen-address", ":4244")
            .with("hubble-disable-tls", "true")
    });
    answers::faults_are_told(&cluster);
}

#[test]
fn what_connections_say_reaches_the_agents_of_both_ends() {
    if !possible() {
        return;
    }
    let cluster = cluster('y', |options| {
        options.with("hubble-metrics-server", &format!(":{}", scraped::FLOWS))
    });
    said::told(&cluster);
}

#[test]
fn requests_and_questions_are_told_as_often_as_they_were_sent_with_their_codes_and_times() {
    if !possible() {
        return;
    }
    let cluster = cluster('w', |options| {
        options
            .with("hubble-listen-address", ":4244")
            .with("hubble-disable-tls", "true")
    });
    spoken::answered(&cluster);
}

#[test]
fn each_of_fifteen_questions_has_one_number_by_command_page_and_metric() {
    if !possible() {
        return;
    }
    let cluster = cluster('a', |options| {
        options
            .with("hubble-listen-address", ":4244")
            .with("hubble-disable-tls", "true")
    });
    questions::fifteen(&cluster);
}

#[test]
fn what_the_ring_of_flows_forgot_is_told_from_disk_also_after_a_kill() {
    if !possible() {
        return;
    }
    let cluster = cluster('o', |options| {
        let options = options.with("hubble-event-buffer-capacity", "15");
        Options {
            nodes: 1,
            records: true,
            ..options
        }
    });
    records::outlive(&cluster);
}

#[test]
fn settings_that_the_cluster_changes_are_shown_until_the_agent_starts_with_them() {
    if !possible() {
        return;
    }
    let mut cluster = cluster('t', |options| {
        let options = options.with("prometheus-serve-addr", &format!(":{}", scraped::PORT));
        Options {
            nodes: 1,
            ..options
        }
    });
    drift::shown(&mut cluster);
}

#[test]
fn dashboards_alerts_and_documentation_name_what_agents_and_operator_show() {
    if !possible() {
        return;
    }
    let cluster = cluster('m', |options| {
        options
            .with("prometheus-serve-addr", &format!(":{}", scraped::PORT))
            .with("metrics", "+cilium_bpf_syscall_duration_seconds")
            .with("config-sources", scraped::SOURCES)
            .with("hubble-metrics-server", &format!(":{}", scraped::FLOWS))
            .with("hubble-metrics", scraped::FLOW_METRICS)
            .with("hubble-export-file-path", "stdout")
            .with("hubble-export-allowlist", r#"{"verdict":["DROPPED"]}"#)
            .with("hubble-flowlogs-config-path", "/proc/self/no-such-file")
    });
    scraped::agents(&cluster);
    scraped::flows(&cluster);
    scraped::operator(&cluster);
}
