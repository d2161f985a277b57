use std::collections::BTreeMap;

use super::*;
use crate::labels::LabelSet;

fn labels(texts: &[&str]) -> LabelSet {
    LabelSet::parse(texts.iter().copied()).unwrap()
}

const ONLY: ClusterNumbers = ClusterNumbers {
    cluster_id: 0,
    clusters: MaxClusters::C255,
};

fn decide(of: &LabelSet, known: &KnownIdentities, random: u32) -> Allocation {
    allocate(
        of,
        known,
        &well_known("default", "kube-system"),
        ONLY,
        random,
    )
}

#[test]
fn ranges_of_clusters_do_not_touch_each_other_or_the_reserved_numbers() {
    assert_eq!(ONLY.range(), 256..=65535);
    let third = ClusterNumbers {
        cluster_id: 3,
        ..ONLY
    };
    assert_eq!(third.range(), 0x30000..=0x3ffff);
    let wide = ClusterNumbers {
        cluster_id: 511,
        clusters: MaxClusters::C511,
    };
    assert_eq!(wide.range(), 0xff_8000..=0xff_ffff);
    assert_eq!(wide.cluster_of(Identity(0xff_8001)), 511);
    assert_eq!(third.cluster_of(Identity(0x30000)), 3);
}

#[test]
fn reserved_identities_have_the_numbers_names_and_labels_that_everyone_knows() {
    let printed: Vec<String> = Reserved::ALL
        .iter()
        .map(|r| format!("{} {} {}", r.id(), r.name(), r.labels()))
        .collect();
    assert_eq!(
        printed,
        [
            "1 host reserved:host",
            "2 world reserved:world",
            "3 unmanaged reserved:unmanaged",
            "4 health reserved:health",
            "5 init reserved:init",
            "6 remote-node reserved:remote-node",
            "7 kube-apiserver reserved:kube-apiserver,reserved:remote-node",
            "8 ingress reserved:ingress",
            "9 world-ipv4 reserved:world-ipv4",
            "10 world-ipv6 reserved:world-ipv6",
        ]
    );
}

#[test]
fn what_exists_is_found_and_what_does_not_gets_a_random_free_number() {
    let mut known = KnownIdentities::default();
    let web = labels(&["k8s:app=web", "k8s:io.kubernetes.pod.namespace=shop"]);
    assert_eq!(decide(&web, &known, 0), Allocation::Create(Identity(256)));
    assert_eq!(
        decide(&web, &known, 65279),
        Allocation::Create(Identity(65535))
    );
    known.insert(Identity(256), labels(&["k8s:app=other"]));
    known.insert(Identity(65535), labels(&["k8s:app=third"]));
    assert_eq!(
        decide(&web, &known, 65279),
        Allocation::Create(Identity(257)),
        "clash: the next free one, around the end"
    );
    known.insert(Identity(4711), web.clone());
    known.insert(Identity(900), web.clone());
    assert_eq!(
        decide(&web, &known, 1),
        Allocation::Exists(Identity(900)),
        "of two, everyone takes the lower"
    );
    known.remove(Identity(900));
    assert_eq!(decide(&web, &known, 1), Allocation::Exists(Identity(4711)));
}

#[test]
fn reserved_and_well_known_labels_need_no_allocation() {
    let known = KnownIdentities::default();
    assert_eq!(
        decide(&LabelSet::empty(), &known, 0),
        Allocation::Exists(Reserved::Init.id())
    );
    assert_eq!(
        decide(
            &labels(&["reserved:host", "reserved:kube-apiserver"]),
            &known,
            0
        ),
        Allocation::Exists(Identity(1))
    );
    let dns = labels(&[
        "k8s:k8s-app=kube-dns",
        "k8s:io.kubernetes.pod.namespace=kube-system",
        "k8s:io.cilium.k8s.policy.serviceaccount=coredns",
        "k8s:io.cilium.k8s.policy.cluster=default",
        "k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=kube-system",
    ]);
    assert_eq!(decide(&dns, &known, 0), Allocation::Exists(Identity(112)));
}

#[test]
fn when_every_number_is_taken_it_says_so() {
    let mut known = KnownIdentities::default();
    for id in 256..=65535 {
        known.insert(Identity(id), labels(&[&format!("k8s:n={id}")]));
    }
    assert_eq!(
        decide(&labels(&["k8s:app=web"]), &known, 99),
        Allocation::Exhausted
    );
}

#[test]
fn security_labels_survive_the_way_to_the_store_and_back() {
    let set = labels(&[
        "k8s:app=web",
        "k8s:a.b/c=",
        "k8s:eq==a=b:c",
        "reserved:host",
    ]);
    let map = to_security_labels(&set);
    assert_eq!(map["k8s:app"], "web");
    assert_eq!(from_security_labels(&map), Ok(set));
    assert!(from_security_labels(&BTreeMap::from([("k8s:".to_owned(), "x".to_owned())])).is_err());
}

#[test]
fn labels_of_prefixes_are_spelt_without_colons() {
    let of = |text: &str, stack| cidr_labels(&text.parse().unwrap(), stack).to_string();
    assert_eq!(
        of("10.0.0.0/8", Stack::Single),
        "cidr:10.0.0.0/8,reserved:world"
    );
    assert_eq!(
        of("10.0.0.0/8", Stack::Dual),
        "cidr:10.0.0.0/8,reserved:world-ipv4"
    );
    assert_eq!(
        of("2001:db8::/32", Stack::Dual),
        "cidr:2001-db8--0/32,reserved:world-ipv6"
    );
    assert_eq!(of("::1/128", Stack::Single), "cidr:0--1/128,reserved:world");
    assert_eq!(of("0.0.0.0/0", Stack::Dual), "reserved:world-ipv4");
}

#[test]
fn labels_decide_who_knows_the_number() {
    let of = |texts: &[&str]| IdentityScope::of_labels(&labels(texts));
    assert_eq!(
        of(&["cidr:10.0.0.0/8", "reserved:world"]),
        IdentityScope::LocalWorld
    );
    assert_eq!(
        of(&["reserved:remote-node", "node:zone=a"]),
        IdentityScope::LocalNode
    );
    assert_eq!(
        of(&["k8s:app=web", "reserved:world"]),
        IdentityScope::Global
    );
    assert_eq!(
        IdentityScope::of(Identity(0x0100_0001)),
        IdentityScope::LocalWorld
    );
}
