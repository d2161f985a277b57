//! The ordered form against a plain evaluator, edges of priorities, quotas, and class numbers.

use proptest::prelude::*;

use super::*;
use crate::policy::rule::{Action, Direction, PortTerm, Ports, Tier};

fn key() -> PolicyKey {
    PolicyKey {
        direction: Direction::Ingress,
        rules: [RuleId(16)].into(),
        default: DefaultVerdict::Deny(RuleId(99)),
        named_ports: NamedPorts::default(),
        audit: Audit::Off,
    }
}

fn on(parts: &[u32]) -> Signature {
    Signature {
        parts: parts.iter().copied().map(PartId).collect(),
        named: NamedPorts::default(),
    }
}

fn rows(
    rules: Vec<Ranked>,
    default: DefaultVerdict,
    quota: usize,
    before: Option<&PolicyRows>,
) -> PolicyRows {
    let decider = Decider::new(rules, default, Some(NamedPorts::default()));
    PolicyRows::new(key(), decider, [on(&[]), on(&[]), on(&[])], quota, before)
}

fn rule(id: u32, rank: (Tier, u32, u32, Action), part: Option<u32>, ports: Ports) -> Ranked {
    Ranked {
        rank,
        id: RuleId(id),
        name: "".into(),
        part: part.map(PartId),
        ports,
    }
}

/// The written order, rule by rule: the plain way.
fn plainly(
    rules: &[Ranked],
    default: DefaultVerdict,
    part: u32,
    protocol: Protocol,
    port: u16,
) -> Verdict {
    let matches = |rule: &&Ranked| {
        let peer = rule.part.is_none_or(|of| of == PartId(part));
        let ports = match &rule.ports {
            Ports::All => true,
            Ports::Of(terms) => terms.iter().any(|term| match term {
                PortTerm::Range {
                    protocol: of,
                    first,
                    last,
                } => *of == protocol && (*first..=*last).contains(&port),
                PortTerm::Named { .. } => false,
            }),
        };
        peer && ports
    };
    let mut passed_normal = false;
    for tier in [Tier::Node, Tier::Admin, Tier::Normal, Tier::Baseline] {
        let mut of_tier: Vec<&Ranked> = rules
            .iter()
            .filter(|rule| rule.rank.0 == tier)
            .filter(matches)
            .collect();
        of_tier.sort_by_key(|rule| rule.rank);
        match of_tier.first().map(|rule| rule.rank.3) {
            Some(Action::Allow) => return Verdict::Allow,
            Some(Action::Deny) => return Verdict::Deny,
            Some(Action::Pass) => passed_normal |= tier == Tier::Normal,
            None => {}
        }
        if tier == Tier::Normal && !passed_normal && default != DefaultVerdict::Allow {
            return Verdict::DefaultDeny;
        }
    }
    if default == DefaultVerdict::Allow {
        Verdict::Allow
    } else {
        Verdict::DefaultDeny
    }
}

fn ports() -> impl Strategy<Value = Ports> {
    let protocol = prop_oneof![Just(Protocol::TCP), Just(Protocol::UDP)];
    let edge = prop::sample::select(vec![0u16, 1, 79, 80, 81, 1023, 1024, 65534, 65535]);
    let range = (protocol, edge.clone(), edge).prop_map(|(protocol, a, b)| PortTerm::Range {
        protocol,
        first: a.min(b),
        last: a.max(b),
    });
    prop_oneof![
        Just(Ports::All),
        prop::collection::vec(range, 0..3).prop_map(Ports::Of)
    ]
}

