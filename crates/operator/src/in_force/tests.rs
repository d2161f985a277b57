use std::collections::BTreeSet;

use model::in_force::Digest;
use proptest::prelude::*;

use super::*;

fn version(number: u32) -> Version {
    Version::new(&format!("uid-{number}"), 1)
}

fn told(numbers: impl IntoIterator<Item = u32>, reason: &str) -> NodeState {
    let digest: Digest = numbers.into_iter().map(version).collect();
    NodeState::Told {
        digest: digest.to_text().into(),
        reason: reason.into(),
    }
}

fn policies(numbers: impl IntoIterator<Item = u32>) -> BTreeMap<u32, (Version, i64)> {
    let numbers = numbers.into_iter();
    numbers
        .map(|number| (number, (version(number), 1)))
        .collect()
}

fn nodes(
    states: impl IntoIterator<Item = (&'static str, NodeState)>,
) -> BTreeMap<Arc<str>, NodeState> {
    let states = states.into_iter();
    states.map(|(name, state)| (name.into(), state)).collect()
}

proptest! {
    #[test]
    fn a_policy_is_said_to_be_in_force_exactly_where_it_is(
        there in prop::collection::btree_set(0_u32..200, 1..100),
        // Of the policies those that a node lacks, and those that it has although they are gone.
        lacks in prop::collection::vec((prop::collection::btree_set(0_u32..200, 0..8), prop::collection::btree_set(200_u32..300, 0..8)), 1..9),
    ) {
        let mut states = BTreeMap::new();
        for (at, (lacking, gone)) in lacks.iter().enumerate() {
            let has = there.difference(lacking).chain(gone).copied();
            states.insert(format!("n{at}").into(), told(has, ""));
        }
        let said = fold(&policies(there.iter().copied()), &states);
        prop_assert_eq!(said.keys().copied().collect::<BTreeSet<u32>>(), there.clone());
        for (number, statement) in said {
            let absent: Vec<String> = lacks
                .iter()
                .enumerate()
                .filter(|(_, (lacking, _))| lacking.contains(&number))
                .map(|(at, _)| format!("n{at}"))
                .collect();
            // What cannot be told is rare, and never said to be known.
            if statement.message.contains("not known") {
                prop_assert_ne!(statement.status, Status::True);
                continue;
            }
            let expected = if absent.is_empty() {
                "generation 1 is in force on all nodes".to_owned()
            } else {
                let known = lacks.len() - absent.len();
                format!("generation 1 is in force on {known} of {} nodes; not on {}", lacks.len(), absent.join(", "))
            };
            prop_assert_eq!(statement.message, expected);
            prop_assert_eq!(statement.status == Status::True, absent.is_empty());
        }
    }
}

#[test]
fn nodes_that_lack_it_are_named_with_their_reason_and_those_that_say_nothing_apart() {
    let of_later = NodeState::Told {
        digest: "2:00".into(),
        reason: "".into(),
    };
    let states = nodes([
        ("a", told([1, 2], "")),
        ("b", told([1], "1 entries refused")),
        ("c", NodeState::Silent),
        ("d", of_later),
        ("e", told([1], "")),
    ]);
    let said = fold(&policies([1, 2]), &states);
    let text = |number: u32| (said[&number].status, said[&number].message.as_str());
    assert_eq!(
        text(1),
        (
            Status::Unknown,
            "generation 1 is in force on 3 of 5 nodes; not known of c, d"
        )
    );
    assert_eq!(
        text(2),
        (
            Status::False,
            "generation 1 is in force on 1 of 5 nodes; not on b (1 entries refused), e; not known of c, d"
        )
    );
}

#[test]
fn of_many_nodes_ten_are_named() {
    let names: Vec<Arc<str>> = (10..35).map(|at| format!("n{at}").into()).collect();
    let states = names.iter().map(|name| (Arc::clone(name), told([], "")));
    let said = fold(&policies([1]), &states.collect());
    assert_eq!(
        said[&1].message,
        "generation 1 is in force on 0 of 25 nodes; \
         not on n10, n11, n12, n13, n14, n15, n16, n17, n18, n19 and 15 more"
    );
}

fn lease(renewed: &str) -> LeaseRow {
    LeaseRow {
        renewed: renewed.into(),
        silence: Duration::from_mins(5),
        digest: "1:".into(),
        reason: "".into(),
    }
}

#[test]
fn a_node_is_silent_when_its_lease_stays_as_it_is_and_a_new_one_counts_after_its_time() {
    let (mut writer, table) = Table::<Arc<str>, LeaseRow>::new("leases", &[]);
    writer.set("old".into(), lease("1"));
    let names: [Arc<str>; 2] = ["old".into(), "new".into()];
    let mut seen = Seen::default();
    let begun = Instant::now();
    let mut states = |table: &Table<Arc<str>, LeaseRow>, second: u64| {
        let now = begun + Duration::from_secs(second);
        let states = seen.states(names.iter(), &table.snapshot(), now);
        ["old", "new"].map(|name| states.get(name).map(|of| *of != NodeState::Silent))
    };
    assert_eq!(states(&table, 0), [Some(true), None]);
    assert_eq!(states(&table, 299), [Some(true), None]);
    writer.set("old".into(), lease("2"));
    assert_eq!(states(&table, 299), [Some(true), None]);
    assert_eq!(states(&table, 301), [Some(true), Some(false)]);
    assert_eq!(states(&table, 600), [Some(false), Some(false)]);
    writer.set("new".into(), lease("1"));
    writer.set("old".into(), lease("3"));
    assert_eq!(states(&table, 600), [Some(true), Some(true)]);
}

fn statement(status: Status, message: &str) -> Statement {
    Statement {
        status,
        message: message.to_owned(),
    }
}

#[test]
fn good_news_are_written_at_once_bad_ones_after_all_nodes_had_the_time_and_other_names_seldom() {
    let key = ObjectKey {
        kind: Kind::CiliumNetworkPolicy,
        namespace: "shop".into(),
        name: "p".into(),
    };
    let mut waiting = Waiting::default();
    let begun = Instant::now();
    let mut due = |second: u64, wanted: &Statement, stated: Option<&Statement>| {
        let now = begun + Duration::from_secs(second);
        let wanted = [(key.clone(), wanted.clone())].into();
        let due = waiting.due(&wanted, |_| stated.cloned(), Duration::from_secs(8), now);
        for key in &due {
            waiting.written(key, now);
        }
        due.len()
    };
    let (bad, worse) = (
        statement(Status::False, "not on a"),
        statement(Status::False, "not on a, b"),
    );
    let good = statement(Status::True, "");
    assert_eq!(due(0, &bad, None), 0);
    assert_eq!(due(7, &bad, None), 0);
    assert_eq!(due(8, &bad, None), 1);
    assert_eq!(due(8, &bad, Some(&bad)), 0);
    assert_eq!(due(8, &worse, Some(&bad)), 0);
    assert_eq!(due(28, &worse, Some(&bad)), 0, "other names come seldom");
    assert_eq!(due(38, &worse, Some(&bad)), 1);
    assert_eq!(due(38, &good, Some(&worse)), 1);
    assert_eq!(due(38, &good, Some(&good)), 0);
    assert_eq!(due(39, &bad, Some(&good)), 0, "the time begins anew");
}

#[test]
fn other_conditions_stay_and_the_time_of_the_last_change_too() {
    let condition = |name: &str, status: &str, time: &str| Condition {
        condition: name.to_owned(),
        status: status.to_owned(),
        last_transition_time: Some(time.to_owned()),
        ..Condition::default()
    };
    let row = PolicyRow {
        uid: "u".into(),
        generation: 4,
        version: "7".into(),
        conditions: vec![
            condition(CONDITION, "False", "then"),
            condition("Valid", "True", "then"),
        ],
    };
    let same = row.with(&statement(Status::False, "not on b"), "now");
    assert_eq!(same[0], row.conditions[1]);
    assert_eq!(same[1].last_transition_time.as_deref(), Some("then"));
    assert_eq!(same[1].observed_generation, Some(4));
    let other = row.with(&statement(Status::True, ""), "now");
    assert_eq!(other[1].last_transition_time.as_deref(), Some("now"));
}

#[test]
fn conditions_are_written_more_seldom_the_more_nodes_read_them() {
    let pauses = [2, 1000, 5000].map(pause_of_writes);
    assert_eq!(
        pauses,
        [100, 500, 1000].map(Duration::from_millis),
        "ten a second, two, and one"
    );
}
