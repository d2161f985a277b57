//! Selectors: sources, operators, refused input, and the index against a scan.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::labels::Label;

fn parse(value: &Value, keys: Keys) -> Result<LabelSelector, Invalid> {
    ParsedSelector::parse(&Field::root(value), keys).map(|parsed| parsed.into_selector([]))
}

fn selects(value: &Value, labels: &[&str]) -> bool {
    parse(value, Keys::Sourced)
        .unwrap()
        .matches(&LabelSet::parse(labels.iter().copied()).unwrap())
}

#[test]
fn a_key_without_a_source_means_any_and_a_source_means_only_itself() {
    let any = json!({"matchLabels":{"app":"web"}});
    assert!(selects(&any, &["k8s:app=web"]) && selects(&any, &["node:app=web"]));
    let k8s = json!({"matchLabels":{"k8s:app":"web"}});
    assert!(selects(&k8s, &["k8s:app=web"]) && !selects(&k8s, &["node:app=web"]));
    let host = json!({"matchExpressions":[{"key":"reserved:host","operator":"Exists"}]});
    assert!(selects(&host, &["reserved:host"]) && !selects(&host, &["k8s:host"]));
}

#[test]
fn notin_and_doesnotexist_match_an_absent_key() {
    let notin = json!({"matchExpressions":[{"key":"app","operator":"NotIn","values":["web"]}]});
    assert!(
        selects(&notin, &[])
            && selects(&notin, &["k8s:app=api"])
            && !selects(&notin, &["k8s:app=web"])
    );
    let absent = json!({"matchExpressions":[{"key":"app","operator":"DoesNotExist"}]});
    assert!(selects(&absent, &[]) && !selects(&absent, &["k8s:app"]));
    assert!(selects(&json!({}), &[]));
}

#[test]
fn refused_selectors_name_the_field() {
    for (value, path) in [
        (json!({"matchLabel":{}}), "matchLabel"),
        (json!({"matchLabels":[]}), "matchLabels"),
        (json!({"matchLabels":{"a":1}}), "matchLabels.a"),
        (json!({"matchLabels":{"a b":"c"}}), "matchLabels[\"a b\"]"),
        (
            json!({"matchLabels":{"k9s:a":"c"}}),
            "matchLabels[\"k9s:a\"]",
        ),
        (json!({"matchLabels":{"a":"-c"}}), "matchLabels.a"),
        (
            json!({"matchExpressions":[{"operator":"In","values":["a"]}]}),
            "matchExpressions[0].key",
        ),
        (
            json!({"matchExpressions":[{"key":"a","operator":"in"}]}),
            "matchExpressions[0].operator",
        ),
        (
            json!({"matchExpressions":[{"key":"a","operator":"In"}]}),
            "matchExpressions[0]",
        ),
        (
            json!({"matchExpressions":[{"key":"a","operator":"Exists","values":["b"]}]}),
            "matchExpressions[0]",
        ),
        (json!([]), "object"),
    ] {
        assert_eq!(
            parse(&value, Keys::Sourced).unwrap_err().path,
            path,
            "{value}"
        );
    }
}

#[test]
fn a_selector_is_dropped_from_the_index_with_its_last_user() {
    let selector = parse(&json!({"matchLabels":{"app":"web"}}), Keys::Sourced).unwrap();
    let labels = LabelSet::parse(["k8s:app=web"]).unwrap();
    let mut index = SelectorIndex::default();
    let (id, new) = index.acquire(&selector);
    assert!(new);
    assert_eq!(index.acquire(&selector), (id, false));
    index.release(id);
    assert_eq!(index.matching(&labels), [id]);
    index.release(id);
    assert!(index.matching(&labels).is_empty() && index.is_empty());
    index.release(id);
    assert!(index.is_empty());
}

fn requirement() -> impl Strategy<Value = Requirement> {
    let source = prop_oneof![
        Just(KeySource::Any),
        Just(KeySource::Is(Source::K8s)),
        Just(KeySource::Is(Source::Node))
    ];
    let values =
        || prop::collection::btree_set("[xy]".prop_map(|text| -> Arc<str> { text.into() }), 1..3);
    let operator = prop_oneof![
        values().prop_map(Operator::In),
        values().prop_map(Operator::NotIn),
        Just(Operator::Exists),
        Just(Operator::DoesNotExist)
    ];
    (source, "[abc]", operator).prop_map(|(source, key, operator)| Requirement {
        key: SelectorKey {
            source,
            key: key.into(),
        },
        operator,
    })
}

proptest! {
    #[test]
    fn the_index_finds_what_a_scan_finds(
        selectors in prop::collection::vec(prop::collection::vec(requirement(), 0..4), 0..12),
        removed in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        labels in prop::collection::vec(("k8s|node", "[abc]", "[xyz]"), 0..5),
    ) {
        let labels: LabelSet =
            labels.iter().map(|(s, k, v)| Label::new(Source::from_word(s), k.as_str(), v.as_str())).collect();
        let mut index = SelectorIndex::default();
        let mut held: Vec<_> = selectors.into_iter().map(|list| index.acquire(&list.into_iter().collect()).0).collect();
        for at in removed {
            if !held.is_empty() {
                index.release(held.swap_remove(at.index(held.len())));
            }
        }
        let scanned: Vec<_> = index.iter().filter(|(_, s, _)| s.matches(&labels)).map(|(id, ..)| id).collect();
        prop_assert_eq!(index.matching(&labels), scanned);
    }
}
