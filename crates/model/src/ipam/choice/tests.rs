use serde_json::json;

use super::*;

fn wish(pairs: &[(&str, &str)]) -> Wish {
    let owned = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Wish::read(&owned.collect())
}

fn labelled(pairs: &[(&str, &str)]) -> Labels {
    let owned = pairs
        .iter()
        .map(|(key, value)| ((*key).into(), (*value).into()));
    owned.collect()
}

fn row(spec: &serde_json::Value) -> PoolRow {
    PoolRow::read(spec).expect("a pool")
}

/// Chooses for pod `web` of namespace `shop`.
fn chosen(
    family: Family,
    pod: (&Wish, &Labels),
    namespace: (&Wish, &Labels),
    pools: &[(&str, PoolRow)],
) -> Result<Arc<str>, NoPool> {
    let pools: Vec<(Arc<str>, PoolRow)> = pools
        .iter()
        .map(|(name, row)| ((*name).into(), row.clone()))
        .collect();
    let facts = Facts {
        family,
        name: ("shop", "web"),
        pod,
        namespace,
    };
    choose(
        facts,
        pools.iter().map(|(name, row)| (name, row)),
        &"default".into(),
    )
}

#[test]
fn the_pods_annotation_counts_before_the_namespaces_and_that_of_the_family_before_that_of_both() {
    let none = (&wish(&[]), &labelled(&[]));
    let namespace = wish(&[(POOL, "green"), (POOL_IPV6, "six")]);
    let of = |pod: &Wish, family| {
        let labels = labelled(&[]);
        let chosen = chosen(family, (pod, &labels), (&namespace, &labels), &[]);
        chosen.expect("a pool").to_string()
    };
    let blue = wish(&[(POOL, "blue"), (POOL_IPV4, "four")]);
    assert_eq!(of(&blue, Family::Ipv4), "four");
    assert_eq!(of(&blue, Family::Ipv6), "blue");
    assert_eq!(of(&wish(&[(POOL, "")]), Family::Ipv4), "green");
    assert_eq!(of(&wish(&[(POOL_IPV4, "four")]), Family::Ipv6), "six");
    assert_eq!(chosen(Family::Ipv4, none, none, &[]), Ok("default".into()));
}

#[test]
fn without_an_annotation_the_one_pool_that_selects_the_pod_is_taken() {
    let (nothing, empty) = (wish(&[]), labelled(&[]));
    let (app, team) = (labelled(&[("app", "web")]), labelled(&[("team", "a")]));
    let both = json!({ "ipv4": {}, "podSelector": { "matchLabels": { "app": "web" } },
        "namespaceSelector": { "matchExpressions": [{ "key": "team", "operator": "In", "values": ["a", "b"] }] } });
    let named = json!({ "ipv6": {}, "podSelector": { "matchLabels": {
        "io.kubernetes.pod.namespace": "shop", "io.kubernetes.pod.name": "web" } } });
    let pools = [
        ("apps", row(&both)),
        ("named", row(&named)),
        ("nobodys", row(&json!({ "ipv4": {}, "ipv6": {} }))),
    ];
    let of = |family, pod, namespace| {
        chosen(family, (&nothing, pod), (&nothing, namespace), &pools).expect("a pool")
    };
    assert_eq!(&*of(Family::Ipv4, &app, &team), "apps");
    assert_eq!(&*of(Family::Ipv4, &app, &empty), "default");
    assert_eq!(&*of(Family::Ipv4, &empty, &team), "default");
    // It has no IPv6 addresses; the other has no IPv4 ones.
    assert_eq!(&*of(Family::Ipv6, &app, &team), "named");
    // An empty selector selects all, as everywhere in Kubernetes.
    let all = [("all", row(&json!({ "ipv4": {}, "namespaceSelector": {} })))];
    let none = (&nothing, &empty);
    assert_eq!(chosen(Family::Ipv4, none, none, &all), Ok("all".into()));
}

#[test]
fn several_pools_or_none_where_one_is_required_are_errors_that_say_so() {
    let (nothing, empty) = (wish(&[]), labelled(&[]));
    let all = row(&json!({ "ipv4": {}, "podSelector": {} }));
    let none = (&nothing, &empty);
    let several = chosen(Family::Ipv4, none, none, &[("b", all.clone()), ("a", all)]);
    assert_eq!(
        several.unwrap_err().to_string(),
        "pools a, b all select the pod for its IPv4 address, and only one may"
    );
    let strict = wish(&[(MATCH_ONLY, "true")]);
    for (pod, namespace) in [(&strict, &nothing), (&nothing, &strict)] {
        let refused = chosen(Family::Ipv4, (pod, &empty), (namespace, &empty), &[]);
        assert_eq!(refused, Err(NoPool::None(Family::Ipv4)));
    }
    // Who names a pool has what he asks for.
    let named = wish(&[(MATCH_ONLY, "true"), (POOL, "blue")]);
    let pool = chosen(Family::Ipv4, (&named, &empty), none, &[]);
    assert_eq!(pool, Ok("blue".into()));
}

#[test]
fn a_selector_that_cannot_be_read_is_named() {
    let spec =
        json!({ "podSelector": { "matchExpressions": [{ "key": "a", "operator": "Like" }] } });
    let error = PoolRow::read(&spec).unwrap_err();
    assert_eq!(error.path, "podSelector.matchExpressions[0].operator");
}
