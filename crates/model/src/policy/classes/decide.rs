//! The decision for one class: tiers, priorities, deny, Pass and defaults, resolved for every port at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{MatchType, PortVerdict, Signature, Verdict};
use crate::policy::ids::RuleId;
use crate::policy::parts::PartId;
use crate::policy::prefixes::prefixes;
use crate::policy::resolve::DefaultVerdict;
use crate::policy::rule::{Action, NamedPorts, PortTerm, Ports, Protocol, Tier};

/// A rule as the compiler needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ranked {
    pub(crate) rank: (Tier, u32, u32, Action),
    pub(crate) id: RuleId,
    /// Object and path: settles which of several rules of one rank and width names itself, whatever their ids.
    pub(crate) name: Arc<str>,
    /// The peer list, `None` for a rule that does not look at the peer.
    pub(crate) part: Option<PartId>,
    pub(crate) ports: Ports,
}

/// The rules of one policy, in order, with what happens when none decides.
#[derive(Clone, Debug)]
pub(crate) struct Decider {
    rules: Vec<Ranked>,
    default: DefaultVerdict,
    /// Named ports of the subject for ingress; `None` for egress, where names are resolved at each peer.
    own_ports: Option<NamedPorts>,
}

/// Where a rule matches in the port space of one protocol.
#[derive(Clone, Debug)]
enum Span {
    Everything,
    Ranges(Vec<(u16, u16)>),
}

/// A rule that applies to the class at hand.
struct Applied<'a> {
    rule: &'a Ranked,
    /// By protocol; a rule for all protocols has one entry for [`Protocol::OTHER`].
    spans: BTreeMap<Protocol, Span>,
}

impl Applied<'_> {
    fn span(&self, protocol: Protocol) -> Option<&Span> {
        self.spans.get(&protocol).or_else(|| {
            self.spans
                .get(&Protocol::OTHER)
                .filter(|span| matches!(span, Span::Everything))
        })
    }

    /// How many ports the narrowest range has that matches; a rule for everything counts as more than any range.
    fn width(&self, protocol: Protocol, port: u16) -> Option<u32> {
        match self.span(protocol)? {
            Span::Everything => Some(u32::MAX),
            Span::Ranges(ranges) => {
                let holding = ranges
                    .iter()
                    .filter(|(first, last)| (*first..=*last).contains(&port));
                holding.map(|(first, last)| u32::from(last - first)).min()
            }
        }
    }
}

/// A row of a class: protocol, port, prefix length, verdict.
pub(crate) type Row = (Protocol, u16, u8, PortVerdict);

impl Decider {
    pub(crate) fn new(
        mut rules: Vec<Ranked>,
        default: DefaultVerdict,
        own_ports: Option<NamedPorts>,
    ) -> Self {
        rules.sort_by(|a, b| (a.rank, &a.name, a.id).cmp(&(b.rank, &b.name, b.id)));
        Self {
            rules,
            default,
            own_ports,
        }
    }

    /// The verdict on one port, without making rows.
    pub(crate) fn verdict(
        &self,
        signature: &Signature,
        protocol: Protocol,
        port: u16,
    ) -> PortVerdict {
        self.decide(&self.applied(signature), protocol, port)
    }

    /// The rows of the class with this signature.
    pub(crate) fn rows(&self, signature: &Signature) -> Vec<Row> {
        let applied = self.applied(signature);
        let mut protocols: BTreeSet<Protocol> = applied
            .iter()
            .flat_map(|rule| rule.spans.keys().copied())
            .collect();
        protocols.remove(&Protocol::OTHER);
        let other = self.decide(&applied, Protocol::OTHER, 0);
        let mut rows = vec![(Protocol::OTHER, 0, 0, other)];
        for protocol in protocols {
            rows.extend(self.protocol_rows(&applied, protocol, other));
        }
        rows
    }

