use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::cilium::CiliumIdentity;
use api::kubernetes::ObjectMeta;
use proptest::prelude::*;
use tokio::time::Instant;

use super::HEARTBEAT;
use super::round::{Step, Unused};

const TIMEOUT: Duration = Duration::from_mins(30);

fn identity(name: &str, uid: &str, marked: bool) -> CiliumIdentity {
    let mark = (HEARTBEAT.to_owned(), "2026-01-01T00:00:00Z".to_owned());
    CiliumIdentity {
        metadata: ObjectMeta {
            name: name.to_owned(),
            uid: uid.to_owned(),
            annotations: marked.then_some(mark).into_iter().collect(),
            ..ObjectMeta::default()
        },
        ..CiliumIdentity::default()
    }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn steps(
    unused: &mut Unused,
    identities: &[CiliumIdentity],
    used: &[&str],
    now: Instant,
) -> Vec<(String, Step)> {
    let steps = unused.round(identities, &names(used), TIMEOUT, now);
    let steps = steps.into_iter();
    steps
        .map(|(of, step)| (of.metadata.name.clone(), step))
        .collect()
}

#[test]
fn an_identity_is_marked_after_its_time_and_removed_in_a_later_round() {
    let mut unused = Unused::default();
    let begin = Instant::now();
    let at = |minutes| begin + Duration::from_mins(minutes);
    let found = [identity("1", "u1", false), identity("2", "u2", false)];
    assert_eq!(steps(&mut unused, &found, &["2"], at(0)), []);
    assert_eq!(steps(&mut unused, &found, &["2"], at(15)), []);
    let mark = [("1".to_owned(), Step::Mark)];
    assert_eq!(steps(&mut unused, &found, &["2"], at(30)), mark);
    let marked = [identity("1", "u1", true), identity("2", "u2", false)];
    let remove = [("1".to_owned(), Step::Remove)];
    assert_eq!(steps(&mut unused, &marked, &["2"], at(45)), remove);
}

#[test]
fn use_in_between_begins_the_time_anew_and_takes_the_mark_away() {
    let mut unused = Unused::default();
    let begin = Instant::now();
    let at = |minutes| begin + Duration::from_mins(minutes);
    let marked = [identity("1", "u1", true)];
    steps(&mut unused, &marked, &[], at(0));
    let unmark = [("1".to_owned(), Step::Unmark)];
    assert_eq!(steps(&mut unused, &marked, &["1"], at(29)), unmark);
    assert_eq!(steps(&mut unused, &marked, &[], at(31)), []);
    assert_eq!(steps(&mut unused, &marked, &[], at(60)), []);
    assert_eq!(steps(&mut unused, &marked, &[], at(61)).len(), 1);
}

#[test]
fn a_leader_that_has_just_begun_waits_also_for_what_is_marked() {
    let marked = [identity("1", "u1", true)];
    assert_eq!(
        steps(&mut Unused::default(), &marked, &[], Instant::now()),
        []
    );
}

#[test]
fn an_identity_that_was_created_anew_begins_anew() {
    let mut unused = Unused::default();
    let begin = Instant::now();
    let old = [identity("1", "u1", true)];
    steps(&mut unused, &old, &[], begin);
    let new = [identity("1", "u2", true)];
    let later = begin + TIMEOUT;
    assert_eq!(steps(&mut unused, &new, &[], later), []);
    // And what was forgotten between two rounds does not count.
    assert_eq!(steps(&mut unused, &old, &[], later), []);
}

proptest! {
    /// Rounds at random times over five identities that are used, unused, removed and made anew at random.
    #[test]
    fn nothing_is_removed_that_was_used_or_younger_in_the_last_time(
        rounds in proptest::collection::vec((0..40_u64, any::<[bool; 5]>(), any::<[bool; 5]>(), any::<bool>()), 1..40)
    ) {
        let mut unused = Unused::default();
        let (begin, mut minutes) = (Instant::now(), 0);
        let mut marked: BTreeMap<usize, bool> = BTreeMap::new();
        let mut born = [0_u64; 5];
        // The judge's own history: when each was last seen used, or began to be seen at all.
        let mut last_use = [0_u64; 5];
        for (pause, used, anew, leader_changes) in rounds {
            minutes += pause;
            if leader_changes {
                unused = Unused::default();
                last_use = [minutes; 5];
            }
            for (index, anew) in anew.into_iter().enumerate() {
                if anew && used[index] {
                    born[index] += 1;
                    last_use[index] = minutes;
                    marked.insert(index, false);
                }
            }
            let found: Vec<_> = (0..5).map(|index| {
                let uid = format!("{index}-{}", born[index]);
                identity(&index.to_string(), &uid, marked.get(&index).copied().unwrap_or(false))
            }).collect();
            let names: Vec<String> = (0..5).filter(|index| used[*index]).map(|index| index.to_string()).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            for (index, used) in used.into_iter().enumerate() {
                if used { last_use[index] = minutes; }
            }
            for (name, step) in steps(&mut unused, &found, &names, begin + Duration::from_mins(minutes)) {
                let index: usize = name.parse().unwrap();
                let was = marked.insert(index, step == Step::Mark).unwrap_or(false);
                match step {
                    Step::Remove => {
                        prop_assert!(was && minutes - last_use[index] >= 30);
                        born[index] += 1;
                        last_use[index] = minutes;
                    }
                    Step::Mark => prop_assert!(!was && !used[index]),
                    Step::Unmark => prop_assert!(was && used[index]),
                }
            }
        }
    }
}
