//! Endpoints as inputs: which sections select them, and so which policies they use.

use std::sync::Arc;

use imbl::OrdSet;

use super::{
    ActiveKey, ActiveSubject, Audit, DefaultCause, DefaultVerdict, Direction, Extent, NamedPorts,
    ObjectKey, Origin, PartId, PolicyKey, Protocol, Resolution, RuleId, Snapshot, SubjectFacts,
    SubjectId, Touched, resolve,
};
use crate::labels::LabelSet;
use crate::policy::classes::port_names;

impl Snapshot {
    pub(super) fn set_subject(
        &mut self,
        id: SubjectId,
        facts: SubjectFacts,
        touched: &mut Touched,
    ) {
        let old = self.subjects.get(&id);
        if old.is_some_and(|old| *old.facts == facts) {
            return;
        }
        let selected = match old {
            Some(old) if old.facts.labels == facts.labels => old.selected.clone(),
            _ => self.selecting(&facts.labels),
        };
        let keys = self.keys_of(&facts, &selected, touched);
        self.replace_subject(id, Arc::new(facts), selected, keys, touched);
    }

    pub(super) fn remove_subject(&mut self, id: SubjectId, touched: &mut Touched) {
        let Some(old) = self.subjects.remove(&id) else {
            return;
        };
        touched.subjects.insert(id);
        self.release_key(&old.ingress, touched);
        self.release_key(&old.egress, touched);
    }

    /// The sections that select a label set.
    fn selecting(&self, labels: &LabelSet) -> OrdSet<(ObjectKey, usize)> {
        let sections = self.objects.iter().flat_map(|(key, active)| {
            let numbered = active.object.sections.iter().enumerate();
            numbered.map(move |(at, section)| (key, at, section))
        });
        let selecting = sections.filter(|(_, _, section)| section.subject.matches(labels));
        selecting.map(|(key, at, _)| (key.clone(), at)).collect()
    }

    /// After a change of one object: endpoints that it selects, or selected, choose their policies again.
    pub(super) fn reselect(&mut self, key: &ObjectKey, touched: &mut Touched) {
        let sections = self.objects.get(key).map(|active| active.object.clone());
        let sections = sections.as_ref().map_or(&[][..], |object| &object.sections);
        let mut affected = Vec::new();
        for (id, subject) in &self.subjects {
            let now = sections
                .iter()
                .enumerate()
                .filter(|(_, s)| s.subject.matches(&subject.facts.labels));
            let now: Vec<usize> = now.map(|(at, _)| at).collect();
            let before: Vec<usize> = subject
                .selected
                .range((key.clone(), 0)..=(key.clone(), usize::MAX))
                .map(|(_, at)| *at)
                .collect();
            if !now.is_empty() || !before.is_empty() {
                affected.push((*id, before, now));
            }
        }
        for (id, before, now) in affected {
            if let Some(subject) = self.subjects.get_mut(&id) {
                for at in before {
                    subject.selected.remove(&(key.clone(), at));
                }
                for at in now {
                    subject.selected.insert((key.clone(), at));
                }
            }
            self.choose_policies(id, touched);
        }
    }

    pub(super) fn choose_policies(&mut self, id: SubjectId, touched: &mut Touched) {
        let Some(subject) = self.subjects.get(&id).cloned() else {
            return;
        };
        let keys = self.keys_of(&subject.facts, &subject.selected, touched);
        self.replace_subject(id, subject.facts, subject.selected, keys, touched);
    }

    fn replace_subject(
        &mut self,
        id: SubjectId,
        facts: Arc<SubjectFacts>,
        selected: OrdSet<(ObjectKey, usize)>,
        [ingress, egress]: [PolicyKey; 2],
        touched: &mut Touched,
    ) {
        // The new keys first: what both use stays in use throughout.
        self.acquire_key(&ingress, touched);
        self.acquire_key(&egress, touched);
        let new = ActiveSubject {
            facts,
            selected,
            ingress,
            egress,
        };
        let old = self.subjects.insert(id, new.clone());
        if old
            .as_ref()
            .is_none_or(|old| (&old.ingress, &old.egress) != (&new.ingress, &new.egress))
        {
            touched.subjects.insert(id);
        }
        if let Some(old) = old {
            self.release_key(&old.ingress, touched);
            self.release_key(&old.egress, touched);
        }
    }

