//! Policy: from objects to verdicts.
//!
//! # The way of a policy
//! 1. [`parse_policy`] reads an object (NetworkPolicy, CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy) into a
//!    [`PolicyObject`]: sections, each with a subject and rules in *ordered form* ([`Rule`]): tier, priority, order,
//!    action, direction, peers, ports. An object that cannot be read yields an [`Invalid`] with the field's path;
//!    nothing is ignored. The caller keeps the last good version by simply not telling the snapshot.
//! 2. A [`Snapshot`] holds all inputs: objects, CIDR groups, peers, the endpoints of this node, settings. Every rule
//!    gets a [`RuleId`] that it keeps as long as its object and field path live, and every list of peers becomes a
//!    *part*, held once however many rules have it.
//! 3. [`Snapshot::resolve`] finds the rules for an endpoint and why everything else is denied, if it is. Endpoints with
//!    the same rules, defaults and named ports share one policy, named by a [`PolicyKey`], one per direction.
//! 4. [`Snapshot::row`] compiles a policy to [`PolicyRows`]: peers that are on the same parts form a [`Class`], and per
//!    class the port space is cut into prefixes with final verdicts. Not a product: a new identity costs at most one
//!    row per policy, however many ports it has rules for.
//! 5. [`Snapshot::apply`] takes one [`Change`] and says what is [`Touched`]; [`Snapshot::refresh`] brings rows up to
//!    date. A property test holds: what is kept up to date equals what is made anew.
//! 6. [`Snapshot::explain`] says for two parties and a port which rules were considered, which decided, and the
//!    smallest change that would turn the verdict around.
//!
//! # What decides
//! Tiers are asked in order: node, admin, normal, baseline. Within a tier rules are asked by priority, then order, then
//! action: deny before pass before allow. The first that matches peer and port decides; pass leaves the tier. Policies
//! of namespaces and cluster-wide ones are all of the normal tier, priority 0, order 0: a union in which any deny wins.
//! At the end of the normal tier, if a policy with default deny selects the endpoint, what nobody allowed is denied;
//! else the baseline tier is asked, and what nobody denies is allowed. A pass in the normal tier leads to the baseline
//! tier first, and to the default deny only after it.
//!
//! | empty, absent, `{}` | NetworkPolicy | Cilium policies |
//! |---|---|---|
//! | an entry `{}` | everybody, all ports | nobody |
//! | peers absent | everybody | everybody, if ports are named |
//! | peers `[]` | everybody | nobody |
//! | ports absent | all | all, if peers are named |
//! | ports `[]` | all | none |
//! | a selector `{}` | all pods of the namespace | all pods of the namespace; in a cluster-wide policy all pods |
//! | a CIDR group without members, or that does not exist | | nobody |
//!
//! A namespaced policy is about endpoints of its namespace, whatever it says. Selectors for pods never match nodes or
//! the world: a peer selector without reserved keys requires a namespace label, which only we give. ANY is TCP, UDP and
//! SCTP. For ICMP the type stands in the high octet of the port; the code is not looked at. ICMP errors that belong to
//! a connection are not new traffic, and never come here.
//!
//! # Peers and addresses
//! A policy never looks at an address. The ipcache gives addresses to peers: a peer is an identity, or a number of this
//! node's own for a part of one that CIDR selectors cut out (see [`cidr`]). Cilium's CIDR rules match the world only,
//! the ipBlock of a NetworkPolicy matches pods and nodes too.
//!
//! Unknown, absent and empty differ: a peer without a row has its scope's default class, but the data plane asks first
//! whether it is known to all policies at all, and drops it if not, except where [`Enforcing::No`]. For pods that class is what
//! most of them are to the policy, whatever its verdicts: so a pod that nobody knows, or that one policy does not know yet, must
//! not be known to the data plane either. Peers below [`Peer::FIXED`] have rows wherever they differ from it.

pub mod cidr;
mod classes;
mod explain;
pub(crate) mod field;
mod ids;
mod parse;
mod parts;
mod prefixes;
mod resolve;
mod rule;
mod snapshot;

pub use classes::{
    Class, Enforcing, Fit, MatchType, Peer, PolicyRows, PortKey, PortVerdict, Refreshed, Scope,
    Verdict,
};
pub use explain::{Considered, Explanation, Governed, Party, Reason, Standing};
pub use field::Invalid;
pub use ids::{Origin, RuleId, RuleIds};
pub use parse::{
    CidrGroup, ClusterDefault, ExtendedProtocols, ParseOptions, object_key, parse_cidr_group,
    parse_policy,
};
pub use parts::PeerFacts;
pub use resolve::{
    AllowLocalhost, Audit, DefaultCause, DefaultVerdict, Enforcement, PolicyKey, Resolution,
    Settings, SubjectFacts,
};
pub use rule::{
    Action, DefaultDeny, Direction, GroupTerm, Kind, NamedPorts, ObjectKey, PeerTerm, Peers,
    PolicyObject, PortTerm, Ports, Protocol, Rule, Section, Subject, Tier,
};
pub use snapshot::{Change, Extent, Snapshot, SubjectId, Touched};

#[cfg(test)]
mod tests;
