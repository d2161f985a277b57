//! Ordered rules: tiers, priorities, places and Pass, asked one after the other. No kind of object that is read here has them, so
//! they are plain data: who, whom, which ports, and what then.

use std::collections::BTreeMap;

use super::judge::{Answer, Names, Way};
use super::random::Dice;
use super::selectors::Tag;
use super::worlds::APPS;

/// Where a rule stands among the policies of namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// Before them.
    Admin,
    /// Among them.
    Normal,
    /// After them.
    Baseline,
}

/// What a rule does with what it matches; of rules of one priority and place the first of these is asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// It may not.
    Deny,
    /// The rest of the rung is not asked.
    Pass,
    /// It may.
    Allow,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// Name of the object that holds this one rule.
    pub name: String,
    /// Where it stands.
    pub rung: Rung,
    /// Lower is asked first.
    pub priority: u32,
    /// Of rules of one priority the lower is asked first.
    pub place: u32,
    /// What it does.
    pub effect: Effect,
    /// Seen from the subject.
    pub way: Way,
    /// Value of the subjects' label `app`; everybody but the node itself without it.
    pub subject: Option<String>,
    /// Value of the other side's label `app`; everybody without it.
    pub other: Option<String>,
    /// Protocol, first and last port; all without it.
    pub ports: Option<(u8, u16, u16)>,
}

impl Ordered {
    /// How it is named in answers.
    pub fn title(&self) -> String {
        format!("ClusterNetworkPolicy {} spec.rules[0]", self.name)
    }

    /// What it is sorted by within its rung.
    fn rank(&self) -> (u32, u32, Effect) {
        (self.priority, self.place, self.effect)
    }

    pub(super) fn matches(
        &self,
        way: Way,
        subject: &[Tag],
        other: &[Tag],
        destination: (u8, u16),
    ) -> bool {
        let is = |tags: &[Tag], app: &Option<String>| {
            app.as_ref().is_none_or(|app| {
                let tag = ("k8s".to_owned(), "app".to_owned(), app.clone());
                tags.contains(&tag)
            })
        };
        let node = subject
            .iter()
            .any(|tag| tag.0 == "reserved" && tag.1 == "host");
        let (protocol, port) = destination;
        let ports = self
            .ports
            .is_none_or(|(of, first, last)| of == protocol && first <= port && port <= last);
        way == self.way && !node && is(subject, &self.subject) && is(other, &self.other) && ports
    }
}

/// Asks rung after rung which of the rules that match decides. The policies of namespaces are rules of the normal rung, of
/// priority and place 0; at its end stands what they deny by default, unless a rule passed over it: then it stands at the
/// end of all.
pub(super) fn climb(
    ordered: &[&Ordered],
    allows: &Names,
    denies: &Names,
    by_default: Option<Names>,
) -> Answer {
    for rung in [Rung::Admin, Rung::Normal, Rung::Baseline] {
        let mut said: BTreeMap<_, Names> = BTreeMap::new();
        for rule in ordered.iter().filter(|rule| rule.rung == rung) {
            said.entry(rule.rank()).or_default().insert(rule.title());
        }
        if rung == Rung::Normal {
            for (effect, names) in [(Effect::Deny, denies), (Effect::Allow, allows)] {
                if !names.is_empty() {
                    let same = said.entry((0, 0, effect)).or_default();
                    same.extend(names.clone());
                }
            }
        }
        match said.pop_first() {
            Some(((_, _, Effect::Deny), names)) => return Answer::Denied(names),
            Some(((_, _, Effect::Allow), names)) => return Answer::Allowed(names),
            None if rung == Rung::Normal && by_default.is_some() => break,
            Some(((_, _, Effect::Pass), _)) | None => {}
        }
    }
    by_default.map_or(Answer::Allowed(Names::new()), Answer::NotAllowed)
}

/// A rule out of dice.
pub(super) fn random_ordered(dice: &mut Dice, at: usize) -> Ordered {
    let app = |dice: &mut Dice| dice.chance(60).then(|| (*dice.pick(&APPS)).to_owned());
    let (subject, other) = (app(dice), app(dice));
    let ports = dice.chance(50).then(|| {
        let (first, last) =
            *dice.pick(&[(80, 80), (53, 81), (443, 8080), (0, 65535), (8080, 8081)]);
        (*dice.pick(&[6, 6, 17]), first, last)
    });
    Ordered {
        name: format!("ordered{at}"),
        rung: *dice.pick(&[Rung::Admin, Rung::Normal, Rung::Baseline]),
        priority: dice.below(3) as u32,
        place: dice.below(2) as u32,
        effect: *dice.pick(&[Effect::Deny, Effect::Pass, Effect::Allow]),
        way: if dice.chance(50) { Way::In } else { Way::Out },
        subject,
        other,
        ports,
    }
}
