//! Spans: of requests that were seen to belong to a trace, and of no others.
//!
//! Who watches has no place in a trace: no program knows of it, and nothing has its spans as parents. So a span of it is a child of
//! the one that the client told on the wire, of kind INTERNAL, for which no tool counts another request or draws another service
//! call; its resource is the agent's, and `axoneme.vantage` says at whose interface it was seen. What a client does not want to be
//! sampled is left out.

use l7::record::Http;
use opentelemetry_proto::tonic::trace::v1::{
    Span, SpanFlags, Status, span::SpanKind, status::StatusCode,
};

use super::attributes::Attributes;
use super::logs::Told;
use super::request;
use crate::spoken::Spoken;

/// Bit of a trace's flags: the client records it (W3C Trace Context, section 3.2.2.5).
const SAMPLED: u8 = 1;

/// What a client tells of its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TraceParent {
    pub(super) trace_id: [u8; 16],
    pub(super) span_id: [u8; 8],
    pub(super) flags: u8,
}

impl TraceParent {
    /// Reads a header that is well-formed; none if its numbers are zero, which are none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-').skip(1);
        let trace_id: [u8; 16] = octets(parts.next()?)?;
        let span_id: [u8; 8] = octets(parts.next()?)?;
        let [flags] = octets(parts.next()?)?;
        (trace_id != [0; 16] && span_id != [0; 8]).then_some(Self {
            trace_id,
            span_id,
            flags,
        })
    }

    /// Whether its client records it.
    pub(super) const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

fn octets<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut octets = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (place, octet) in octets.iter_mut().enumerate() {
        *octet = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(octets)
}

/// The trace of a request, if its client records it.
pub(super) fn trace_of(of: &Http) -> Option<TraceParent> {
    let trace = TraceParent::parse(of.traceparent.known()?)?;
    trace.is_sampled().then_some(trace)
}

/// The span of a request, by the last of its flows; `span_id` is what it is called.
pub(super) fn span(told: &Told<'_>, spoken: &Spoken, of: &Http, span_id: u64) -> Option<Span> {
    let trace = trace_of(of)?;
    let start_ns = of.start_ns?;
    let end_ns = of.end_ns.or(of.answer_ns).unwrap_or(spoken.made_ns);
    let mut to = Attributes::default();
    told.request(&mut to);
    request::http(of, told.vantage(), &mut to);
    request::http_once(of, &mut to);
    to.text("server.address", request::host(of));
    let status = request::http_error(of, told.vantage()).map(|message| Status {
        message,
        code: StatusCode::Error.into(),
    });
    let remote = SpanFlags::ContextHasIsRemoteMask as u32 | SpanFlags::ContextIsRemoteMask as u32;
    Some(Span {
        trace_id: trace.trace_id.to_vec(),
        span_id: span_id.to_be_bytes().to_vec(),
        parent_span_id: trace.span_id.to_vec(),
        flags: u32::from(trace.flags) | remote,
        name: request::http_name(of),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: spoken.clock.wall_ns(start_ns),
        end_time_unix_nano: spoken.clock.wall_ns(end_ns.max(start_ns)),
        attributes: to.into_proto(),
        status,
        ..Span::default()
    })
}

#[cfg(test)]
mod tests;
