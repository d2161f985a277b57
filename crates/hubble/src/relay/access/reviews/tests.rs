use super::*;

#[test]
fn what_is_remembered_is_bounded_and_ends() {
    let now = Instant::now();
    let mut known = Remembered::<u32, u32>::default();
    known.remember(1, 10, now, 2);
    known.remember(2, 20, now + BELIEVED / 2, 2);
    assert_eq!(known.find(&1, now), Some(10));
    let later = now + BELIEVED;
    assert_eq!(known.find(&1, later), None);
    assert_eq!(known.find(&2, later), Some(20));
    // What is over makes room first.
    known.remember(3, 30, later, 2);
    assert_eq!(
        (known.find(&2, later), known.find(&3, later)),
        (Some(20), Some(30))
    );
    known.remember(4, 40, later, 2);
    assert_eq!(known.0.len(), 1);
    assert!(BELIEVED <= Duration::from_mins(1));
}

#[test]
fn users_differ_by_all_that_is_known_of_them() {
    let read = |value: Value| User::read(&value);
    let one = read(json!({ "username": "ann", "groups": ["a"] }));
    let same = read(json!({ "username": "ann", "groups": ["a"] }));
    let other = read(json!({ "username": "ann", "groups": ["a", "b"] }));
    assert_eq!(one.digest, same.digest);
    assert_ne!(one.digest, other.digest);
    assert_eq!(other.spec, json!({ "user": "ann", "groups": ["a", "b"] }));
}
