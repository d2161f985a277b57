use super::*;

#[test]
fn a_local_number_is_not_reused_while_anyone_remembers_it() {
    let mut numbers = Numbers::new(1..=3);
    let a = numbers.acquire(&"a").unwrap();
    assert_eq!(numbers.acquire(&"a"), Ok(a));
    assert_eq!(numbers.release(&"a"), Release::InUse);
    assert_eq!(numbers.forget(a), None, "in use");
    assert_eq!(numbers.release(&"a"), Release::Unused);
    assert_eq!(numbers.release(&"a"), Release::Unknown);
    let (b, c) = (
        numbers.acquire(&"b").unwrap(),
        numbers.acquire(&"c").unwrap(),
    );
    assert_eq!((b, c), (2, 3));
    assert!(
        numbers.acquire(&"d").is_err(),
        "a's number is unused but remembered"
    );
    assert_eq!(numbers.unused().into_iter().collect::<Vec<_>>(), [a]);
    assert_eq!(numbers.forget(a), Some("a"));
    assert_eq!(numbers.acquire(&"d"), Ok(a));
}

#[test]
fn local_numbers_survive_a_restart_and_new_ones_do_not_collide_with_them() {
    let mut before = Numbers::new(10..=100);
    let ids: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|key| before.acquire(key).unwrap())
        .collect();
    let mut after = Numbers::new(10..=100);
    after.restore(before.iter().map(|(id, key, _)| (id, *key)));
    after.restore([(5, "out of range"), (ids[0], "twice")]);
    let new = after.acquire(&"new").unwrap();
    assert!(!ids.contains(&new));
    assert_eq!(after.acquire(&"b"), Ok(ids[1]));
    assert_eq!(
        after.unused().into_iter().collect::<Vec<_>>(),
        [ids[0], ids[2]]
    );
}
