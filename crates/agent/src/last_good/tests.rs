use std::time::Duration;

use model::policy::parse_cidr_group;
use reconcile::TaskGroup;
use serde_json::json;

use super::*;

fn group(uid: &str, member: &str) -> Value {
    json!({
        "metadata": { "name": "g", "uid": uid, "managedFields": [{}] },
        "spec": { "externalCIDRs": [member] }, "status": { "seen": true },
    })
}

fn keep(of: &LastGood, uid: &str, to: Option<&str>) {
    let key: Arc<str> = uid.into();
    let step = match to {
        Some(text) => Step::Create {
            key,
            to: Arc::new(text.into()),
        },
        None => Step::Delete { key, from: None },
    };
    futures::executor::block_on(of.apply(&step)).expect("applied");
}

fn found(of: &LastGood) -> Vec<(Arc<str>, Arc<str>)> {
    let fetched = futures::executor::block_on(of.fetch(None)).expect("fetched");
    fetched.entries
}

#[test]
fn a_faulty_version_leaves_the_good_one_of_the_same_object_in_force_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let files = LastGood::open(directory.path()).unwrap();
    let judge = |value, before| files.judge(value, before, parse_cidr_group);
    let good = judge(group("a", "10.0.0.0/8"), None);
    assert_eq!(good.fault, None);
    let faulty = judge(group("a", "10.0.0.0/99"), Some(&good));
    assert_eq!(faulty.good, good.good);
    assert!(
        faulty
            .complaint()
            .unwrap()
            .starts_with("spec.externalCIDRs[0]")
    );
    let again = judge(group("a", "10.0.0.0/98"), Some(&faulty));
    assert_eq!(again.good, good.good, "over several faulty versions");
    let other = judge(group("b", "10.0.0.0/99"), Some(&good));
    assert_eq!(other.good, None, "another object of the name");
}

#[test]
fn what_is_kept_is_found_by_the_next_run_and_its_status_is_not_kept() {
    let directory = tempfile::tempdir().unwrap();
    let files = LastGood::open(directory.path()).unwrap();
    let good = files.judge(group("a", "10.0.0.0/8"), None, parse_cidr_group);
    let text = good.good.as_ref().unwrap().text.clone();
    assert!(
        !text.contains("status") && !text.contains("managedFields"),
        "{text}"
    );
    keep(&files, "a", Some(&text));
    let files = LastGood::open(directory.path()).unwrap();
    let faulty = files.judge(group("a", "10.0.0.0/99"), None, parse_cidr_group);
    assert_eq!(faulty.good, good.good);
    keep(&files, "a", None);
    keep(&files, "a", None);
    let forgotten = files.judge(group("a", "10.0.0.0/99"), None, parse_cidr_group);
    assert_eq!(forgotten.good, None);
}

#[test]
fn a_file_that_is_not_good_any_more_counts_for_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let files = LastGood::open(directory.path()).unwrap();
    for text in [
        "",
        "{",
        "[]",
        r#"{"metadata":{"name":"g"},"spec":{"externalCIDRs":["x"]}}"#,
    ] {
        keep(&files, "a", Some(text));
        let judged = files.judge(group("a", "10.0.0.0/99"), None, parse_cidr_group);
        assert_eq!(judged.good, None, "{text:?}");
    }
}

#[test]
fn half_a_write_is_swept_and_a_uid_is_never_a_path() {
    let directory = tempfile::tempdir().unwrap();
    let files = LastGood::open(directory.path()).unwrap();
    keep(&files, "a", Some("{}"));
    std::fs::write(directory.path().join("last-good/b.new"), "{").unwrap();
    for uid in ["", "../a", "a/b", ".", &"a".repeat(65)] {
        keep(&files, uid, Some("{}"));
    }
    assert_eq!(found(&files), [("a".into(), "{}".into())]);
    let left = std::fs::read_dir(directory.path().join("last-good")).unwrap();
    assert_eq!(left.count(), 1);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn nothing_is_removed_before_every_kind_has_come_and_then_what_has_no_object() {
    let directory = tempfile::tempdir().unwrap();
    let files = LastGood::open(directory.path()).unwrap();
    keep(&files, "gone", Some("{}"));
    let (mut writer, desired) = Table::new("kept", &["policies"]);
    let tasks = TaskGroup::new();
    let (reconciler, _) = super::files(files.clone(), desired);
    tasks.spawn("files", move |stop| reconciler.run(stop));
    let entries: BTreeMap<Arc<str>, Arc<str>> = [("a".into(), "{}".into())].into();
    writer.replace(entries);
    until(&files, &["a", "gone"]).await;
    writer.mark_initialized("policies");
    until(&files, &["a"]).await;
    tasks.shutdown(Duration::from_secs(1)).await;
}

async fn until(files: &LastGood, uids: &[&str]) {
    for _ in 0..400 {
        let mut now: Vec<_> = found(files).into_iter().map(|(uid, _)| uid).collect();
        now.sort();
        if now.iter().map(|uid| &**uid).eq(uids.iter().copied()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{uids:?} do not come");
}
