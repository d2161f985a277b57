//! What the queue keeps and what it drops.

use super::*;

#[test]
fn what_a_killed_plugin_left_half_written_goes_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, minutes: u64| {
        let file = File::create(directory.path().join(name)).expect(name);
        let then = std::time::SystemTime::now() - Duration::from_mins(minutes);
        file.set_modified(then).expect(name);
    };
    file("one.delete", 5);
    file("one.delete.77", 5);
    file("two.delete.78", 0);
    file(LOCK, 5);
    drop_unfinished(directory.path());
    let left = std::fs::read_dir(directory.path()).expect("list").flatten();
    let left = left.map(|of| of.file_name().to_string_lossy().into_owned());
    let left: std::collections::BTreeSet<String> = left.collect();
    let expected = ["lockfile", "one.delete", "two.delete.78"];
    assert_eq!(left, expected.map(str::to_owned).into());
}
