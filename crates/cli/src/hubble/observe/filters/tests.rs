use clap::{Args, FromArgMatches};

use super::*;

/// Both lists as JSON lines, or the error.
fn lists(line: &str) -> Result<String, String> {
    let command = FilterArgs::augment_args(Command::new("observe").no_binary_name(true));
    let matches = command
        .try_get_matches_from(line.split_whitespace())
        .map_err(|e| e.to_string())?;
    let args = FilterArgs::from_arg_matches(&matches).map_err(|e| e.to_string())?;
    let (allow, deny) = args.lists().map_err(|error| format!("{error:#}"))?;
    let lines = |prefix: &str, filters: Vec<FlowFilter>| -> String {
        let json = |filter| prefix.to_owned() + &serde_json::to_string(&filter).unwrap() + "\n";
        filters.into_iter().map(json).collect()
    };
    Ok(lines("+", allow) + &lines("-", deny))
}

#[track_caller]
fn check(line: &str, expected: &[&str]) {
    let seen = lists(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    assert_eq!(seen.lines().collect::<Vec<_>>(), expected, "{line}");
}

#[test]
fn flags_about_one_end_or_the_event_make_one_filter() {
    check("", &[]);
    check(
        "--from-pod a/b --to-pod c/d --to-port 80",
        &[r#"+{"source_pod":["a/b"],"destination_pod":["c/d"],"destination_port":["80"]}"#],
    );
    check(
        "-t drop -t trace:to-host --type 4:0 --verdict DROPPED -4 --protocol tcp",
        &[
            r#"+{"verdict":["DROPPED"],"event_type":[{"type":1},{"type":4,"match_sub_type":true,"sub_type":2},{"type":4,"match_sub_type":true}],"protocol":["tcp"],"ip_version":["IPv4"]}"#,
        ],
    );
    check(
        "--tcp-flags syn,ack --interface eth0 --unencrypted --http-header a:b",
        &[
            r#"+{"tcp_flags":[{"SYN":true,"ACK":true}],"http_header":[{"key":"a","value":"b"}],"interface":[{"name":"eth0"}],"encrypted":[false]}"#,
        ],
    );
    check(
        "--from-label a=b,c=d --node-name n1 --traffic-direction ingress --drop-reason-desc POLICY_DENIED",
        &[
            r#"+{"source_label":["a=b,c=d"],"node_name":["n1"],"traffic_direction":["INGRESS"],"drop_reason_desc":["POLICY_DENIED"]}"#,
        ],
    );
}

#[test]
fn flags_about_either_end_make_two_filters_each_with_all_the_rest() {
    check(
        "--ip 1.1.1.1 --port 80 --verdict DROPPED",
        &[
            r#"+{"source_ip":["1.1.1.1"],"verdict":["DROPPED"],"source_port":["80"]}"#,
            r#"+{"destination_ip":["1.1.1.1"],"verdict":["DROPPED"],"destination_port":["80"]}"#,
        ],
    );
    check(
        "--namespace n --to-pod p --label k=v",
        &[
            r#"+{"source_pod":["n/"],"destination_pod":["p"],"source_label":["k=v"]}"#,
            r#"+{"destination_pod":["n/p"],"destination_label":["k=v"]}"#,
        ],
    );
    check(
        "--identity host --identity 1000 --workload Job/x --cluster c --fqdn a.b --service s/t",
        &[
            r#"+{"source_fqdn":["a.b"],"source_service":["s/t"],"source_identity":[1,1000],"source_workload":[{"name":"x","kind":"Job"}],"source_cluster_name":["c"]}"#,
            r#"+{"destination_fqdn":["a.b"],"destination_service":["s/t"],"destination_identity":[1,1000],"destination_workload":[{"name":"x","kind":"Job"}],"destination_cluster_name":["c"]}"#,
        ],
    );
}

#[test]
fn namespaces_qualify_names_without_one() {
    check(
        "--from-namespace n --from-pod p",
        &[r#"+{"source_pod":["n/p"]}"#],
    );
    check(
        "-n n1 -n n2 --pod p",
        &[
            r#"+{"source_pod":["n1/p","n2/p"]}"#,
            r#"+{"destination_pod":["n1/p","n2/p"]}"#,
        ],
    );
    check(
        "-A",
        &[r#"+{"source_pod":["/"]}"#, r#"+{"destination_pod":["/"]}"#],
    );
    check(
        "--service s -n n",
        &[
            r#"+{"source_service":["n/s"]}"#,
            r#"+{"destination_service":["n/s"]}"#,
        ],
    );
    let error = lists("--pod a/b -n n").unwrap_err();
    assert!(error.contains("namespace conflict"), "{error}");
}

#[test]
fn not_is_about_the_next_flag_only() {
    check(
        "--not --verdict DROPPED --to-port 80 --not --to-port 53",
        &[
            r#"+{"destination_port":["80"]}"#,
            r#"-{"verdict":["DROPPED"],"destination_port":["53"]}"#,
        ],
    );
    check(
        "--not --pod a/b --from-namespace n",
        &[
            r#"+{"source_pod":["n/"]}"#,
            r#"-{"source_pod":["a/b"]}"#,
            r#"-{"destination_pod":["a/b"]}"#,
        ],
    );
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    for line in [
        "--pod a/b --from-pod c/d",
        "--to-ip 1.1.1.1 --ip 2.2.2.2",
        "--fqdn a --from-ip 1.1.1.1",
        "--to-fqdn a --to-pod b",
        "--from-namespace a --from-ip 1.1.1.1",
        "-n a --from-namespace b",
        "-A -n x",
        "--label a --from-label b",
        "--workload web --to-workload x",
        "--identity 1 --from-identity 2",
        "--port 1 --to-port 2",
        "--encrypted --unencrypted",
    ] {
        let error = lists(line).unwrap_err();
        assert!(error.contains("cannot be combined"), "{line}: {error}");
    }
    for line in [
        "--from-ip 1.1.1.1 --to-fqdn a",
        "--cluster a --from-cluster b",
        "--from-pod a --to-ip 1.1.1.1",
    ] {
        lists(line).unwrap();
    }
}

#[test]
fn bad_values_are_refused_with_their_flag() {
    for (line, word) in [
        ("--verdict dropped", "--verdict"),
        ("--drop-reason-desc nope", "--drop-reason-desc"),
        ("--type nope", "policy-verdict"),
        ("--type trace:nope", "to-endpoint"),
        ("--from-identity nope", "kube-apiserver"),
        ("--traffic-direction up", "ingress"),
        ("--http-header ab", "name:value"),
        ("--tcp-flags syn,nope", "nope"),
        ("--ip-version v5", "v6"),
        ("--ip-trace-id x", "--ip-trace-id"),
    ] {
        let error = lists(line).unwrap_err();
        assert!(error.contains(word), "{line}: {error}");
    }
}
