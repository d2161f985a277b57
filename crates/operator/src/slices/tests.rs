use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::cilium::SlicedEndpoint;
use model::endpoint::PodName;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::{Content, Grouping};

fn pod(namespace: u8, name: u8) -> PodName {
    PodName {
        namespace: format!("ns{namespace}").into(),
        name: format!("pod{name:03}").into(),
    }
}

fn endpoint(name: &PodName, identity: i64) -> Arc<SlicedEndpoint> {
    Arc::new(SlicedEndpoint {
        name: name.name.to_string(),
        id: Some(identity),
        ..SlicedEndpoint::default()
    })
}

/// What agents see: slices as they are written, in any order and with pauses.
#[derive(Default)]
struct World {
    slices: BTreeMap<Arc<str>, Content>,
    /// The number of the write that made a slice what it is.
    written: BTreeMap<Arc<str>, usize>,
    wanted: BTreeMap<Arc<str>, Option<Content>>,
    writes: usize,
}

impl World {
    fn take(&mut self, grouping: &mut Grouping) {
        self.wanted.extend(grouping.take_changes());
    }

    fn is_written(&self, slice: &Arc<str>) -> bool {
        let wanted = self.wanted.get(slice);
        wanted.is_none_or(|wanted| self.slices.get(slice) == wanted.as_ref())
    }

    /// One write; puts before deletions, as the reconciler does it.
    fn write(&mut self, chosen: usize) {
        let open = |(name, _): &(&Arc<str>, &Option<Content>)| !self.is_written(name);
        let mut open: Vec<_> = self.wanted.iter().filter(open).collect();
        if open.iter().any(|(_, content)| content.is_some()) {
            open.retain(|(_, content)| content.is_some());
        }
        let Some((name, content)) = open.get(chosen % open.len().max(1)) else {
            return;
        };
        self.writes += 1;
        self.written.insert(Arc::clone(name), self.writes);
        match (*content).clone() {
            Some(content) => self.slices.insert(Arc::clone(name), content),
            None => self.slices.remove(&Arc::clone(name)),
        };
    }

    /// As an operator that starts lists them: the last written first.
    fn found(&self) -> Vec<(Arc<str>, Content)> {
        let slices = self.slices.iter();
        let mut found: Vec<_> = slices
            .map(|(name, of)| (Arc::clone(name), of.clone()))
            .collect();
        found.sort_by_key(|(name, _)| std::cmp::Reverse(self.written.get(name)));
        found
    }

    fn finish(&mut self, grouping: &mut Grouping) {
        for _ in 0..10_000 {
            self.take(grouping);
            let before = self.writes;
            self.write(0);
            grouping.settle(|slice| self.is_written(slice));
            if self.writes == before && grouping.is_settled() {
                self.take(grouping);
                if self.wanted.keys().all(|name| self.is_written(name)) {
                    return;
                }
            }
        }
        panic!("it does not settle");
    }

    /// What slices say of each endpoint: the newest of it.
    fn newest(&self) -> BTreeMap<PodName, i64> {
        let mut newest = BTreeMap::new();
        for content in self.slices.values() {
            for (name, value) in &content.endpoints {
                let name = PodName {
                    namespace: Arc::clone(&content.namespace),
                    name: Arc::clone(name),
                };
                let known = newest.entry(name).or_default();
                *known = value.id.unwrap().max(*known);
            }
        }
        newest
    }

    fn values(&self) -> BTreeMap<PodName, i64> {
        let mut values = BTreeMap::new();
        for content in self.slices.values() {
            for (name, value) in &content.endpoints {
                let name = PodName {
                    namespace: Arc::clone(&content.namespace),
                    name: Arc::clone(name),
                };
                assert_eq!(
                    values.insert(name, value.id.unwrap()),
                    None,
                    "in two slices"
                );
            }
        }
        values
    }
}

#[derive(Clone, Debug)]
enum Event {
    Set(u8, u8),
    Remove(u8, u8),
    Write(usize),
    /// Another operator takes over what is written, with this size.
    Restart(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..3_u8, 0..30_u8).prop_map(|(namespace, name)| Event::Set(namespace, name)),
        3 => (0..3_u8, 0..30_u8).prop_map(|(namespace, name)| Event::Remove(namespace, name)),
        6 => any::<usize>().prop_map(Event::Write),
        1 => (1..8_usize).prop_map(Event::Restart),
    ]
}

