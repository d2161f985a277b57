//! Which endpoint is in which slice: of its namespace, and where it came first.
//!
//! An endpoint stays in its slice for as long as it is there, so a change of it is a change of one slice. A new one comes into the
//! fullest slice of its namespace that has room: slices that emptied fill up or go. Where an endpoint has to move, it
//! leaves its slice only after the other one was written with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::cilium::{CiliumEndpointSlice, SlicedEndpoint};
use model::endpoint::PodName;
use rand::Rng;

/// What is in one slice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Namespace of the endpoints.
    pub namespace: Arc<str>,
    /// The endpoints, by name.
    pub endpoints: BTreeMap<Arc<str>, Arc<SlicedEndpoint>>,
}

impl Content {
    /// Of an object.
    pub fn read(of: CiliumEndpointSlice) -> Self {
        let endpoints = of.endpoints.into_iter();
        let endpoints = endpoints.map(|of| (of.name.as_str().into(), Arc::new(of)));
        Self {
            namespace: of.namespace.into(),
            endpoints: endpoints.collect(),
        }
    }
}

/// All slices, and the place of each endpoint.
#[derive(Debug)]
pub struct Grouping {
    largest: usize,
    slices: BTreeMap<Arc<str>, Content>,
    of_namespace: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    homes: BTreeMap<PodName, Arc<str>>,
    /// Endpoints that are in another slice than their own as well, until theirs is written.
    leaving: BTreeSet<(PodName, Arc<str>)>,
    changed: BTreeSet<Arc<str>>,
}

impl Grouping {
    /// Takes over what there is, the last written first: of an endpoint in two slices that place is its own. What a slice
    /// has beyond `largest` moves.
    pub fn adopt(
        largest: usize,
        found: impl IntoIterator<Item = (Arc<str>, Content)>,
        rng: &mut impl Rng,
    ) -> Self {
        let mut grouping = Self {
            largest: largest.max(1),
            slices: BTreeMap::new(),
            of_namespace: BTreeMap::new(),
            homes: BTreeMap::new(),
            leaving: BTreeSet::new(),
            changed: BTreeSet::new(),
        };
        for (name, mut content) in found {
            let namespace = Arc::clone(&content.namespace);
            content.endpoints.retain(|endpoint, _| {
                let endpoint = pod(&namespace, endpoint);
                let is_new = !grouping.homes.contains_key(&endpoint);
                if is_new {
                    grouping.homes.insert(endpoint, Arc::clone(&name));
                }
                is_new
            });
            grouping.changed.insert(Arc::clone(&name));
            grouping.insert(name, content);
        }
        let names: Vec<Arc<str>> = grouping.slices.keys().cloned().collect();
        for name in names {
            grouping.shrink(&name, rng);
        }
        grouping
    }

    fn insert(&mut self, name: Arc<str>, content: Content) {
        let of = self.of_namespace.entry(Arc::clone(&content.namespace));
        of.or_default().insert(Arc::clone(&name));
        self.slices.insert(name, content);
    }

    fn shrink(&mut self, name: &Arc<str>, rng: &mut impl Rng) {
        let Some(content) = self.slices.get(name) else {
            return;
        };
        let surplus = content.endpoints.iter().skip(self.largest);
        let surplus =
            surplus.map(|(endpoint, value)| (pod(&content.namespace, endpoint), Arc::clone(value)));
        for (endpoint, value) in surplus.collect::<Vec<_>>() {
            self.homes.remove(&endpoint);
            self.leaving.insert((endpoint.clone(), Arc::clone(name)));
            self.set(endpoint, &value, rng);
        }
    }

    /// Takes these changes, `None` being an endpoint that is gone.
    pub fn change(
        &mut self,
        changes: impl Iterator<Item = (PodName, Option<Arc<SlicedEndpoint>>)>,
        rng: &mut impl Rng,
    ) {
        // What goes leaves its room last, so that a slice does not go for a new one to come.
        let mut gone = Vec::new();
        for (name, value) in changes {
            match value {
                Some(value) => self.set(name, &value, rng),
                None => gone.push(name),
            }
        }
        for name in gone {
            self.remove(&name);
        }
    }

