//! The targets take what they begin with, and what once failed, also without the compiler's counters.

use super::*;

#[test]
fn every_target_takes_its_seeds_and_what_once_failed() {
    for target in targets::ALL {
        let inputs = target.inputs();
        assert!(inputs.len() > 1, "{} has no seeds", target.name);
        for input in inputs {
            (target.run)(&input);
        }
    }
}

#[test]
fn names_of_targets_differ() {
    let names: std::collections::BTreeSet<_> =
        targets::ALL.iter().map(|target| target.name).collect();
    assert_eq!(names.len(), targets::ALL.len());
}
