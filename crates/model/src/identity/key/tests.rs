use proptest::prelude::*;

use super::*;
use crate::labels::Source;

#[test]
fn the_text_is_the_one_that_upstream_writes() {
    let labels: LabelSet = [
        Label::k8s("io.kubernetes.pod.namespace", "default"),
        Label::k8s("app.kubernetes.io/name", "shop"),
        Label::k8s("app", "shop"),
        Label::k8s("empty", ""),
        Label::new(Source::Container, "b", "1"),
    ]
    .into_iter()
    .collect();
    let text = "k8s:app=shop;k8s:app.kubernetes.io/name=shop;container:b=1;k8s:empty=;k8s:io.kubernetes.pod.namespace=default;";
    assert_eq!(to_key(&labels), text);
    assert_eq!(from_key(text), Ok(labels));
}

#[test]
fn what_is_no_label_is_refused_by_name() {
    assert!(from_key("k8s:a=b;k8s:=c;").is_err());
    assert_eq!(from_key(""), Ok(LabelSet::default()));
}

proptest! {
    #[test]
    fn what_was_written_is_read_again(pairs in proptest::collection::btree_map("[a-z][a-z0-9./-]{0,12}", "[a-z0-9._-]{0,8}", 0..8)) {
        let labels: LabelSet = pairs.iter().map(|(key, value)| Label::k8s(key.as_str(), value.as_str())).collect();
        prop_assert_eq!(from_key(&to_key(&labels)), Ok(labels));
    }
}
