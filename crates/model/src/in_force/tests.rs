use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn versions(numbers: impl IntoIterator<Item = u32>) -> BTreeSet<Version> {
    let numbers = numbers.into_iter();
    numbers
        .map(|number| Version::new(&format!("uid-{}", number / 4), i64::from(number % 4)))
        .collect()
}

fn difference(one: &BTreeSet<Version>, two: &BTreeSet<Version>) -> Difference {
    let digests = [one, two].map(|of| of.iter().copied().collect::<Digest>());
    digests[0].difference(&digests[1])
}

proptest! {
    #[test]
    fn what_is_told_of_two_sets_is_so(
        common in prop::collection::btree_set(0_u32..100_000, 0..300),
        one in prop::collection::btree_set(100_000_u32..200_000, 0..60),
        two in prop::collection::btree_set(200_000_u32..300_000, 0..60),
    ) {
        let (common, one, two) = (versions(common), versions(one), versions(two));
        let differ: BTreeSet<Version> = one.union(&two).copied().collect();
        let sets = [one, two].map(|own| common.union(&own).copied().collect());
        let found = difference(&sets[0], &sets[1]);
        for version in &differ {
            prop_assert_ne!(found.by(*version), Differ::No);
        }
        for version in &common {
            prop_assert_ne!(found.by(*version), Differ::Yes);
        }
        if differ.is_empty() {
            prop_assert!(common.iter().all(|of| found.by(*of) == Differ::No));
        }
    }

    #[test]
    fn a_text_is_read_as_it_was_written(numbers in prop::collection::btree_set(0_u32..1000, 0..200)) {
        let digest: Digest = versions(numbers).into_iter().collect();
        prop_assert_eq!(Digest::parse(&digest.to_text()), Some(digest));
    }
}

#[test]
fn all_of_forty_differences_are_mostly_told_and_few_of_two_hundred() {
    let told = |size: u32| {
        let rounds = 0..200_u32;
        rounds
            .filter(|round| {
                let own = versions(round * 1000..round * 1000 + size);
                let found = difference(&own, &BTreeSet::new());
                own.iter().all(|of| found.by(*of) == Differ::Yes)
            })
            .count()
    };
    assert!(told(1) == 200, "{}", told(1));
    assert!(told(10) >= 195, "{}", told(10));
    assert!(told(40) >= 180, "{}", told(40));
    assert!(told(200) == 0, "{}", told(200));
}

#[test]
fn a_text_of_another_form_is_not_read() {
    let text = Digest::default().to_text();
    let of_later = text.replacen("1:", "2:", 1);
    let short = &text[..text.len() - 1];
    let no_digits = text.replacen("1:0", "1:+", 1);
    for text in ["", "1:", &of_later, short, &no_digits] {
        assert_eq!(Digest::parse(text), None, "{text}");
    }
}

#[test]
fn uid_and_generation_both_make_a_version() {
    let all = versions(0..4000);
    assert_eq!(all.len(), 4000);
}

#[test]
fn nodes_write_less_often_the_more_they_are() {
    assert_eq!(pause(2), Duration::from_millis(200));
    assert_eq!(pause(1000), Duration::from_secs(20));
}
