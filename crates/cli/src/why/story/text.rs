//! The story in sentences that a tired person can read.

use std::io::Write;

use super::change::{Change, short};
use super::{Story, Way};
use crate::output::Paint;
use crate::why::party::{Party, Place};
use crate::why::proof::Reason;
use crate::why::seen::Half;

impl Story {
    /// Writes it.
    pub(crate) fn write(&self, out: &mut dyn Write, paint: Paint) -> anyhow::Result<()> {
        let verdict = match (self.ways.is_empty(), self.allowed) {
            (true, _) => paint.bad("refused: the service has no backend"),
            (false, true) => paint.good("allowed"),
            (false, false) if self.ways.iter().any(|way| way.policy.is_allowed()) => {
                paint.warn("allowed to some backends, denied to others")
            }
            (false, false) => paint.bad("denied"),
        };
        writeln!(out, "{} → {}: {verdict}\n", self.from.name, self.to)?;
        writeln!(out, "{}  {}", paint.bold("From     "), person(&self.from))?;
        self.service(out, paint)?;
        for (number, way) in self.ways.iter().enumerate() {
            way.write(
                out,
                paint,
                &self.from,
                self.ways
                    .iter()
                    .take(number)
                    .any(|before| before.policy == way.policy && before.port == way.port),
            )?;
        }
        half(
            out,
            paint,
            "Tracked  ",
            "no connection of the two is in the tables of this node",
            &self.seen.connections,
        )?;
        half(
            out,
            paint,
            "Last seen",
            "this node remembers no flow between the two",
            &self.seen.flows,
        )?;
        if let Some(peer) = &self.seen.peer {
            half(
                out,
                paint,
                "Peer     ",
                "the other node remembers no flow between the two",
                peer,
            )?;
        }
        Ok(())
    }

    fn service(&self, out: &mut dyn Write, paint: Paint) -> anyhow::Result<()> {
        let Some(service) = &self.service else {
            return Ok(());
        };
        let backends = match service.backends.as_slice() {
            [] => {
                "nobody: it has no backend that takes connections, so they are refused".to_owned()
            }
            [one] => one.clone(),
            several => format!("one of {}", several.join(", ")),
        };
        writeln!(
            out,
            "{}  {} ({} {}) is translated to {backends}",
            paint.bold("Service  "),
            service.name,
            service.kind,
            service.frontend
        )?;
        if !service.terminating.is_empty() {
            writeln!(
                out,
                "           terminating, no new connections: {}",
                service.terminating.join(", ")
            )?;
        }
        Ok(())
    }
}

impl Way {
    fn write(
        &self,
        out: &mut dyn Write,
        paint: Paint,
        from: &Party,
        told: bool,
    ) -> anyhow::Result<()> {
        writeln!(
            out,
            "{}  {} at port {}",
            paint.bold("To       "),
            person(&self.to),
            self.port
        )?;
        let verdict = if self.policy.is_allowed() {
            paint.good(self.policy.word())
        } else {
            paint.bad(self.policy.word())
        };
        if told {
            writeln!(out, "{}  {verdict}, as above", paint.bold("Policy   "))?;
        } else {
            writeln!(out, "{}  {verdict}", paint.bold("Policy   "))?;
            for (direction, reason, peer) in [
                ("leaving", &self.policy.egress, &self.to),
                ("arriving", &self.policy.ingress, from),
            ] {
                let change = || Change {
                    direction,
                    peer: &peer.labels,
                    port: &self.port,
                };
                match reason {
                    None => writeln!(
                        out,
                        "           {direction}: no policy applies to this side"
                    )?,
                    Some(reason) => side(out, paint, reason, &change())?,
                }
            }
        }
        writeln!(out, "{}  {}", paint.bold("Route    "), self.route)?;
        Ok(())
    }
}

fn side(
    out: &mut dyn Write,
    paint: Paint,
    reason: &Reason,
    change: &Change<'_>,
) -> anyhow::Result<()> {
    let allowed = reason.verdict == "allowed";
    let word = if allowed {
        paint.good("allowed")
    } else {
        paint.bad("denied")
    };
    writeln!(
        out,
        "           {}: {word}: {}",
        change.direction, reason.decided_by
    )?;
    // The one that decides is told already.
    let others = reason.considered.iter();
    for rule in others.filter(|rule| rule.rule != reason.decided_by) {
        let standing = match rule.standing.as_str() {
            "Decides" => "decides",
            "Outranked" => "matches, but another rule comes first",
            "OtherPeer" => "does not name this peer",
            "OtherPort" => "does not name this port",
            other => other,
        };
        writeln!(
            out,
            "             {} {}: {standing}",
            rule.action, rule.rule
        )?;
    }
    if !allowed {
        let words = reason.change.replace(change.peer, &short(change.peer));
        writeln!(out, "             the smallest change: {words}")?;
        for line in change.fragment(reason).unwrap_or_default().lines() {
            writeln!(out, "               {line}")?;
        }
    }
    Ok(())
}

fn person(of: &Party) -> String {
    let place = match &of.place {
        Place::Here { endpoint, .. } => format!("endpoint {endpoint} of this node"),
        Place::ThisNode => "this node".to_owned(),
        Place::There { node, .. } => format!("on node {node}"),
        Place::World => "outside the cluster".to_owned(),
    };
    let address = of.address.to_string();
    let name = if of.name == address {
        address
    } else {
        format!("{} ({address})", of.name)
    };
    format!(
        "{name}, {place}, identity {} [{}]",
        of.identity,
        short(&of.labels)
    )
}

fn half(
    out: &mut dyn Write,
    paint: Paint,
    label: &str,
    nothing: &str,
    half: &Half,
) -> anyhow::Result<()> {
    let label = paint.bold(label);
    match half {
        Half::Unknown(why) => writeln!(out, "{label}  {}: {why}", paint.warn("unknown"))?,
        Half::Known(lines) => {
            let (first, rest) = lines
                .split_first()
                .map_or((nothing, &[][..]), |(first, rest)| (first.as_str(), rest));
            writeln!(out, "{label}  {first}")?;
            for line in rest {
                writeln!(out, "           {line}")?;
            }
        }
    }
    Ok(())
}
