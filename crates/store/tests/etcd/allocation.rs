//! Numbers for labels, among agents that want them at the same moment.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use store::etcd::{Collected, Identities, Stale, layout};

use super::world::{Node, World};

const LABELS: &str = "k8s:app.kubernetes.io/name=shop;k8s:io.kubernetes.pod.namespace=default;";

fn agent(node: &Node, address: &str) -> Identities {
    Identities::new(node.etcd.clone(), address.to_owned(), node.lease.clone())
}

fn nodes(world: &World, names: &[&str]) -> Vec<(Node, Identities)> {
    names
        .iter()
        .map(|name| {
            let node = world.node(name, Duration::from_mins(15));
            node.want([]);
            let agent = agent(&node, name);
            (node, agent)
        })
        .collect()
}

#[tokio::test]
async fn keys_are_those_that_upstream_writes_and_reads() {
    let world = need!(World::start());
    let agents = nodes(&world, &["10.0.0.1"]);
    let number = agents[0].1.number(LABELS, None, 1234..=1234).await.unwrap();
    assert_eq!(number, Some(1234));
    let all = world
        .etcd()
        .list("cilium/state/identities/v1/", false)
        .await
        .unwrap();
    let all: Vec<(&str, &str, bool)> = all
        .iter()
        .map(|pair| (pair.key.as_str(), pair.text().unwrap(), pair.lease != 0))
        .collect();
    let usage = format!("cilium/state/identities/v1/value/{LABELS}/10.0.0.1");
    assert_eq!(
        all,
        [
            ("cilium/state/identities/v1/id/1234", LABELS, false),
            (usage.as_str(), "1234", true),
        ],
        "and no lock is left"
    );
}

#[tokio::test]
async fn many_agents_with_the_same_new_labels_get_one_number_and_with_different_ones_different_numbers()
 {
    let world = need!(World::start());
    let names = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"];
    let agents = nodes(&world, &names);
    let mut asked = Vec::new();
    for (_, agent) in &agents {
        for labels in 0..5 {
            let agent = agent.clone();
            asked.push(tokio::spawn(async move {
                let labels = format!("k8s:app={labels};");
                // All try the same numbers first.
                let number = agent.number(&labels, None, 300..400).await.unwrap();
                (labels, number.unwrap())
            }));
        }
    }
    let mut given = BTreeSet::new();
    for task in asked {
        given.insert(task.await.unwrap());
    }
    let (labels, numbers): (BTreeSet<_>, BTreeSet<_>) = given.iter().cloned().unzip();
    assert_eq!(
        (given.len(), labels.len(), numbers.len()),
        (5, 5, 5),
        "{given:?}"
    );
    let uses = world.etcd().list(layout::USES, true).await.unwrap();
    assert_eq!(uses.len(), 20);
    assert_eq!(
        world.etcd().list(layout::LOCKS, true).await.unwrap().len(),
        0
    );
}

#[tokio::test]
async fn labels_that_begin_like_others_are_others() {
    let world = need!(World::start());
    let agents = nodes(&world, &["10.0.0.1", "10.0.0.2"]);
    let (long, short) = ("k8s:a=b;/c;", "k8s:a=b;");
    agents[0].1.number(long, None, 300..301).await.unwrap();
    let number = agents[1].1.number(short, None, 301..302).await.unwrap();
    assert_eq!(number, Some(301));
}

#[tokio::test]
async fn a_number_that_is_taken_or_known_to_be_ours_is_handled_so() {
    let world = need!(World::start());
    let agents = nodes(&world, &["10.0.0.1"]);
    let agent = &agents[0].1;
    let etcd = world.etcd();
    etcd.put(&layout::identity(300), "k8s:other=;")
        .await
        .unwrap();
    etcd.put(&layout::identity(301), LABELS).await.unwrap();
    // Nobody uses 301 any more, but it is there.
    assert_eq!(
        agent.number(LABELS, Some(301), 302..303).await.unwrap(),
        Some(301)
    );
    // A table that is behind says that 300 is ours: it is not.
    let other = "k8s:third=;";
    assert_eq!(
        agent.number(other, Some(300), 300..303).await.unwrap(),
        Some(302)
    );
    let none = "k8s:fourth=;";
    assert_eq!(agent.number(none, None, 300..303).await.unwrap(), None);
    // Somebody deleted the number's own key while it is in use.
    etcd.delete(&layout::identity(302)).await.unwrap();
    assert_eq!(
        agent.number(other, None, 500..501).await.unwrap(),
        Some(302)
    );
    let restored = etcd.get(&layout::identity(302)).await.unwrap().unwrap();
    assert_eq!(restored.text(), Some(other));
}

#[tokio::test]
async fn a_number_is_collected_after_two_rounds_without_use_and_never_while_somebody_uses_it() {
    let world = need!(World::start());
    let agents = nodes(&world, &["10.0.0.1"]);
    let etcd = world.etcd();
    etcd.put(&layout::identity(300), "k8s:unused=;")
        .await
        .unwrap();
    etcd.put(&layout::identity(302), "k8s:soon=;")
        .await
        .unwrap();
    agents[0].1.number(LABELS, None, 301..302).await.unwrap();
    let mut stale = Stale::default();
    etcd.put(&layout::identity(303), "k8s:kept=;")
        .await
        .unwrap();
    let kept = HashSet::from([303]);
    let mut round = async || {
        let round = stale.collect(etcd, &kept, Duration::ZERO, || true);
        round.await.unwrap()
    };
    assert_eq!(
        round().await,
        Collected {
            alive: 4,
            deleted: 0
        }
    );
    // Between the rounds somebody begins to use one of them.
    let soon = agents[0].1.number("k8s:soon=;", Some(302), 400..401);
    assert_eq!(soon.await.unwrap(), Some(302));
    assert_eq!(
        round().await,
        Collected {
            alive: 3,
            deleted: 1
        }
    );
    assert_eq!(
        round().await,
        Collected {
            alive: 3,
            deleted: 0
        }
    );
    assert!(etcd.get(&layout::identity(300)).await.unwrap().is_none());
    assert!(etcd.get(&layout::identity(301)).await.unwrap().is_some());
}

#[tokio::test]
async fn who_does_not_lead_any_more_collects_nothing() {
    let world = need!(World::start());
    let etcd = world.etcd();
    etcd.put(&layout::identity(300), "k8s:unused=;")
        .await
        .unwrap();
    let mut stale = Stale::default();
    for _ in 0..3 {
        let none = HashSet::new();
        let round = stale.collect(etcd, &none, Duration::ZERO, || false);
        round.await.unwrap();
    }
    assert!(etcd.get(&layout::identity(300)).await.unwrap().is_some());
}