proptest! {
    #[test]
    fn slices_become_exactly_the_endpoints_and_none_is_lost_on_the_way(
        events in proptest::collection::vec(event(), 1..200),
    ) {
        let mut rng = StdRng::seed_from_u64(1);
        let mut largest = 4;
        let mut grouping = Grouping::adopt(largest, [], &mut rng);
        let mut world = World::default();
        let mut endpoints: BTreeMap<PodName, i64> = BTreeMap::new();
        // What was first said of those that are there, and which of them were written since.
        let mut born: BTreeMap<PodName, i64> = BTreeMap::new();
        let mut known: BTreeSet<PodName> = BTreeSet::new();
        for (id, event) in (1..).zip(events) {
            match event {
                Event::Set(namespace, name) => {
                    let name = pod(namespace, name);
                    endpoints.insert(name.clone(), id);
                    born.entry(name.clone()).or_insert(id);
                    grouping.change([(name.clone(), Some(endpoint(&name, id)))].into_iter(), &mut rng);
                }
                Event::Remove(namespace, name) => {
                    let name = pod(namespace, name);
                    endpoints.remove(&name);
                    known.remove(&name);
                    born.remove(&name);
                    grouping.change([(name, None)].into_iter(), &mut rng);
                }
                Event::Write(chosen) => {
                    world.take(&mut grouping);
                    world.write(chosen);
                    grouping.settle(|slice| world.is_written(slice));
                }
                Event::Restart(size) => {
                    largest = size;
                    world.wanted.clear();
                    grouping = Grouping::adopt(largest, world.found(), &mut rng);
                    let all = endpoints.iter().map(|(name, id)| (name.clone(), endpoint(name, *id)));
                    grouping.replace(all, &mut rng);
                }
            }
            world.take(&mut grouping);
            let mut newest = world.newest();
            newest.retain(|name, id| born.get(name).is_some_and(|born| *id >= *born));
            for name in &known {
                prop_assert!(newest.contains_key(name), "{name} is lost");
            }
            known.extend(newest.into_keys());
        }
        world.finish(&mut grouping);
        prop_assert_eq!(world.values(), endpoints);
        for content in world.slices.values() {
            prop_assert!((1..=largest).contains(&content.endpoints.len()));
        }
        // Who takes it over as it is has nothing to write.
        let writes = world.writes;
        let mut after = Grouping::adopt(largest, world.found(), &mut rng);
        world.take(&mut after);
        world.finish(&mut after);
        prop_assert_eq!(world.writes, writes);
    }

    #[test]
    fn a_change_of_an_endpoint_is_a_write_of_one_slice(
        first in proptest::collection::btree_set((0..3_u8, 0..40_u8), 1..80),
        changes in proptest::collection::vec((0..3_u8, 0..40_u8, any::<bool>(), 1..4_i64), 1..40),
    ) {
        let mut rng = StdRng::seed_from_u64(2);
        let mut grouping = Grouping::adopt(10, [], &mut rng);
        let mut world = World::default();
        let all = first.iter().map(|(namespace, name)| {
            let name = pod(*namespace, *name);
            (name.clone(), endpoint(&name, 0))
        });
        grouping.replace(all, &mut rng);
        world.finish(&mut grouping);
        let fewest: usize = (0..3).map(|of| first.iter().filter(|(namespace, _)| *namespace == of).count().div_ceil(10)).sum();
        prop_assert_eq!(world.slices.len(), fewest);
        for (namespace, name, there, id) in changes {
            let name = pod(namespace, name);
            let before = world.writes;
            let value = there.then(|| endpoint(&name, id));
            grouping.change([(name.clone(), value.clone())].into_iter(), &mut rng);
            world.finish(&mut grouping);
            prop_assert!(world.writes - before <= 1);
            // The same once more is none.
            let before = world.writes;
            grouping.change([(name, value)].into_iter(), &mut rng);
            world.finish(&mut grouping);
            prop_assert_eq!(world.writes, before);
        }
    }
}

#[test]
fn of_an_endpoint_in_two_slices_the_one_written_last_keeps_it() {
    let name = pod(1, 1);
    let content = |id| Content {
        namespace: Arc::clone(&name.namespace),
        endpoints: [(Arc::clone(&name.name), endpoint(&name, id))].into(),
    };
    let found = [("last".into(), content(7)), ("first".into(), content(6))];
    let mut grouping = Grouping::adopt(4, found, &mut StdRng::seed_from_u64(3));
    let changes: BTreeMap<_, _> = grouping.take_changes().into_iter().collect();
    assert_eq!(changes["first"], None);
    assert_eq!(changes["last"], Some(content(7)));
}

#[test]
fn a_new_endpoint_comes_into_the_fullest_slice_with_room_before_another_one_goes() {
    let mut rng = StdRng::seed_from_u64(4);
    let (old, new) = (pod(1, 1), pod(1, 2));
    let mut grouping = Grouping::adopt(1, [], &mut rng);
    let value = endpoint(&old, 1);
    grouping.change([(old.clone(), Some(value))].into_iter(), &mut rng);
    assert_eq!(grouping.take_changes().len(), 1);
    // One in place of another in a slice with room for both: one write.
    let mut grouping = Grouping::adopt(2, grouping_content(&old), &mut rng);
    grouping.take_changes();
    let changes = [(old.clone(), None), (new.clone(), Some(endpoint(&new, 2)))];
    grouping.change(changes.into_iter(), &mut rng);
    let changes = grouping.take_changes();
    assert_eq!(changes.len(), 1);
    assert_eq!(&*changes[0].0, "one");
}

fn grouping_content(name: &PodName) -> [(Arc<str>, Content); 1] {
    let content = Content {
        namespace: Arc::clone(&name.namespace),
        endpoints: [(Arc::clone(&name.name), endpoint(name, 1))].into(),
    };
    [("one".into(), content)]
}
