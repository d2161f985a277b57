//! The tests: their policies, what is tried, and what is expected of it. Names are upstream's.

mod absent;
mod expected;
mod policies_of;

use serde_json::Value;

use super::action::{Action, Scenario};
use super::lab::Lab;
use super::verdict::Expect;
pub(super) use absent::ABSENT;
use expected::{
    DENIED_EGRESS, EGRESS, answered, client_denies_ping_of_client2, client_only_to_echo,
    echo_denied, echo_denied_to_client, echo_denies_client2, first_external_denied,
    first_external_denied_only, ingress_closed, not_to_world, only_from_client2, only_from_hosts,
    only_to_echo, only_to_first_external, only_to_hosts, only_to_world, same_node_echo,
    same_node_echo_denied, to_client_by_ping_from_client2, to_client_from_client2,
};
use policies_of as of;

/// What a test needs of the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// An address outside of the cluster.
    External,
    /// And a second one.
    OtherExternal,
    /// Nodes can be selected by their addresses.
    NodeCidr,
    /// The image has `ping`.
    Ping,
}

/// A test that is more than attempts under a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// Every node reaches every other, as its health program says.
    Health,
    /// Packets that were dropped for no reason that is one.
    Drops,
    /// Logs of our programs.
    Logs,
}

/// What a test does.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Attempts, while policies are in force.
    Attempts {
        policies: fn(&Lab) -> Vec<Value>,
        scenarios: &'static [Scenario],
        expect: fn(&Action) -> Expect,
    },
    /// A look at the agents.
    Look(Check),
}

/// A test.
#[derive(Clone, Copy)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) needs: &'static [Need],
    pub(super) kind: Kind,
}

impl Case {
    /// Why it cannot be run on this lab.
    pub(super) fn lacks(&self, lab: &Lab) -> Option<&'static str> {
        self.needs.iter().find_map(|need| {
            let (there, reason) = match need {
                Need::External => (!lab.externals.is_empty(), "no --external-ip is given"),
                Need::OtherExternal => (lab.externals.len() > 1, "no --external-other-ip is given"),
                Need::NodeCidr => (
                    lab.setting("policy-cidr-match-mode").contains("nodes"),
                    "policy-cidr-match-mode is not nodes",
                ),
                Need::Ping => (lab.ping, "the image of the clients has no ping"),
            };
            (!there).then_some(reason)
        })
    }
}

const fn case(
    name: &'static str,
    policies: fn(&Lab) -> Vec<Value>,
    scenarios: &'static [Scenario],
    expect: fn(&Action) -> Expect,
) -> Case {
    Case {
        name,
        needs: &[],
        kind: Kind::Attempts {
            policies,
            scenarios,
            expect,
        },
    }
}

const fn needing(needs: &'static [Need], case: Case) -> Case {
    Case { needs, ..case }
}

const fn look(name: &'static str, check: Check) -> Case {
    Case {
        name,
        needs: &[],
        kind: Kind::Look(check),
    }
}

use Scenario::{
    ClientToClient, Dns, HostToPod, PodToHost, PodToItself, PodToLocalNodePort, PodToPod,
    PodToRemoteNodePort, PodToService, PodToWorld,
};

const PODS: &[Scenario] = &[PodToPod];
const PODS_AND_WORLD: &[Scenario] = &[PodToPod, PodToWorld];
const PODS_AND_CLIENTS: &[Scenario] = &[PodToPod, ClientToClient];
const SERVED: &[Scenario] = &[PodToPod, PodToService];
const WORLD: &[Scenario] = &[PodToWorld];

