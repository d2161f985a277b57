use super::*;

#[test]
fn the_definitions_of_all_programs_are_consistent() {
    Axoneme::command().debug_assert();
    NodeClient::command().debug_assert();
    FlowClient::command().debug_assert();
    HealthClient::command().debug_assert();
    Mounter::command().debug_assert();
    SysctlFixer::command().debug_assert();
    Enterer::command().debug_assert();
}

#[test]
fn the_name_decides_which_program_it_is() {
    let of = |name: &str, image| Name::of(Some(OsStr::new(name)), image);
    assert_eq!(of("/usr/bin/axoneme", None), Name::Axoneme);
    assert_eq!(of("/usr/bin/cilium-dbg", None), Name::NodeClient);
    assert_eq!(of("hubble", Some("agent")), Name::FlowClient);
    assert_eq!(of("cilium-health", Some("agent")), Name::HealthClient);
    assert_eq!(of("cilium", None), Name::Cilium);
    assert_eq!(of("cilium", Some("agent")), Name::NodeClient);
    assert_eq!(of("/hostbin/cilium-mount", Some("agent")), Name::Mounter);
    assert_eq!(of("cilium-sysctlfix", None), Name::SysctlFixer);
    assert_eq!(of("/usr/bin/nsenter", None), Name::Enterer);
    assert_eq!(Name::of(None, None), Name::Axoneme);
}

#[test]
fn arguments_are_understood_alike_under_both_names() {
    let parse = |words: &[&str]| {
        NodeClient::try_parse_from(words).map(|client| format!("{:?}", client.args))
    };
    let family = |words: &[&str]| {
        Axoneme::try_parse_from(words).map(|axoneme| match axoneme.family {
            Family::Dbg(args) => format!("{args:?}"),
            other => panic!("{other:?}"),
        })
    };
    for words in [
        &["status", "--brief"][..],
        &["endpoint", "list", "-o", "json"],
        &[
            "endpoint",
            "get",
            "pod-name:shop/web",
            "-o",
            "jsonpath={[0].id}",
        ],
        &["-H", "unix:///run/agent.sock", "ip", "list", "-n"],
        &["--socket", "/run/agent.sock", "status"],
        &["bpf", "ct", "list", "global", "--bpf-root", "/run/bpf"],
        &["bpf", "policy", "get", "--all"],
        &["policy", "explain", "shop/web", "shop/api", "80/tcp"],
        &["post-uninstall-cleanup", "-f"],
    ] {
        let first: Vec<&str> = ["cilium-dbg"]
            .into_iter()
            .chain(words.iter().copied())
            .collect();
        let second: Vec<&str> = ["axoneme", "dbg"]
            .into_iter()
            .chain(words.iter().copied())
            .collect();
        assert_eq!(parse(&first).unwrap(), family(&second).unwrap());
    }
}

#[test]
fn a_program_to_run_elsewhere_keeps_its_own_flags() {
    let words = [
        "nsenter",
        "--cgroup=/hostproc/1/ns/cgroup",
        "--mount=/hostproc/1/ns/mnt",
        "/opt/cni/bin/cilium-mount",
        "--net",
        "/run/cilium/cgroupv2",
    ];
    let parsed = format!("{:?}", Enterer::try_parse_from(words).unwrap().args);
    let program = r#"program: ["/opt/cni/bin/cilium-mount", "--net", "/run/cilium/cgroupv2"]"#;
    assert!(parsed.contains(program), "{parsed}");
    assert!(Enterer::try_parse_from(["nsenter", "--mount=/proc/1/ns/mnt"]).is_err());
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for words in [
        &["cilium-dbg"][..],
        &["cilium-dbg", "endpoint", "get"],
        &["cilium-dbg", "endpoint", "list", "-o", "wide"],
        &["cilium-dbg", "bpf", "policy", "get", "1", "--all"],
    ] {
        assert!(NodeClient::try_parse_from(words).is_err(), "{words:?}");
    }
    assert!(Axoneme::try_parse_from(["axoneme", "why", "shop/web"]).is_err());
    assert!(Axoneme::try_parse_from(["axoneme", "apply"]).is_err());
}

#[test]
fn a_cause_that_is_told_already_is_not_told_again() {
    let error = anyhow::anyhow!("no such file")
        .context("open /a: no such file")
        .context("cannot look");
    assert_eq!(causes(&error), "cannot look: open /a: no such file");
}
