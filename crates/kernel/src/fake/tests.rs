use super::*;
use crate::{Config, Maps, Presence};

fn maps(faults: &Faults) -> Maps {
    Maps::in_memory(&Config::default(), faults).unwrap()
}

#[test]
fn a_hash_in_memory_behaves_like_one_of_the_kernel() {
    let maps = maps(&Faults::none());
    let known = &maps.known_identities;
    assert_eq!(known.get(&7).unwrap(), None);
    assert_eq!(known.create(&7, &1).unwrap(), Presence::Absent);
    assert_eq!(known.create(&7, &2).unwrap(), Presence::Present);
    known.set_all(&[(8, 1), (9, 1)]).unwrap();
    let mut all = known.dump().unwrap();
    all.sort_unstable();
    assert_eq!(all, [(7, 1), (8, 1), (9, 1)]);
    known.remove_all(&[7, 7, 8]).unwrap();
    assert_eq!(known.remove(&7).unwrap(), Presence::Absent);
    assert_eq!(known.dump().unwrap(), [(9, 1)]);
}

#[test]
fn an_array_in_memory_has_every_index() {
    let maps = maps(&Faults::none());
    assert_eq!(maps.generations.get(&5).unwrap(), Some(0));
    maps.generations.set(&5, &3).unwrap();
    assert_eq!(maps.generations.get(&5).unwrap(), Some(3));
    assert!(maps.generations.remove(&5).is_err());
}

#[test]
fn a_full_table_refuses_and_says_that_it_is_full() {
    let config = Config {
        known_identities: 2,
        ..Config::default()
    };
    let maps = Maps::in_memory(&config, &Faults::none()).unwrap();
    let known = &maps.known_identities;
    let error = known.set_all(&[(1, 1), (2, 1), (3, 1)]).unwrap_err();
    assert!(error.is_full(), "{error}");
    known.set(&2, &5).unwrap();
}

#[test]
fn a_tenth_of_the_operations_fails_when_asked_and_half_of_those_have_had_their_effect() {
    let faults = Faults::none();
    let maps = maps(&faults);
    faults.fail(10, 42);
    let (mut failed, mut effective) = (0, 0);
    for key in 0..10_000 {
        if maps.known_identities.set(&key, &1).is_err() {
            failed += 1;
            faults.fail(0, 0);
            effective += u32::from(maps.known_identities.get(&key).unwrap().is_some());
            faults.fail(10, u64::from(key) + 43);
        }
    }
    assert!((800..1200).contains(&failed), "{failed} failed");
    assert!(
        (300..700).contains(&effective),
        "{effective} had their effect"
    );
}

#[test]
fn after_its_death_nothing_is_written() {
    let faults = Faults::none();
    let maps = maps(&faults);
    faults.die_after(Some(2));
    assert!(
        maps.known_identities
            .set_all(&[(1, 1), (2, 1), (3, 1)])
            .is_err()
    );
    assert!(maps.known_identities.get(&1).is_err());
    faults.die_after(None);
    assert_eq!(maps.known_identities.dump().unwrap().len(), 2);
    assert_eq!(faults.take_written().len(), 2);
}