/// Every test, in the order in which they run; those that look back come last.
pub(super) const CASES: &[Case] = &[
    case(
        "no-policies",
        of::none,
        &[
            PodToPod,
            ClientToClient,
            PodToService,
            PodToHost,
            HostToPod,
            PodToWorld,
            Dns,
        ],
        answered,
    ),
    case(
        "no-policies-extra",
        of::none,
        &[PodToLocalNodePort, PodToRemoteNodePort],
        answered,
    ),
    case(
        "allow-all-except-world",
        of::cluster_both_ways,
        &[
            PodToPod,
            ClientToClient,
            PodToService,
            PodToLocalNodePort,
            PodToRemoteNodePort,
            PodToHost,
            PodToWorld,
        ],
        not_to_world,
    ),
    case(
        "client-ingress",
        of::client_ingress,
        PODS_AND_CLIENTS,
        to_client_from_client2,
    ),
    case(
        "client-ingress-knp",
        of::client_ingress_knp,
        PODS_AND_CLIENTS,
        to_client_from_client2,
    ),
    needing(
        &[Need::Ping],
        case(
            "client-ingress-icmp",
            of::client_ingress_icmp,
            &[ClientToClient],
            to_client_by_ping_from_client2,
        ),
    ),
    case(
        "all-ingress-deny",
        of::all_ingress_deny,
        &[PodToPod, ClientToClient, PodToWorld],
        ingress_closed,
    ),
    case(
        "all-ingress-deny-knp",
        of::all_ingress_deny_knp,
        &[PodToPod, ClientToClient, PodToWorld],
        ingress_closed,
    ),
    case(
        "all-egress-deny",
        of::all_egress_deny,
        PODS_AND_WORLD,
        |_| EGRESS,
    ),
    case(
        "all-egress-deny-knp",
        of::all_egress_deny_knp,
        PODS_AND_WORLD,
        |_| EGRESS,
    ),
    case(
        "all-entities-deny",
        of::all_entities_deny,
        PODS_AND_WORLD,
        |_| DENIED_EGRESS,
    ),
    case(
        "cluster-entity",
        of::cluster_entity,
        &[PodToPod, PodToService, PodToWorld],
        not_to_world,
    ),
    case(
        "host-entity-egress",
        of::host_entity_egress,
        &[PodToHost, PodToPod],
        only_to_hosts,
    ),
    case(
        "host-entity-ingress",
        of::host_entity_ingress,
        &[HostToPod, PodToPod],
        only_from_hosts,
    ),
    case("echo-ingress", of::echo_ingress, SERVED, only_from_client2),
    case(
        "echo-ingress-knp",
        of::echo_ingress_knp,
        SERVED,
        only_from_client2,
    ),
    case(
        "echo-ingress-from-other-client-deny",
        of::echo_ingress_deny,
        SERVED,
        echo_denies_client2,
    ),
    needing(
        &[Need::Ping],
        case(
            "client-ingress-from-other-client-icmp-deny",
            of::client_ingress_icmp_deny,
            &[ClientToClient],
            client_denies_ping_of_client2,
        ),
    ),
    case(
        "client-egress",
        of::client_egress,
        &[PodToPod, PodToService, ClientToClient],
        only_to_echo,
    ),
    case(
        "client-egress-knp",
        of::client_egress_knp,
        &[PodToPod, PodToService, ClientToClient],
        only_to_echo,
    ),
    case(
        "client-egress-expression",
        of::client_egress_expression,
        PODS_AND_CLIENTS,
        client_only_to_echo,
    ),
    case(
        "client-egress-expression-knp",
        of::client_egress_expression_knp,
        PODS_AND_CLIENTS,
        client_only_to_echo,
    ),
    case(
        "client-with-service-account-egress-to-echo",
        of::client_account_egress,
        PODS_AND_CLIENTS,
        client_only_to_echo,
    ),
    case(
        "client-egress-to-echo-service-account",
        of::client_egress_to_account,
        PODS,
        same_node_echo,
    ),
    case(
        "client-egress-to-echo-deny",
        of::client_egress_deny,
        PODS_AND_CLIENTS,
        echo_denied,
    ),
    case(
        "client-egress-to-echo-named-port-deny",
        of::client_egress_named_port_deny,
        PODS_AND_CLIENTS,
        echo_denied,
    ),
    case(
        "client-egress-to-echo-expression-deny",
        of::client_egress_expression_deny,
        PODS_AND_CLIENTS,
        echo_denied_to_client,
    ),
    case(
        "client-with-service-account-egress-to-echo-deny",
        of::client_account_egress_deny,
        PODS_AND_CLIENTS,
        echo_denied_to_client,
    ),
    case(
        "client-egress-to-echo-service-account-deny",
        of::client_egress_to_account_deny,
        PODS,
        same_node_echo_denied,
    ),
    needing(
        &[Need::External],
        case(
            "to-entities-world",
            of::to_entities_world,
            PODS_AND_WORLD,
            only_to_world,
        ),
    ),
    needing(
        &[Need::OtherExternal],
        case(
            "to-cidr-external",
            of::to_cidr_external,
            WORLD,
            only_to_first_external,
        ),
    ),
    needing(
        &[Need::OtherExternal],
        case(
            "to-cidr-external-knp",
            of::to_cidr_external_knp,
            WORLD,
            only_to_first_external,
        ),
    ),
    needing(
        &[Need::OtherExternal],
        case(
            "client-egress-to-cidr-deny",
            of::cidr_deny,
            WORLD,
            first_external_denied,
        ),
    ),
    needing(
        &[Need::OtherExternal],
        case(
            "client-egress-to-cidr-deny-default",
            of::cidr_deny_default,
            WORLD,
            first_external_denied_only,
        ),
    ),
    needing(
        &[Need::OtherExternal],
        case(
            "client-egress-to-cidrgroup-deny",
            of::group_deny,
            WORLD,
            first_external_denied,
        ),
    ),
    needing(
        &[Need::OtherExternal],
        case(
            "client-egress-to-cidrgroup-deny-by-label",
            of::group_deny_by_label,
            WORLD,
            first_external_denied,
        ),
    ),
    needing(
        &[Need::NodeCidr, Need::Ping],
        case(
            "pod-to-node-cidrpolicy",
            of::node_cidr,
            &[PodToHost, PodToPod],
            only_to_hosts,
        ),
    ),
    case(
        "pod-to-itself-via-service",
        of::none,
        &[PodToItself],
        answered,
    ),
    look("health", Check::Health),
    look("no-unexpected-packet-drops", Check::Drops),
    look("check-log-errors", Check::Logs),
];

#[cfg(test)]
mod tests;
