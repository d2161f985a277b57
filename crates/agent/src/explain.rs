//! Why two identities may talk, or may not: the policy library's explanation as JSON.

use model::policy::{
    Direction, Explanation, Governed, Party, Peer, PeerFacts, Protocol, Reason, Scope, Verdict,
};
use serde_json::{Value, json};

use crate::view::View;

/// Explains a connection between two peers; the error names what is wrong with the question.
pub fn explain(
    view: &View,
    from: u32,
    to: u32,
    protocol: &str,
    port: u16,
) -> Result<Value, String> {
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "" | "tcp" => Protocol::TCP,
        "udp" => Protocol::UDP,
        "sctp" => Protocol::SCTP,
        "icmp" => Protocol::ICMP,
        "icmpv6" => Protocol::ICMPV6,
        other => {
            return Err(format!(
                "protocol: {other:?} is none of tcp, udp, sctp, icmp, icmpv6"
            ));
        }
    };
    let (source, destination) = (party(view, from)?, party(view, to)?);
    let explanation = view.policy.explain(&source, &destination, protocol, port);
    Ok(json!({
        "verdict": word(explanation.verdict()),
        "egress": explanation.egress.as_ref().map(reason),
        "ingress": explanation.ingress.as_ref().map(reason),
        "text": text(&explanation),
    }))
}

fn party(view: &View, number: u32) -> Result<Party, String> {
    let known = view.policy.peer(Peer(number));
    let facts: PeerFacts = known
        .cloned()
        .ok_or_else(|| format!("identity {number} is not known here"))?;
    let pod = Scope::of(Peer(number)) == Scope::Cluster;
    let name = facts.labels.to_texts().join(",");
    Ok(Party {
        name: name.into(),
        facts,
        governed: if pod { Governed::Yes } else { Governed::No },
    })
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allowed",
        Verdict::Deny => "denied",
        Verdict::DefaultDeny => "denied-by-default",
    }
}

fn reason(of: &Reason) -> Value {
    let considered = of.considered.iter().map(|rule| {
        json!({ "rule": rule.origin.to_string(), "action": rule.action.to_string(), "standing": format!("{:?}", rule.standing) })
    });
    json!({
        "direction": if of.direction == Direction::Ingress { "ingress" } else { "egress" },
        "verdict": word(of.verdict),
        "decided-by": of.decided_by,
        "considered": considered.collect::<Vec<_>>(),
        "change": of.change,
    })
}

fn text(explanation: &Explanation) -> String {
    let reasons = explanation.egress.iter().chain(&explanation.ingress);
    reasons
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}
