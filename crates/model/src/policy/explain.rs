//! Why: which rules were considered for two parties and a port, which decided, and what would turn it around.

use std::fmt;
use std::sync::Arc;

use super::classes::{Decider, MatchType, PortVerdict, Ranked, Verdict};
use super::ids::{Origin, RuleId};
use super::parts::PeerFacts;
use super::resolve::{DefaultCause, DefaultVerdict, SubjectFacts};
use super::rule::{Action, Direction, NamedPorts, PortTerm, Ports, Protocol};
use super::snapshot::Snapshot;

/// Whether policies are asked for a party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Governed {
    /// It is an endpoint: a pod, or the node itself.
    Yes,
    /// It is not: the world, another cluster's node.
    No,
}

/// One side of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// How people call it, as `shop/web-1` or `1.1.1.1`.
    pub name: Arc<str>,
    /// What policies see of it, as a peer and as a subject.
    pub facts: PeerFacts,
    /// See [`Governed`].
    pub governed: Governed,
}

/// How a rule stands to the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It decides.
    Decides,
    /// It matches, but another rule comes before it.
    Outranked,
    /// The other party is not one of its peers.
    OtherPeer,
    /// The port is not one of its ports.
    OtherPort,
}

/// One rule that selects the subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Considered {
    /// Its id.
    pub rule: RuleId,
    /// What the id stands for.
    pub origin: Arc<Origin>,
    /// What it does with what it matches.
    pub action: Action,
    /// How it stands to the connection.
    pub standing: Standing,
}

/// One direction explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Ingress of the destination, or egress of the source.
    pub direction: Direction,
    /// Allowed or denied.
    pub verdict: Verdict,
    /// Who decided, in words.
    pub decided_by: String,
    /// All rules of this direction that select the subject, in order of rank.
    pub considered: Vec<Considered>,
    /// The smallest change that would turn the verdict around, in words.
    pub change: String,
}

/// Both directions explained; a side that is not governed has no reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The source's policy.
    pub egress: Option<Reason>,
    /// The destination's policy.
    pub ingress: Option<Reason>,
}

impl Explanation {
    /// The verdict of both together.
    pub fn verdict(&self) -> Verdict {
        let reasons = self.egress.iter().chain(&self.ingress);
        let mut verdicts = reasons.map(|reason| reason.verdict);
        verdicts
            .find(|verdict| *verdict != Verdict::Allow)
            .unwrap_or(Verdict::Allow)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.verdict == Verdict::Allow {
            "allowed"
        } else {
            "denied"
        };
        writeln!(f, "{} {verdict}: {}", self.direction, self.decided_by)?;
        for considered in &self.considered {
            let standing = match considered.standing {
                Standing::Decides => "decides",
                Standing::Outranked => "matches, but another rule comes first",
                Standing::OtherPeer => "does not name this peer",
                Standing::OtherPort => "does not name this port",
            };
            writeln!(
                f,
                "  {} {}: {standing}",
                considered.action, considered.origin
            )?;
        }
        write!(f, "  to turn it around: {}", self.change)
    }
}

fn port_text(protocol: Protocol, port: u16) -> String {
    match protocol {
        Protocol::ICMP | Protocol::ICMPV6 => format!("{protocol} type {}", port >> 8),
        Protocol::TCP | Protocol::UDP | Protocol::SCTP => format!("{protocol} port {port}"),
        other => other.to_string(),
    }
}

/// What is asked, from the subject's side.
struct Asked<'a> {
    subject: &'a Party,
    peer: &'a Party,
    direction: Direction,
    protocol: Protocol,
    port: u16,
}

impl Snapshot {
    /// Explains a connection. For ICMP the port is [`Protocol::icmp_port`] of the type.
    ///
    /// Both parties are judged by what the snapshot holds of objects, whether they are on this node or not.
    pub fn explain(&self, from: &Party, to: &Party, protocol: Protocol, port: u16) -> Explanation {
        let reason = |subject: &Party, peer: &Party, direction| {
            let asked = Asked {
                subject,
                peer,
                direction,
                protocol,
                port,
            };
            (subject.governed == Governed::Yes).then(|| self.reason(&asked))
        };
        Explanation {
            egress: reason(from, to, Direction::Egress),
            ingress: reason(to, from, Direction::Ingress),
        }
    }