    /// Takes what there is for all there is.
    pub fn replace(
        &mut self,
        all: impl Iterator<Item = (PodName, Arc<SlicedEndpoint>)>,
        rng: &mut impl Rng,
    ) {
        let mut gone: BTreeSet<PodName> = self.homes.keys().cloned().collect();
        for (name, value) in all {
            gone.remove(&name);
            self.set(name, &value, rng);
        }
        for name in &gone {
            self.remove(name);
        }
    }

    fn set(&mut self, name: PodName, value: &Arc<SlicedEndpoint>, rng: &mut impl Rng) {
        let home = match self.homes.get(&name) {
            Some(home) => Arc::clone(home),
            None => self.place(&name.namespace, rng),
        };
        let Some(content) = self.slices.get_mut(&home) else {
            return;
        };
        let before = content
            .endpoints
            .insert(Arc::clone(&name.name), Arc::clone(value));
        if before.as_ref() != Some(value) {
            self.changed.insert(Arc::clone(&home));
        }
        self.homes.insert(name, home);
    }

    /// A slice of the namespace with room: the fullest, or a new one.
    fn place(&mut self, namespace: &Arc<str>, rng: &mut impl Rng) -> Arc<str> {
        let names = self.of_namespace.get(namespace).into_iter().flatten();
        let with_room = names.filter_map(|name| {
            let size = self.slices.get(name)?.endpoints.len();
            (size < self.largest).then_some((size, name))
        });
        if let Some((_, name)) = with_room.max_by_key(|(size, _)| *size) {
            return Arc::clone(name);
        }
        let name = loop {
            let name = new_name(rng);
            if !self.slices.contains_key(&name) {
                break name;
            }
        };
        let content = Content {
            namespace: Arc::clone(namespace),
            endpoints: BTreeMap::new(),
        };
        self.insert(Arc::clone(&name), content);
        name
    }

    fn remove(&mut self, name: &PodName) {
        let first = (name.clone(), Arc::from(""));
        let left = self.leaving.range(first..).take_while(|(of, _)| of == name);
        let left: Vec<_> = left.cloned().collect();
        for of in left {
            self.leaving.remove(&of);
            self.take_out(name, &of.1);
        }
        if let Some(home) = self.homes.remove(name) {
            self.take_out(name, &home);
        }
    }

    fn take_out(&mut self, name: &PodName, slice: &Arc<str>) {
        if let Some(content) = self.slices.get_mut(slice)
            && content.endpoints.remove(&name.name).is_some()
        {
            self.changed.insert(Arc::clone(slice));
        }
    }

    /// Whether no endpoint is in two slices.
    pub fn is_settled(&self) -> bool {
        self.leaving.is_empty()
    }

    /// Takes endpoints out of the slices that they leave, where `is_written` of the slice that they are in now.
    pub fn settle(&mut self, is_written: impl Fn(&Arc<str>) -> bool) {
        let homes = &self.homes;
        let done = |(name, _): &&(PodName, Arc<str>)| homes.get(name).is_none_or(&is_written);
        let done: Vec<_> = self.leaving.iter().filter(done).cloned().collect();
        for of in done {
            self.leaving.remove(&of);
            self.take_out(&of.0, &of.1);
        }
    }

    /// Slices that changed since this was asked last, with what they should have now; `None` is a slice to be deleted.
    pub fn take_changes(&mut self) -> Vec<(Arc<str>, Option<Content>)> {
        let mut changes = Vec::new();
        for name in std::mem::take(&mut self.changed) {
            let content = self.slices.get(&name);
            let content = content.filter(|of| !of.endpoints.is_empty()).cloned();
            if content.is_none()
                && let Some(empty) = self.slices.remove(&name)
                && let Some(of) = self.of_namespace.get_mut(&empty.namespace)
            {
                of.remove(&name);
                if of.is_empty() {
                    self.of_namespace.remove(&empty.namespace);
                }
            }
            changes.push((name, content));
        }
        changes
    }
}

fn pod(namespace: &Arc<str>, name: &Arc<str>) -> PodName {
    PodName {
        namespace: Arc::clone(namespace),
        name: Arc::clone(name),
    }
}

/// Like upstream's: letters and digits that make no words.
fn new_name(rng: &mut impl Rng) -> Arc<str> {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut letters = |number: usize| -> String {
        let letter = |_| ALPHABET.get(rng.random_range(0..ALPHABET.len()));
        (0..number)
            .filter_map(letter)
            .map(|of| char::from(*of))
            .collect()
    };
    format!("ces-{}-{}", letters(9), letters(5)).into()
}