    fn keys_of(
        &mut self,
        facts: &SubjectFacts,
        selected: &OrdSet<(ObjectKey, usize)>,
        touched: &mut Touched,
    ) -> [PolicyKey; 2] {
        Direction::BOTH.map(|direction| {
            let resolution = self.resolution(&facts.labels, direction, selected);
            let default = self.default_verdict(direction, &resolution.cause, touched);
            self.key(facts, direction, resolution.rules, default)
        })
    }

    fn resolution(
        &self,
        labels: &LabelSet,
        direction: Direction,
        selected: &OrdSet<(ObjectKey, usize)>,
    ) -> Resolution {
        let sections = selected.iter().filter_map(|(key, at)| {
            let active = self.objects.get(key)?;
            Some((
                &*active.object,
                active.object.sections.get(*at)?,
                active.ids.get(*at)?.as_slice(),
            ))
        });
        resolve(labels, direction, &self.settings, sections)
    }

    /// The rules that hold for an endpoint with these labels, on this node or not.
    pub fn resolve(&self, labels: &LabelSet, direction: Direction) -> Resolution {
        self.resolution(labels, direction, &self.selecting(labels))
    }

    pub(crate) fn key(
        &self,
        facts: &SubjectFacts,
        direction: Direction,
        rules: Vec<RuleId>,
        default: DefaultVerdict,
    ) -> PolicyKey {
        let mut named_ports = NamedPorts::default();
        if direction == Direction::Ingress {
            for (name, protocol) in self.names_in(&rules) {
                for port in facts.named_ports.get(&name, protocol) {
                    named_ports.insert(name.clone(), protocol, port);
                }
            }
        }
        let enforces = !rules.is_empty() || default != DefaultVerdict::Allow;
        let audited = facts.audit == Audit::On || self.settings.audit == Audit::On;
        let audit = if audited && enforces {
            Audit::On
        } else {
            Audit::Off
        };
        PolicyKey {
            direction,
            rules: rules.into(),
            default,
            named_ports,
            audit,
        }
    }

    fn names_in(&self, rules: &[RuleId]) -> Vec<(Arc<str>, Protocol)> {
        let ports = rules
            .iter()
            .filter_map(|id| self.rules.get(id))
            .map(|rule| &rule.ranked.ports);
        port_names(ports).into_iter().collect()
    }

    fn default_verdict(
        &mut self,
        direction: Direction,
        cause: &DefaultCause,
        touched: &mut Touched,
    ) -> DefaultVerdict {
        match cause {
            DefaultCause::NotDenied => DefaultVerdict::Allow,
            DefaultCause::Mode => DefaultVerdict::Deny(RuleId::MODE_ALWAYS),
            DefaultCause::Init => DefaultVerdict::Deny(RuleId::INIT),
            DefaultCause::Policies(policies) => {
                let origin = Origin::DefaultDeny {
                    direction,
                    policies: policies.clone(),
                };
                let (id, new) = self.ids.activate(origin);
                if new {
                    touched.rules.insert(id);
                }
                DefaultVerdict::Deny(id)
            }
        }
    }

    fn parts_of(&self, key: &PolicyKey) -> Arc<[PartId]> {
        let rules = key.rules.iter().filter_map(|id| self.rules.get(id));
        let mut parts: Vec<PartId> = rules.filter_map(|rule| rule.ranked.part).collect();
        parts.sort_unstable();
        parts.dedup();
        parts.into()
    }

    fn active_key(&self, key: &PolicyKey, users: usize) -> ActiveKey {
        let names = match key.direction {
            Direction::Ingress => Vec::new(),
            Direction::Egress => self.names_in(&key.rules),
        };
        ActiveKey {
            users,
            parts: self.parts_of(key),
            names: names.into(),
        }
    }

    fn acquire_key(&mut self, key: &PolicyKey, touched: &mut Touched) {
        let users = self.keys.get(key).map_or(0, |active| active.users);
        if users == 0 {
            touched.whole(key);
        }
        // Rules may have changed under the same ids: what is derived from them is derived again.
        let active = self.active_key(key, users + 1);
        self.keys.insert(key.clone(), active);
    }

    fn release_key(&mut self, key: &PolicyKey, touched: &mut Touched) {
        let Some(active) = self.keys.get_mut(key) else {
            return;
        };
        active.users -= 1;
        if active.users > 0 {
            return;
        }
        self.keys.remove(key);
        touched.policies.insert(key.clone(), Extent::Gone);
        if let DefaultVerdict::Deny(id) = key.default {
            let used = self.keys.keys().any(|other| other.default == key.default);
            if id >= RuleId::FIRST && !used {
                self.ids.retire(id);
                touched.rules.insert(id);
            }
        }
    }
}
