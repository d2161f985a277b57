//! What a failure is, for people.

use std::fmt;

use api::hubble::answers::{
    Cause, CauseKind, Completeness, Direction, Edge, Party, PartyKind, PolicyRef,
};
use datapath::abi::Drop;

use super::words;
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
        CauseKind::ResetByClient => format!("{source} ends connections with a reset"),
        CauseKind::ResetByServer => format!("{destination} ends connections with a reset"),
        CauseKind::CutByServer => {
            format!(
                "{} resets connections before it says anything",
                place(edge, &destination)
            )
        }
        CauseKind::StalledAtServer | CauseKind::StalledAtClient => {
            stalled(edge, cause, completeness, &destination)
        }
        CauseKind::FullAtServer | CauseKind::FullAtClient => {
            let who = if cause.kind() == CauseKind::FullAtServer {
                place(edge, &destination)
            } else {
                source
            };
            format!(
                "{who} takes nothing more on connections that are open: its program does not read"
            )
        }
        CauseKind::UnclosedAtServer => format!(
            "{} does not close connections that {source} has closed: its program keeps them",
            place(edge, &destination)
        ),
        CauseKind::CauseUnknown => "several causes".to_owned(),
        _ => said(cause, &source, &destination),
    }
}

/// Of what was said.
fn said(cause: &Cause, source: &str, destination: &str) -> String {
    let (name, code) = (&cause.name, cause.code);
    let what = |several: &str| {
        if name.is_empty() {
            several.to_owned()
        } else {
            name.clone()
        }
    };
    match cause.kind() {
        CauseKind::DnsTimeout => {
            let what = what("several names");
            format!("{destination} does not answer the question for {what} within 5 s")
        }
        CauseKind::DnsError => {
            let (what, code) = (what("several names"), words::dns_code(code));
            format!("{destination} answers {code} to the question for {what}")
        }
        CauseKind::DnsNoSuchName => {
            let what = what("several names that are asked for");
            format!("no such name: {what}, says {destination}")
        }
        CauseKind::HttpError => {
            let what = what("several requests");
            format!("{destination} answers {code} to {what}")
        }
        CauseKind::GrpcError => {
            let (what, code) = (what("several calls"), words::grpc_code(code));
            format!("{destination} answers {code} to {what}")
        }
        CauseKind::NoAnswer => {
            let what = what("several requests");
            format!("the connection ended before the answer to {what}")
        }
        CauseKind::Overdue => {
            let what = what("several requests");
            format!(
                "{destination} does not answer {what}, for longer than nearly all answers before took"
            )
        }
        CauseKind::KafkaError => {
            let code = words::kafka_code(code);
            match name.as_str() {
                "" => format!("{destination} answers {code}"),
                topic => format!("{destination} answers {code} about topic {topic}"),
            }
        }
        CauseKind::TlsAlertByClient | CauseKind::TlsAlertByServer => {
            let who = if cause.kind() == CauseKind::TlsAlertByClient {
                source
            } else {
                destination
            };
            let (what, code) = (what("TLS"), words::tls_alert(code));
            format!("{who} refuses the handshake for {what}: {code}")
        }
        _ => {
            let what = what("TLS");
            format!("the connection ended within the handshake for {what}")
        }
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
    match Traced::of(edge.destination.as_ref(), cause, completeness) {
        Traced::Delivered => format!("delivered to the pod, which does not answer on {place}"),
        Traced::Lost => format!("sent to {place}, and not seen there: lost between the nodes"),
        elsewhere => format!("{place} does not answer{elsewhere}"),
    }
}

/// Of an established connection on which one end hears nothing.
fn stalled(edge: &Edge, cause: &Cause, completeness: &Completeness, destination: &str) -> String {
    let (who, party) = if cause.kind() == CauseKind::StalledAtServer {
        (place(edge, destination), edge.destination.as_ref())
    } else {
        let source = edge.source.as_ref();
        (source.map(shown).unwrap_or_default(), source)
    };
    let traced = Traced::of(party, cause, completeness);
    format!("what is sent to {who} on open connections is not acknowledged{traced}")
}

/// How far packets to somebody can be followed.
enum Traced {
    Delivered,
    Outside,
    NotAPod,
    ByOneNode,
    Lost,
    Missing(String),
}

impl Traced {
    fn of(party: Option<&Party>, cause: &Cause, completeness: &Completeness) -> Self {
        if cause.delivered {
            Self::Delivered
        } else if party.is_some_and(is_outside) {
            Self::Outside
        } else if party.is_some_and(|of| of.kind() != PartyKind::Workload) {
            Self::NotAPod
        } else if !completeness.missing.is_empty() {
            Self::Missing(completeness.missing.join(", "))
        } else if completeness.nodes == 1 {
            Self::ByOneNode
        } else {
            Self::Lost
        }
    }
}

/// The end of a sentence.
impl fmt::Display for Traced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivered => f.write_str(", and is delivered to the pod"),
            Self::Outside => f.write_str("; what happens outside cannot be seen"),
            Self::NotAPod => Ok(()),
            Self::ByOneNode => f.write_str("; ask a relay to know what its node saw"),
            Self::Lost => f.write_str(": lost between the nodes"),
            Self::Missing(nodes) => {
                write!(f, "; what its node saw is not known ({nodes} missing)")
            }
        }
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