fn ranked() -> impl Strategy<Value = Vec<Ranked>> {
    let tier = prop::sample::select(vec![Tier::Admin, Tier::Normal, Tier::Baseline]);
    let number = prop::sample::select(vec![0u32, 1, u32::MAX - 1, u32::MAX]);
    let action = prop::sample::select(vec![Action::Deny, Action::Pass, Action::Allow]);
    let one = (
        tier,
        number.clone(),
        number,
        action,
        prop::option::of(1u32..3),
        ports(),
    );
    prop::collection::vec(one, 0..10).prop_map(|rules| {
        let numbered = rules.into_iter().enumerate();
        numbered
            .map(|(at, (tier, priority, order, action, part, ports))| {
                rule(16 + at as u32, (tier, priority, order, action), part, ports)
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn rows_of_ordered_rules_say_what_the_order_says(
        rules in ranked(),
        denied in any::<bool>(),
        part in 1u32..4,
        protocol in prop::sample::select(vec![Protocol::TCP, Protocol::UDP, Protocol(47)]),
        port in prop::sample::select(vec![0u16, 1, 2, 78, 79, 80, 81, 82, 1022, 1023, 1024, 1025, 65533, 65534, 65535]),
    ) {
        let default = if denied { DefaultVerdict::Deny(RuleId(99)) } else { DefaultVerdict::Allow };
        let mut rows = rows(rules.clone(), default, 10_000, None);
        rows.set_peer(Peer(1000), Some(on(&[part])));
        rows.finish();
        let found = rows.look_up(Peer(1000), protocol, port);
        prop_assert_eq!(found.verdict, plainly(&rules, default, part, protocol, port));
        let decided = rules.iter().find(|rule| rule.id == found.rule);
        match found.verdict {
            Verdict::Deny => prop_assert_eq!(decided.unwrap().rank.3, Action::Deny),
            Verdict::DefaultDeny => prop_assert_eq!(found.rule, RuleId(99)),
            Verdict::Allow => prop_assert!(found.rule == RuleId::NONE || decided.unwrap().rank.3 == Action::Allow),
        }
    }
}

#[test]
fn the_last_of_65536_priorities_is_still_after_the_first() {
    let rules: Vec<Ranked> = (0..=65_535u32)
        .map(|at| {
            let action = if at == 0 { Action::Allow } else { Action::Deny };
            rule(
                16 + at,
                (Tier::Admin, u32::MAX - at, 0, action),
                None,
                Ports::All,
            )
        })
        .collect();
    let decider = Decider::new(rules, DefaultVerdict::Allow, None);
    let found = decider.verdict(&on(&[]), Protocol::TCP, 80);
    assert_eq!(
        (found.verdict, found.rule),
        (Verdict::Deny, RuleId(16 + 65_535))
    );
}

#[test]
fn an_allow_all_is_one_row_per_default_class() {
    let all = rule(16, (Tier::Normal, 0, 0, Action::Allow), None, Ports::All);
    let rows = rows(vec![all], DefaultVerdict::Deny(RuleId(99)), 100, None);
    assert_eq!(rows.ports.len(), 3);
}

#[test]
fn a_policy_over_its_quota_denies_everything_and_heals_when_it_fits_again() {
    let allow = rule(16, (Tier::Normal, 0, 0, Action::Allow), None, Ports::All);
    let mut rows = rows(vec![allow], DefaultVerdict::Deny(RuleId(99)), 5, None);
    for peer in 0..2 {
        rows.set_peer(Peer(1000 + peer), Some(on(&[7])));
    }
    rows.finish();
    assert_eq!(
        rows.fit,
        Fit::Lockdown {
            needed: 6,
            quota: 5
        }
    );
    let denied = rows.look_up(Peer(1), Protocol::TCP, 80);
    assert_eq!(
        (denied.verdict, denied.rule),
        (Verdict::Deny, RuleId::LOCKDOWN)
    );
    rows.set_peer(Peer(1001), None);
    rows.finish();
    assert_eq!(rows.fit, Fit::Whole);
    assert_eq!(
        rows.look_up(Peer(1), Protocol::TCP, 80).verdict,
        Verdict::Allow
    );
}

#[test]
fn classes_keep_their_numbers_and_a_freed_one_is_not_used_in_the_next_version() {
    let web = || rule(16, (Tier::Normal, 0, 0, Action::Allow), Some(7), Ports::All);
    let default = DefaultVerdict::Deny(RuleId(99));
    let mut first = rows(vec![web()], default, 100, None);
    first.set_peer(Peer(1000), Some(on(&[7])));
    first.set_peer(Peer(1001), Some(on(&[8])));
    first.finish();
    let (seven, eight) = (first.class(Peer(1000)), first.class(Peer(1001)));
    let mut second = rows(vec![web()], default, 100, Some(&first));
    second.set_peer(Peer(1001), Some(on(&[8])));
    second.set_peer(Peer(1002), Some(on(&[9])));
    second.finish();
    assert_eq!(second.class(Peer(1001)), eight);
    assert!(second.class(Peer(1002)) != seven && second.class(Peer(1002)) != eight);
    assert!(
        second.ports.keys().all(|key| key.class != seven),
        "no row of a class that nobody has"
    );
}
