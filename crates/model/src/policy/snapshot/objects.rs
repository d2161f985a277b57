//! Policy objects and CIDR groups as inputs: rules get ids, peer lists come into use, subjects are selected anew.

use std::collections::BTreeSet;
use std::sync::Arc;

use ipnet::IpNet;

use super::{
    ActiveObject, ActiveRule, ObjectKey, Origin, PeerList, PolicyObject, Ranked, Rule, RuleId,
    Snapshot, Touched,
};
use crate::policy::cidr::CidrSelector;
use crate::policy::parts::{Changed, PartId};
use crate::policy::rule::{PeerTerm, Peers, Section};

impl Snapshot {
    pub(super) fn set_object(&mut self, object: &Arc<PolicyObject>, touched: &mut Touched) {
        let old = self.objects.get(&object.key).cloned();
        let mut changed = BTreeSet::new();
        let mut ids = Vec::new();
        for section in &object.sections {
            let of_section = section
                .rules
                .iter()
                .map(|rule| self.activate(object, section, rule, &mut changed, touched));
            ids.push(of_section.collect::<Vec<_>>());
        }
        let kept: BTreeSet<RuleId> = ids.iter().flatten().copied().collect();
        let active = ActiveObject {
            object: object.clone(),
            ids: ids.into(),
        };
        self.objects.insert(object.key.clone(), active);
        let gone = old
            .iter()
            .flat_map(|old| old.ids.iter().flatten())
            .filter(|id| !kept.contains(id));
        let gone: Vec<RuleId> = gone.copied().collect();
        self.reselect(&object.key, touched);
        for id in gone {
            self.deactivate(id, touched);
        }
        for key in self
            .keys
            .keys()
            .filter(|key| key.rules.iter().any(|id| changed.contains(id)))
        {
            touched.whole(key);
        }
    }

    pub(super) fn remove_object(&mut self, key: &ObjectKey, touched: &mut Touched) {
        let Some(old) = self.objects.remove(key) else {
            return;
        };
        self.reselect(key, touched);
        for id in old.ids.iter().flatten() {
            self.deactivate(*id, touched);
        }
    }

    /// Objects that name groups are taken in again, since what they name may have other members now.
    pub(super) fn refresh_groups(&mut self, touched: &mut Touched) {
        let grouped = |term: &PeerTerm| matches!(term, PeerTerm::Groups(_));
        let names_group =
            |rule: &Arc<Rule>| matches!(&rule.peers, Peers::Of(terms) if terms.iter().any(grouped));
        let objects = self.objects.values().map(|active| active.object.clone());
        let objects = objects.filter(|object| {
            object
                .sections
                .iter()
                .flat_map(|s| &s.rules)
                .any(names_group)
        });
        for object in objects.collect::<Vec<_>>() {
            self.set_object(&object, touched);
        }
    }

    fn activate(
        &mut self,
        object: &PolicyObject,
        section: &Section,
        rule: &Rule,
        changed: &mut BTreeSet<RuleId>,
        touched: &mut Touched,
    ) -> RuleId {
        let origin = Origin::Rule {
            object: object.key.clone(),
            uid: object.uid.clone(),
            path: rule.path.clone(),
            direction: rule.direction,
            action: rule.action,
            labels: section.labels.clone(),
            log: section.log.clone(),
        };
        let (id, new) = self.ids.activate(origin);
        if new {
            touched.rules.insert(id);
        }
        let part = match &rule.peers {
            Peers::Any => None,
            Peers::Of(terms) => Some(self.acquire_part(self.peer_list(terms), touched)),
        };
        let ranked = Ranked {
            rank: rule.rank(),
            id,
            name: format!("{} {}", object.key, rule.path).into(),
            part,
            ports: rule.ports.clone(),
        };
        let active = ActiveRule { ranked };
        let old = self.rules.insert(id, active.clone());
        if old.as_ref() != Some(&active) {
            changed.insert(id);
        }
        if let Some(part) = old.and_then(|old| old.ranked.part) {
            self.release_part(part, touched);
        }
        id
    }

    fn deactivate(&mut self, id: RuleId, touched: &mut Touched) {
        if let Some(part) = self.rules.remove(&id).and_then(|old| old.ranked.part) {
            self.release_part(part, touched);
        }
        self.ids.retire(id);
        touched.rules.insert(id);
    }

    fn acquire_part(&mut self, list: PeerList, touched: &mut Touched) -> PartId {
        let nets: Vec<IpNet> = list.cidrs.iter().map(CidrSelector::net).collect();
        let (part, changed) = self.parts.acquire(list);
        if changed == Changed::ListAndCidrs {
            touched.cidrs.extend(nets);
        }
        if changed != Changed::Nothing {
            self.match_part(part);
        }
        part
    }

    fn release_part(&mut self, part: PartId, touched: &mut Touched) {
        let list = self.parts.get(part).cloned();
        let changed = self.parts.release(part);
        if changed == Changed::ListAndCidrs {
            let cidrs = list.iter().flat_map(|list| &list.cidrs);
            touched.cidrs.extend(cidrs.map(CidrSelector::net));
        }
        if changed != Changed::Nothing {
            self.unmatch_part(part);
        }
    }

    /// The peers of a rule with groups replaced by their members. A group without members contributes nobody.
    fn peer_list(&self, terms: &[PeerTerm]) -> PeerList {
        let mut list = PeerList::default();
        for term in terms {
            match term {
                // `Peers::Any` stands for everyone; nothing parsed has both.
                PeerTerm::Everyone => list.labels.push(std::iter::empty().collect()),
                PeerTerm::Labels(selector) => list.labels.push(selector.clone()),
                PeerTerm::Cidr(cidr) => list.cidrs.push(cidr.clone()),
                PeerTerm::Groups(term) => {
                    let groups = self
                        .groups
                        .values()
                        .filter(|group| term.selector.matches(&group.labels));
                    let members = groups.flat_map(|group| &group.members);
                    let cidr = |net: &ipnet::IpNet| {
                        CidrSelector::new(*net, term.except.iter().copied(), term.reach)
                    };
                    list.cidrs.extend(members.map(cidr));
                }
            }
        }
        list.labels.sort_unstable();
        list.labels.dedup();
        list.cidrs.sort_unstable();
        list.cidrs.dedup();
        list
    }
}
