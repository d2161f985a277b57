use super::*;

fn nets(texts: &[&str]) -> Vec<IpNet> {
    let mut nets: Vec<IpNet> = texts.iter().map(|text| text.parse().unwrap()).collect();
    nets.sort_unstable();
    nets
}

#[test]
fn json_and_yaml_say_the_same() {
    let json = r#"{"nonMasqueradeCIDRs": ["10.1.0.0/16", "fd00::/8"], "masqLinkLocal": true, "resyncInterval": "1m30s"}"#;
    let yaml = "nonMasqueradeCIDRs:\n- 10.1.0.0/16\n- fd00::/8\nmasqLinkLocal: true\nresyncInterval: 1m30s\n";
    let list = parse(json).unwrap();
    assert_eq!(list, parse(yaml).unwrap());
    assert_eq!(list.nets, nets(&["10.1.0.0/16", "fd00::/8", "fe80::/10"]));
    assert_eq!(list.resync, Duration::from_secs(90));
}

#[test]
fn a_file_without_prefixes_means_the_private_ranges_and_link_local() {
    for text in ["", "nonMasqueradeCIDRs: []", "{}"] {
        let list = parse(text).unwrap();
        assert_eq!(list.nets.len(), DEFAULT.len() + 2, "{text:?}");
        assert_eq!(list.resync, RESYNC);
    }
    let both = "masqLinkLocal: true\nmasqLinkLocalIPv6: true";
    assert_eq!(parse(both).unwrap().nets, nets(&DEFAULT));
}

#[test]
fn what_is_wrong_is_named_by_its_field() {
    for (text, field) in [
        (
            "nonMasqueradeCIDRs: [10.0.0.0/8, 10.0.0.300/8]",
            "nonMasqueradeCIDRs[1]: 10.0.0.300/8",
        ),
        (
            "nonMasqueradeCIDRs: [10.0.0.1/8]",
            "nonMasqueradeCIDRs[0]: 10.0.0.1/8",
        ),
        ("nonMasqueradeCIDRs: [[]]", "nonMasqueradeCIDRs[0]: "),
        ("nonMasqueradeCIDRs: 10.0.0.0/8", "nonMasqueradeCIDRs: "),
        ("masqLinkLocal: perhaps", "masqLinkLocal: "),
        ("masqLinkLocalIPv6: 1", "masqLinkLocalIPv6: "),
        ("resyncInterval: soon", "resyncInterval: "),
        ("resyncInterval: 0s", "resyncInterval: "),
        ("- 10.0.0.0/8", "the file is not a mapping"),
    ] {
        let problem = parse(text).unwrap_err();
        assert!(problem.starts_with(field), "{text:?}: {problem}");
    }
    assert!(parse("nonMasqueradeCIDRs: [").is_err());
}

#[tokio::test]
async fn a_file_that_changes_is_followed_and_a_bad_one_keeps_the_last_good_list() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ip-masq-agent");
    let list = |net: &str| {
        format!(
            "nonMasqueradeCIDRs: [{net}]\nmasqLinkLocal: true\nmasqLinkLocalIPv6: true\nresyncInterval: 10ms"
        )
    };
    std::fs::write(&path, list("10.1.0.0/16")).unwrap();
    let tasks = TaskGroup::new();
    let mut spared = follow(Some(path.clone()), directory.path(), &tasks);
    assert_eq!(
        spared.borrow().nets.to_vec(),
        nets(&["10.1.0.0/16"]),
        "read at once"
    );
    std::fs::write(&path, list("10.2.0.0/16")).unwrap();
    let until = |text: &'static str| move |now: &Spared| format!("{now:?}").contains(text);
    let limit = Duration::from_secs(5);
    tokio::time::timeout(limit, spared.wait_for(until("10.2.0.0/16")))
        .await
        .unwrap()
        .unwrap();
    std::fs::write(&path, list("10.3.0.0/99")).unwrap();
    tokio::time::timeout(limit, spared.wait_for(until("nonMasqueradeCIDRs[0]")))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(spared.borrow().nets.to_vec(), nets(&["10.2.0.0/16"]));
    std::fs::write(&path, list("10.4.0.0/16")).unwrap();
    tokio::time::timeout(limit, spared.wait_for(|now| now.problem.is_none()))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(spared.borrow().nets.to_vec(), nets(&["10.4.0.0/16"]));
    tasks.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_file_that_was_never_good_spares_what_no_file_would_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ip-masq-agent");
    std::fs::write(&path, "masqLinkLocal: perhaps").unwrap();
    let tasks = TaskGroup::new();
    let spared = follow(Some(path), directory.path(), &tasks);
    assert_eq!(spared.borrow().nets.len(), DEFAULT.len() + 2);
    let problem = spared.borrow().problem.clone().unwrap();
    assert!(problem.contains("masqLinkLocal: "), "{problem}");
    assert!(problem.ends_with(NEVER), "{problem}");
    tasks.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_file_that_is_bad_at_the_next_start_leaves_the_last_good_list_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ip-masq-agent");
    let good = "nonMasqueradeCIDRs: [10.1.0.0/16]\nmasqLinkLocal: true\nmasqLinkLocalIPv6: true";
    std::fs::write(&path, good).unwrap();
    let tasks = TaskGroup::new();
    drop(follow(Some(path.clone()), directory.path(), &tasks));
    tasks.shutdown(Duration::from_secs(1)).await;
    std::fs::write(
        &path,
        "nonMasqueradeCIDRs: [10.2.0.0/99]\nresyncInterval: 10ms",
    )
    .unwrap();
    let tasks = TaskGroup::new();
    let spared = follow(Some(path), directory.path(), &tasks);
    let now = spared.borrow().clone();
    assert_eq!(now.nets.to_vec(), nets(&["10.1.0.0/16"]));
    let problem = now.problem.unwrap();
    assert!(problem.contains("nonMasqueradeCIDRs[0]"), "{problem}");
    assert!(problem.ends_with(LAST), "{problem}");
    tasks.shutdown(Duration::from_secs(1)).await;
}
