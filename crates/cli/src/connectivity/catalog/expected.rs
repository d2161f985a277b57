//! What is expected of an attempt under the policies of a test.

use crate::connectivity::action::{Action, Callee, Probe};
use crate::connectivity::lab::Role;
use crate::connectivity::verdict::{Expect, Side};

pub(super) const EGRESS: Expect = Expect::NotAllowed(Side::Egress);
pub(super) const INGRESS: Expect = Expect::NotAllowed(Side::Ingress);
pub(super) const DENIED_EGRESS: Expect = Expect::Denied(Side::Egress);
pub(super) const DENIED_INGRESS: Expect = Expect::Denied(Side::Ingress);

fn unless(reached: bool, otherwise: Expect) -> Expect {
    if reached { Expect::Answer } else { otherwise }
}

pub(super) fn answered(_: &Action) -> Expect {
    Expect::Answer
}

pub(super) fn not_to_world(action: &Action) -> Expect {
    unless(!action.is_to_world(), EGRESS)
}

/// From pods to pods nothing, to the world all.
pub(super) fn ingress_closed(action: &Action) -> Expect {
    unless(action.is_to_world(), INGRESS)
}

pub(super) fn only_to_echo(action: &Action) -> Expect {
    unless(action.is_to_echo(), EGRESS)
}

/// `client2` alone has the label that is asked for.
pub(super) fn only_from_client2(action: &Action) -> Expect {
    unless(action.is_from("client2"), INGRESS)
}

/// To `client` only from `client2`, to the other clients from all.
pub(super) fn to_client_from_client2(action: &Action) -> Expect {
    let guarded = action.callee == Callee::Client("client");
    unless(!guarded || action.is_from("client2"), INGRESS)
}

pub(super) fn to_client_by_ping_from_client2(action: &Action) -> Expect {
    let guarded = action.callee == Callee::Client("client");
    let allowed = action.is_from("client2") && action.probe == Probe::Ping;
    unless(!guarded || allowed, INGRESS)
}

pub(super) fn client_only_to_echo(action: &Action) -> Expect {
    unless(!action.is_from("client") || action.is_to_echo(), EGRESS)
}

pub(super) fn echo_denied(action: &Action) -> Expect {
    unless(!action.is_to_echo(), DENIED_EGRESS)
}

pub(super) fn echo_denied_to_client(action: &Action) -> Expect {
    unless(
        !(action.is_to_echo() && action.is_from("client")),
        DENIED_EGRESS,
    )
}

pub(super) fn echo_denies_client2(action: &Action) -> Expect {
    unless(!action.is_from("client2"), DENIED_INGRESS)
}

pub(super) fn client_denies_ping_of_client2(action: &Action) -> Expect {
    let met = action.callee == Callee::Client("client") && action.is_from("client2");
    unless(!(met && action.probe == Probe::Ping), DENIED_INGRESS)
}

pub(super) fn same_node_echo(action: &Action) -> Expect {
    unless(action.callee == Callee::Echo("echo-same-node"), EGRESS)
}

pub(super) fn same_node_echo_denied(action: &Action) -> Expect {
    unless(
        action.callee != Callee::Echo("echo-same-node"),
        DENIED_EGRESS,
    )
}

pub(super) fn only_from_hosts(action: &Action) -> Expect {
    unless(action.source.role == Role::Host, INGRESS)
}

pub(super) fn only_to_hosts(action: &Action) -> Expect {
    unless(action.callee == Callee::Node, EGRESS)
}

pub(super) fn only_to_world(action: &Action) -> Expect {
    unless(action.is_to_world(), EGRESS)
}

pub(super) fn only_to_first_external(action: &Action) -> Expect {
    unless(action.callee == Callee::World(0), EGRESS)
}

pub(super) fn first_external_denied(action: &Action) -> Expect {
    unless(action.callee != Callee::World(0), DENIED_EGRESS)
}

pub(super) fn first_external_denied_only(action: &Action) -> Expect {
    if action.callee == Callee::World(0) {
        DENIED_EGRESS
    } else {
        EGRESS
    }
}