    fn protocol_rows(
        &self,
        applied: &[Applied<'_>],
        protocol: Protocol,
        other: PortVerdict,
    ) -> Vec<Row> {
        let mut cuts = BTreeSet::from([0u16]);
        for span in applied.iter().filter_map(|rule| rule.span(protocol)) {
            if let Span::Ranges(ranges) = span {
                cuts.extend(ranges.iter().map(|(first, _)| *first));
                cuts.extend(ranges.iter().filter_map(|(_, last)| last.checked_add(1)));
            }
        }
        let mut verdicts: Vec<PortVerdict> = Vec::new();
        let mut starts: Vec<(u16, u16)> = Vec::new();
        for port in cuts {
            let verdict = self.decide(applied, protocol, port);
            let number = verdicts
                .iter()
                .position(|known| *known == verdict)
                .unwrap_or(verdicts.len());
            if number == verdicts.len() {
                verdicts.push(verdict);
            }
            starts.push((port, number as u16));
        }
        if verdicts == [other] {
            return Vec::new();
        }
        let rows = prefixes(&starts).into_iter();
        rows.map(|(port, length, number)| (protocol, port, length, verdicts[usize::from(number)]))
            .collect()
    }

    fn applied(&self, signature: &Signature) -> Vec<Applied<'_>> {
        let on = |rule: &&Ranked| {
            rule.part
                .is_none_or(|part| signature.parts.binary_search(&part).is_ok())
        };
        let named = self.own_ports.as_ref().unwrap_or(&signature.named);
        let applied = self.rules.iter().filter(on).map(|rule| Applied {
            rule,
            spans: spans(&rule.ports, named),
        });
        applied
            .filter(|applied| !applied.spans.is_empty())
            .collect()
    }

    fn decide(&self, applied: &[Applied<'_>], protocol: Protocol, port: u16) -> PortVerdict {
        for tier in [Tier::Node, Tier::Admin, Tier::Normal, Tier::Baseline] {
            let rules = applied.iter().filter(|applied| applied.rule.rank.0 == tier);
            let found = rules.filter_map(|applied| {
                applied
                    .width(protocol, port)
                    .map(|width| (applied.rule, width))
            });
            // Within one rank the action is the same: the most specific names itself, ports before peers.
            let first = found.min_by(|(a, a_width), (b, b_width)| {
                let key = |rule: &Ranked, width: u32| (rule.rank, width, rule.part.is_none());
                key(a, *a_width)
                    .cmp(&key(b, *b_width))
                    .then_with(|| a.name.cmp(&b.name))
            });
            match first {
                Some((rule, width)) if rule.rank.3 != Action::Pass => {
                    return verdict_of(rule, protocol, width);
                }
                None if tier == Tier::Normal && self.default != DefaultVerdict::Allow => break,
                // Pass leaves the tier, and with it the default deny at its end.
                Some(_) | None => {}
            }
        }
        match self.default {
            DefaultVerdict::Allow => PortVerdict {
                verdict: Verdict::Allow,
                rule: RuleId::NONE,
                matched: MatchType::None,
            },
            DefaultVerdict::Deny(rule) => PortVerdict {
                verdict: Verdict::DefaultDeny,
                rule,
                matched: MatchType::None,
            },
        }
    }
}

fn verdict_of(rule: &Ranked, protocol: Protocol, width: u32) -> PortVerdict {
    let verdict = if rule.rank.3 == Action::Deny {
        Verdict::Deny
    } else {
        Verdict::Allow
    };
    let by_port = protocol != Protocol::OTHER && width < u32::from(u16::MAX);
    let by_protocol = protocol != Protocol::OTHER && width == u32::from(u16::MAX);
    let matched = match (rule.part.is_some(), by_port, by_protocol) {
        (true, true, _) => MatchType::PeerAndPort,
        (true, _, true) => MatchType::PeerAndProtocol,
        (true, ..) => MatchType::Peer,
        (false, true, _) => MatchType::Port,
        (false, _, true) => MatchType::Protocol,
        (false, ..) => MatchType::All,
    };
    PortVerdict {
        verdict,
        rule: rule.id,
        matched,
    }
}

fn spans(ports: &Ports, named: &NamedPorts) -> BTreeMap<Protocol, Span> {
    let terms = match ports {
        Ports::All => return BTreeMap::from([(Protocol::OTHER, Span::Everything)]),
        Ports::Of(terms) => terms,
    };
    let mut ranges: BTreeMap<Protocol, Vec<(u16, u16)>> = BTreeMap::new();
    for term in terms {
        match term {
            PortTerm::Range {
                protocol,
                first,
                last,
            } => ranges.entry(*protocol).or_default().push((*first, *last)),
            PortTerm::Named { protocol, name } => {
                for port in named.get(name, *protocol) {
                    ranges.entry(*protocol).or_default().push((port, port));
                }
            }
        }
    }
    ranges
        .into_iter()
        .map(|(protocol, ranges)| (protocol, Span::Ranges(ranges)))
        .collect()
}

/// The names of ports that rules use.
pub(crate) fn port_names<'a>(
    rules: impl Iterator<Item = &'a Ports>,
) -> BTreeSet<(Arc<str>, Protocol)> {
    let terms = rules.filter_map(|ports| match ports {
        Ports::All => None,
        Ports::Of(terms) => Some(terms),
    });
    let names = terms.flatten().filter_map(|term| match term {
        PortTerm::Named { protocol, name } => Some((name.clone(), *protocol)),
        PortTerm::Range { .. } => None,
    });
    names.collect()
}
