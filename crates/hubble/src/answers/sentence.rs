//! What a failure is, for people.

use api::hubble::answers::{Cause, CauseKind, Completeness, Direction, Edge, PartyKind, PolicyRef};
use datapath::abi::Drop;

use crate::edges::shown;
use crate::rollup::is_outside;

/// What happens, and where to look.
pub(super) fn sentence(edge: &Edge, cause: &Cause, completeness: &Completeness) -> String {
    let named = |party: &Option<_>| party.as_ref().map(shown).unwrap_or_default();
    let (source, destination) = (named(&edge.source), named(&edge.destination));
    let judged = match cause.direction() {
        Direction::Egress => &source,
        Direction::Ingress | Direction::Unknown => &destination,
    };
    let way = match cause.direction() {
        Direction::Egress => "egress",
        Direction::Ingress | Direction::Unknown => "ingress",
    };
    match cause.kind() {
        CauseKind::DeniedByRule => {
            format!(
                "{} denies it ({way} of {judged})",
                policies(&cause.policies)
            )
        }
        CauseKind::DeniedByDefault => format!(
            "no rule allows it: {} select {judged} for {way}",
            policies(&cause.policies)
        ),
        CauseKind::Dropped => {
            let number = u8::try_from(cause.drop_reason).unwrap_or_default();
            let text = Drop::from_number(number).map_or("unknown reason", Drop::text);
            format!("the data plane drops packets: {text}")
        }
        CauseKind::Refused => format!("nothing listens on {}", place(edge, &destination)),
        CauseKind::Unanswered => unanswered(edge, cause, completeness, &destination),
        CauseKind::ResetByClient => format!("{source} cuts the connections"),
        CauseKind::ResetByServer => format!("{destination} cuts the connections"),
        CauseKind::CauseUnknown => "several causes".to_owned(),
    }
}

fn place(edge: &Edge, destination: &str) -> String {
    match edge.port {
        0 => destination.to_owned(),
        port => format!("port {port} of {destination}"),
    }
}

fn unanswered(
    edge: &Edge,
    cause: &Cause,
    completeness: &Completeness,
    destination: &str,
) -> String {
    let place = place(edge, destination);
    let party = edge.destination.as_ref();
    if cause.delivered {
        return format!("delivered to the pod, which does not answer on {place}");
    }
    if party.is_some_and(is_outside) {
        return format!("{place} does not answer; what happens outside cannot be seen");
    }
    if party.is_some_and(|of| of.kind() != PartyKind::Workload) {
        return format!("{place} does not answer");
    }
    if completeness.nodes == 1 && completeness.missing.is_empty() {
        return format!("{place} does not answer; ask a relay to know what its node saw");
    }
    if completeness.missing.is_empty() {
        format!("sent to {place}, and not seen there: lost between the nodes")
    } else {
        let missing = completeness.missing.join(", ");
        format!("{place} does not answer; what its node saw is not known ({missing} missing)")
    }
}

fn policies(all: &[PolicyRef]) -> String {
    if all.is_empty() {
        return "a policy".to_owned();
    }
    let named = all.iter().map(|of| {
        let separator = if of.namespace.is_empty() { "" } else { "/" };
        format!("{} {}{separator}{}", of.kind, of.namespace, of.name)
    });
    named.collect::<Vec<_>>().join(", ")
}
