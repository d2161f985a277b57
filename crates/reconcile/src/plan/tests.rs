use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::{Plan, Prune, diff};

type Rows = BTreeMap<u8, Arc<u8>>;

fn apply(plan: &Plan<u8, u8>, actual: &Rows) -> Rows {
    let mut rows = actual.clone();
    for step in &plan.steps {
        match step.to() {
            Some(to) => rows.insert(*step.key(), Arc::clone(to)),
            None => rows.remove(step.key()),
        };
    }
    rows
}

fn rows() -> impl Strategy<Value = Rows> {
    prop::collection::btree_map(any::<u8>(), (0_u8..3).prop_map(Arc::new), 0..40)
}

proptest! {
    #[test]
    fn applying_the_plan_yields_what_is_desired(desired in rows(), actual in rows()) {
        let after = apply(&diff(&desired, &actual, Prune::Yes), &actual);
        prop_assert_eq!(&after, &desired);
        prop_assert_eq!(diff(&desired, &after, Prune::Yes), Plan::default());
    }

    #[test]
    fn without_pruning_the_plan_only_adds_and_changes(desired in rows(), actual in rows()) {
        let after = apply(&diff(&desired, &actual, Prune::NotYet), &actual);
        for (key, value) in &desired {
            prop_assert_eq!(after.get(key), Some(value));
        }
        for (key, value) in actual.iter().filter(|(key, _)| !desired.contains_key(key)) {
            prop_assert_eq!(after.get(key), Some(value));
        }
    }
}
