use super::*;

#[test]
fn the_first_of_what_did_not_arrive_is_named() {
    let told = |sent, arrived: &[u64]| Told {
        sent,
        arrived: arrived.to_vec(),
    };
    assert_eq!(told(4, &[0, 1, 2, 3]).missing(), Vec::<u64>::new());
    assert_eq!(told(5, &[1, 3]).missing(), [0, 2, 4]);
    let none = told(100, &[]).missing();
    assert_eq!((none.len(), none.last()), (NAMED, Some(&19)));
}
