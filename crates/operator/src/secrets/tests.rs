use serde_json::json;

use super::*;

fn of(namespace: &str, name: &str) -> PodName {
    PodName {
        namespace: namespace.into(),
        name: name.into(),
    }
}

fn row(digest: u64, owner: Option<PodName>) -> SecretRow {
    SecretRow {
        uid: "u".into(),
        version: "1".into(),
        digest,
        owner,
    }
}

fn steps(wanted: &[PodName], secrets: &[(PodName, SecretRow)]) -> Vec<(&'static str, String)> {
    let wanted = wanted.iter().cloned().collect();
    let steps = plan(&wanted, &secrets.iter().cloned().collect(), "copies");
    let step = steps.into_iter().map(|step| match step {
        Step::Copy { name, of } => ("copy", format!("{of} {name}")),
        Step::Remove { name, .. } => ("remove", name.to_string()),
        Step::Taken { name, of } => ("taken", format!("{of} {name}")),
    });
    step.collect()
}

#[test]
fn every_place_in_which_a_policy_names_a_secret_is_found() {
    let tls = |name: &str| json!({ "secret": { "namespace": "certs", "name": name } });
    let spec = json!({
        "egress": [
            { "toPorts": [{ "terminatingTLS": tls("a"), "originatingTLS": tls("b") }] },
            { "toPorts": [{ "rules": { "http": [{ "headerMatches": [
                { "name": "token", "secret": { "name": "c" } },
                { "name": "plain", "value": "x" },
            ] }] } }] },
        ],
        "ingress": [{ "toPorts": [{ "terminatingTLS": tls("a") }] }, {}],
    });
    let specs = json!([{ "ingress": [{ "toPorts": [{ "terminatingTLS": tls("d") }, { "terminatingTLS": {} }] }] }]);
    let found = references(Some(&spec), Some(&specs), "shop");
    let expected = [
        of("certs", "a"),
        of("certs", "b"),
        of("certs", "d"),
        of("shop", "c"),
    ];
    assert_eq!(Vec::from_iter(found), expected);
    // A policy of the cluster has no namespace that could be meant.
    assert_eq!(references(Some(&spec), None, "").len(), 2);
    assert!(references(None, None, "shop").is_empty());
}

#[test]
fn a_copy_is_made_changed_and_removed_as_its_secret_is() {
    let (secret, copy) = (of("shop", "tls"), of("copies", "shop-tls"));
    let wanted = [secret.clone()];
    let make = [("copy", "shop/tls shop-tls".to_owned())];
    let ours = Some(secret.clone());
    assert_eq!(steps(&wanted, &[(secret.clone(), row(1, None))]), make);
    let same = [
        (secret.clone(), row(1, None)),
        (copy.clone(), row(1, ours.clone())),
    ];
    assert_eq!(steps(&wanted, &same), []);
    let other = [(secret, row(2, None)), (copy.clone(), row(1, ours.clone()))];
    assert_eq!(steps(&wanted, &other), make);
    let remove = [("remove", "shop-tls".to_owned())];
    assert_eq!(steps(&[], &same), remove);
    assert_eq!(steps(&wanted, &[(copy, row(1, ours))]), remove);
}

#[test]
fn what_is_nobodys_copy_is_never_touched() {
    let (secret, foreign) = (of("shop", "tls"), of("copies", "shop-tls"));
    let both = [(secret.clone(), row(1, None)), (foreign, row(2, None))];
    let taken = [("taken", "shop/tls shop-tls".to_owned())];
    assert_eq!(steps(&[secret], &both), taken);
    assert_eq!(steps(&[], &both), []);
    // What is there already needs no copy.
    assert_eq!(steps(&[of("copies", "shop-tls")], &both), []);
}

#[test]
fn of_two_secrets_with_one_name_for_their_copy_the_one_that_has_it_keeps_it() {
    let (early, late) = (of("a", "b-c"), of("a-b", "c"));
    let wanted = [early.clone(), late.clone()];
    let mut secrets = vec![(early.clone(), row(1, None)), (late.clone(), row(2, None))];
    assert_eq!(
        steps(&wanted, &secrets),
        [
            ("copy", "a/b-c a-b-c".to_owned()),
            ("taken", "a-b/c a-b-c".to_owned())
        ]
    );
    secrets.push((of("copies", "a-b-c"), row(2, Some(late.clone()))));
    assert_eq!(
        steps(&wanted, &secrets),
        [("taken", "a/b-c a-b-c".to_owned())]
    );
    // Once that one is not wanted any more, the copy becomes the other's.
    assert_eq!(
        steps(&[early], &secrets),
        [("copy", "a/b-c a-b-c".to_owned())]
    );
}

#[test]
fn what_a_secret_holds_is_in_no_message() {
    let text = json!({ "metadata": { "namespace": "shop", "name": "tls", "annotations": { "a": "aGlkZGVu" } },
        "data": { "tls.key": "aGlkZGVu", "none": null }, "type": "Opaque" });
    let secret: Secret = serde_json::from_value(text.clone()).unwrap();
    assert_eq!(format!("{secret:?}"), "Secret shop/tls");
    let written = serde_json::to_value(&secret).unwrap();
    assert_eq!(
        (&written["data"], &written["type"]),
        (&text["data"], &text["type"])
    );
}
