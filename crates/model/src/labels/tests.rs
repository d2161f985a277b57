//! Labels: text form, the filter's decision, and pods that lie about themselves.

use super::*;

fn kept(filter: &LabelFilter, text: &str) -> bool {
    filter.keeps(&Label::parse(text).unwrap())
}

#[test]
fn a_label_survives_printing_and_parsing() {
    for text in [
        "k8s:app=web",
        "reserved:host",
        "cidr:10.0.0.0/8",
        "cidr:2001-db8--0/32",
        "k8s:a=b=c",
        "other:x=y",
    ] {
        assert_eq!(Label::parse(text).unwrap().to_string(), text);
    }
    assert_eq!(
        Label::parse("app=web").unwrap(),
        Label::new(Source::Unspec, "app", "web")
    );
    assert_eq!(
        Label::parse("app=a:b").unwrap(),
        Label::new(Source::Unspec, "app", "a:b")
    );
}

#[test]
fn a_label_without_a_key_is_refused() {
    for text in ["", "=", "k8s:", "k8s:=x", ":"] {
        assert!(
            matches!(Label::parse(text), Err(LabelError::NoKey { .. })),
            "{text}"
        );
    }
    assert!(matches!(
        Label::parse("k8s:a\u{1b}b"),
        Err(LabelError::Character { part: "key", .. })
    ));
}

#[test]
fn a_set_is_sorted_and_keeps_the_last_value_of_a_name() {
    let set = LabelSet::parse(["k8s:b=1", "k8s:a=1", "reserved:a", "k8s:a=2"]).unwrap();
    assert_eq!(set.to_string(), "k8s:a=2,k8s:b=1,reserved:a");
    assert_eq!(set.get(&Source::K8s, "a"), Some("2"));
    assert_eq!(set.any("a").collect::<Vec<_>>(), ["2", ""]);
}

#[test]
fn the_default_filter_decides_as_upstream_does() {
    let filter = LabelFilter::standard().unwrap();
    for text in [
        "k8s:app=web",
        "reserved:host",
        "k8s:io.kubernetes.pod.namespace=a",
        "k8s:app.kubernetes.io/name=x",
        "k8s:io.cilium.k8s.policy.cluster=c",
        "k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=a",
    ] {
        assert!(kept(&filter, text), "{text}");
    }
    for text in [
        "k8s:pod-template-hash=1",
        "k8s:statefulset.kubernetes.io/pod-name=a-0",
        "k8s:kubernetes.io/arch=arm",
        "k8s:beta.kubernetes.io/os=linux",
        "k8s:topology.kubernetes.io/zone=a",
        "k8s:annotation.x=1",
        "k8s:io.kubernetes.container.name=x",
    ] {
        assert!(!kept(&filter, text), "{text}");
    }
}

#[test]
fn a_users_include_makes_an_allow_list_and_an_ignore_does_not() {
    let include = LabelFilter::with_patterns(["k8s:app"]).unwrap();
    assert!(kept(&include, "k8s:app=web"));
    assert!(
        kept(&include, "k8s:apple=web"),
        "patterns match at the start"
    );
    assert!(!kept(&include, "node:app=web"));
    assert!(!kept(&include, "k8s:team=a"));
    assert!(kept(&include, "k8s:io.kubernetes.pod.namespace=a"));
    let ignore = LabelFilter::with_patterns(["!team"]).unwrap();
    assert!(!kept(&ignore, "k8s:team=a"));
    assert!(kept(&ignore, "k8s:app=web"));
    assert!(matches!(
        LabelFilter::with_patterns(["("]),
        Err(FilterError::Pattern { .. })
    ));
}

#[test]
fn a_prefix_file_replaces_the_defaults_and_its_errors_name_the_field() {
    let file = serde_json::json!({"version":1,"valid-prefixes":[{"source":"k8s","prefix":"team"},{"prefix":"team-x","invert":true}]});
    let filter = LabelFilter::from_prefix_file(&file).unwrap();
    assert!(kept(&filter, "k8s:team=a") && kept(&filter, "reserved:host"));
    assert!(!kept(&filter, "k8s:team-x=a") && !kept(&filter, "k8s:app=a"));
    let bad = serde_json::json!({"version":1,"valid-prefixes":[{"prefix":"a"},{"prefix":7}]});
    let error = LabelFilter::from_prefix_file(&bad).unwrap_err().to_string();
    assert!(error.contains("valid-prefixes[1].prefix"), "{error}");
}

#[test]
fn a_pod_cannot_forge_its_namespace_account_or_cluster() {
    let filter = LabelFilter::standard().unwrap();
    let facts = |pod: &'static [(&'static str, &'static str)]| PodLabels {
        pod: pod.iter().copied(),
        namespace: "shop",
        namespace_labels: [("team", "shop")],
        service_account: None,
        cluster: "default",
    };
    let honest = pod_labels(facts(&[("app", "web")]), &filter);
    let forged = facts(&[
        ("app", "web"),
        ("io.kubernetes.pod.namespace", "admin"),
        ("io.cilium.k8s.policy.cluster", "other"),
        ("io.cilium.k8s.policy.serviceaccount", "root"),
        ("io.cilium.k8s.namespace.labels.team", "admin"),
    ]);
    let labels = pod_labels(forged, &filter);
    assert_eq!(labels, honest);
    let with_reserved = pod_labels(facts(&[("app", "web"), ("reserved:host", "")]), &filter);
    assert!(
        !with_reserved.has_reserved("host"),
        "a colon in a key makes no source"
    );
    assert_eq!(
        honest.to_string(),
        "k8s:app=web,k8s:io.cilium.k8s.namespace.labels.team=shop,k8s:io.cilium.k8s.policy.cluster=default,\
         k8s:io.kubernetes.pod.namespace=shop"
    );
}