    fn reason(&self, asked: &Asked<'_>) -> Reason {
        let resolution = self.resolve(&asked.subject.facts.labels, asked.direction);
        // The default's own id does not matter here: the causes are at hand.
        let default = match resolution.cause {
            DefaultCause::NotDenied => DefaultVerdict::Allow,
            _ => DefaultVerdict::Deny(RuleId::NONE),
        };
        let facts = SubjectFacts {
            labels: asked.subject.facts.labels.clone(),
            named_ports: asked.subject.facts.named_ports.clone(),
            ..SubjectFacts::default()
        };
        let key = self.key(&facts, asked.direction, resolution.rules.clone(), default);
        let own_ports = (asked.direction == Direction::Ingress).then(|| key.named_ports.clone());
        let mut ranked = self.ranked(&key.rules);
        ranked.sort_by(|a, b| (a.rank, &a.name).cmp(&(b.rank, &b.name)));
        let signature = self.signature_of(&ranked, &asked.peer.facts);
        let decider = Decider::new(ranked.clone(), default, own_ports.clone());
        let found = decider.verdict(&signature, asked.protocol, asked.port);
        let named = own_ports.unwrap_or_else(|| asked.peer.facts.named_ports.clone());
        let standing = |rule: &Ranked| {
            let on_list = rule
                .part
                .is_none_or(|part| signature.parts.binary_search(&part).is_ok());
            if !on_list {
                Standing::OtherPeer
            } else if !names_port(&rule.ports, &named, asked.protocol, asked.port) {
                Standing::OtherPort
            } else if found.rule == rule.id && found.matched != MatchType::None {
                Standing::Decides
            } else {
                Standing::Outranked
            }
        };
        let considered = ranked.iter().filter_map(|rule| {
            let origin = self.rule_ids().get(rule.id)?.clone();
            let standing = standing(rule);
            // What is always so and does not concern this peer tells nobody anything.
            let matters = rule.id >= RuleId::FIRST || standing != Standing::OtherPeer;
            matters.then_some(Considered {
                rule: rule.id,
                origin,
                action: rule.rank.3,
                standing,
            })
        });
        let considered: Vec<Considered> = considered.collect();
        let decided_by = self.decided_by(found, &resolution.cause, asked.direction);
        let change = change(asked, found, &resolution.cause, &considered);
        Reason {
            direction: asked.direction,
            verdict: found.verdict,
            decided_by,
            considered,
            change,
        }
    }

    fn decided_by(&self, found: PortVerdict, cause: &DefaultCause, direction: Direction) -> String {
        let fixed = |id| {
            self.rule_ids()
                .get(id)
                .map_or_else(String::new, ToString::to_string)
        };
        match (found.verdict, cause) {
            (Verdict::DefaultDeny, DefaultCause::Policies(policies)) => Origin::DefaultDeny {
                direction,
                policies: policies.clone(),
            }
            .to_string(),
            (Verdict::DefaultDeny, DefaultCause::Init) => fixed(RuleId::INIT),
            (Verdict::DefaultDeny, _) => fixed(RuleId::MODE_ALWAYS),
            _ => fixed(found.rule),
        }
    }
}

fn names_port(ports: &Ports, named: &NamedPorts, protocol: Protocol, port: u16) -> bool {
    match ports {
        Ports::All => true,
        Ports::Of(terms) => terms.iter().any(|term| match term {
            PortTerm::Range {
                protocol: of,
                first,
                last,
            } => *of == protocol && (*first..=*last).contains(&port),
            PortTerm::Named { protocol: of, name } => {
                *of == protocol && named.get(name, protocol).any(|number| number == port)
            }
        }),
    }
}

/// The smallest change that turns a verdict around: of the rules that miss by one thing, the first; else a new one.
fn change(
    asked: &Asked<'_>,
    found: PortVerdict,
    cause: &DefaultCause,
    considered: &[Considered],
) -> String {
    let port = port_text(asked.protocol, asked.port);
    let peer = &asked.peer.name;
    let first = |standing: Standing, action: Action| {
        considered
            .iter()
            .find(|c| c.standing == standing && c.action == action && c.rule >= RuleId::FIRST)
    };
    let decider = considered
        .iter()
        .find(|considered| considered.standing == Standing::Decides);
    match found.verdict {
        Verdict::Deny => match decider {
            Some(rule) => format!("take {peer} or {port} out of {}", rule.origin),
            None => "remove the rule that denies it".to_owned(),
        },
        Verdict::DefaultDeny => {
            if let Some(rule) = first(Standing::OtherPort, Action::Allow) {
                return format!("add {port} to {}", rule.origin);
            }
            if let Some(rule) = first(Standing::OtherPeer, Action::Allow) {
                return format!("add {peer} to the peers of {}", rule.origin);
            }
            match cause {
                DefaultCause::Policies(policies) => match policies.first() {
                    Some(policy) => format!(
                        "add an {} rule for {peer} and {port} to {policy}",
                        asked.direction
                    ),
                    None => "add a policy that allows it".to_owned(),
                },
                _ => format!(
                    "add a policy for {} that allows {peer} and {port}",
                    asked.subject.name
                ),
            }
        }
        Verdict::Allow => match decider {
            Some(rule) if rule.rule < RuleId::FIRST => {
                format!("it cannot be denied by a policy: {}", rule.origin)
            }
            Some(rule) if *cause == DefaultCause::NotDenied => {
                format!(
                    "add a rule that denies it: without {} it is allowed by default",
                    rule.origin
                )
            }
            Some(rule) => format!("take {peer} or {port} out of {}", rule.origin),
            None => format!(
                "add a policy that selects {} and does not allow {peer} on {port}",
                asked.subject.name
            ),
        },
    }
}

#[cfg(test)]
mod tests;
