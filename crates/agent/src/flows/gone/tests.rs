use reconcile::{Table, TableWriter};

use super::*;

fn pod(name: &str) -> PodName {
    PodName {
        namespace: "shop".into(),
        name: name.into(),
    }
}

fn local(names: &[&str]) -> BTreeSet<PodName> {
    names.iter().map(|name| pod(name)).collect()
}

fn start(there: &[&str]) -> (TableWriter<PodName, RemoteEndpoint>, Pods) {
    let (mut writer, table): (_, Table<PodName, RemoteEndpoint>) = Table::new("endpoints", &[]);
    for name in there {
        writer.set(pod(name), RemoteEndpoint::default());
    }
    let pods = Pods {
        announced: table.snapshot(),
        local: BTreeSet::new(),
        gone: VecDeque::new(),
    };
    (writer, pods)
}

#[test]
fn a_pod_is_forgotten_a_minute_after_it_went() {
    let (mut writer, mut pods) = start(&["a", "b", "c"]);
    let begun = Instant::now();
    writer.remove(&pod("a"));
    pods.follow(writer.snapshot(), local(&[]), begun);
    let later = begun + KEPT_AFTER_POD / 2;
    writer.remove(&pod("b"));
    pods.follow(writer.snapshot(), local(&[]), later);
    assert!(pods.forgotten(later).is_empty());
    assert_eq!(pods.forgotten(begun + KEPT_AFTER_POD), [pod("a")]);
    assert_eq!(pods.forgotten(later + KEPT_AFTER_POD), [pod("b")]);
    assert!(pods.forgotten(later + KEPT_AFTER_POD * 9).is_empty());
}

#[test]
fn one_that_comes_again_is_kept_and_so_is_one_that_only_one_list_lost() {
    let (mut writer, mut pods) = start(&["a", "b"]);
    let begun = Instant::now();
    pods.follow(writer.snapshot(), local(&["b", "mine"]), begun);
    writer.remove(&pod("a"));
    writer.remove(&pod("b"));
    pods.follow(writer.snapshot(), local(&["b"]), begun);
    writer.set(pod("a"), RemoteEndpoint::default());
    pods.follow(writer.snapshot(), local(&["b"]), begun);
    assert_eq!(pods.forgotten(begun + KEPT_AFTER_POD), [pod("mine")]);
}
