//! A stream of flows without what a caller may not see, and how many were withheld.

use std::sync::LazyLock;
use std::time::Duration;

use api::hubble::flow::{Endpoint, Flow, Ip, Layer7, layer7::Record};
use api::hubble::observer::{GetFlowsResponse, get_flows_response::ResponseTypes};
use api::hubble::relay::NodeState;
use futures::stream::{self, BoxStream, StreamExt};
use prost::Message;
use prost::bytes::Bytes;
use tokio::time::Instant;
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::{Access, View};
use crate::relay::faults::event;

/// Between two events that tell how many flows were withheld.
const TOLD: Duration = Duration::from_secs(10);
/// How long a stream goes on before its token is looked at again.
const REVIEWED: Duration = Duration::from_mins(1);
/// Whom the events are of.
static RELAY: LazyLock<String> = LazyLock::new(|| "hubble-relay".to_owned());

type Replies = BoxStream<'static, Result<Bytes, Status>>;

struct Veiled {
    replies: Replies,
    access: Access,
    metadata: MetadataMap,
    view: View,
    reviewed: Instant,
    withheld: u64,
    told: Instant,
    over: bool,
}

/// Replies as far as a caller may see them. The stream ends when his token does.
pub(in crate::relay) fn veiled(
    replies: Replies,
    access: Access,
    metadata: MetadataMap,
    view: View,
) -> Replies {
    let now = Instant::now();
    let veiled = Veiled {
        replies,
        access,
        metadata,
        view,
        reviewed: now,
        withheld: 0,
        told: now,
        over: false,
    };
    stream::unfold(veiled, async |mut veiled| {
        let reply = veiled.next().await?;
        Some((reply, veiled))
    })
    .boxed()
}

impl Veiled {
    async fn next(&mut self) -> Option<Result<Bytes, Status>> {
        while !self.over {
            if self.withheld > 0 && self.told.elapsed() >= TOLD {
                return self.tell().map(Ok);
            }
            let reply = match self.replies.next().await {
                Some(Ok(reply)) => reply,
                Some(Err(status)) => return Some(Err(status)),
                None => {
                    self.over = true;
                    return self.tell().map(Ok);
                }
            };
            match self.judge(reply).await {
                Ok(Some(reply)) => return Some(Ok(reply)),
                Ok(None) => self.withheld += 1,
                Err(status) => {
                    self.over = true;
                    return Some(Err(status));
                }
            }
        }
        None
    }

    fn tell(&mut self) -> Option<Bytes> {
        let withheld = std::mem::take(&mut self.withheld);
        self.told = Instant::now();
        let message = format!(
            "{withheld} flows are withheld: they neither begin nor end in a namespace whose flows.axoneme.io you may get"
        );
        (withheld > 0).then(|| event(NodeState::NodeError, [RELAY.clone()], message))
    }

    /// The reply as the caller may see it; none if he may not.
    async fn judge(&mut self, reply: Bytes) -> Result<Option<Bytes>, Status> {
        if self.reviewed.elapsed() >= REVIEWED {
            self.view = self.access.view(&self.metadata).await?;
            self.reviewed = Instant::now();
        }
        let View::Of(caller) = &self.view else {
            return Ok(Some(reply));
        };
        // What cannot be read cannot be judged.
        let Ok(response) = GetFlowsResponse::decode(reply.clone()) else {
            return Ok(None);
        };
        let flow = match response.response_types {
            Some(ResponseTypes::Flow(flow)) => flow,
            Some(ResponseTypes::NodeStatus(_) | ResponseTypes::LostEvents(_)) => {
                return Ok(Some(reply));
            }
            None => return Ok(None),
        };
        let [source, destination] =
            [&flow.source, &flow.destination].map(|end| namespace(end.as_ref()));
        let sees_source = caller.sees(source).await?;
        let sees_destination = caller.sees(destination).await?;
        if !sees_source && !sees_destination {
            return Ok(None);
        }
        let is_whole =
            (sees_source || source.is_empty()) && (sees_destination || destination.is_empty());
        if is_whole {
            return Ok(Some(reply));
        }
        let response = GetFlowsResponse {
            response_types: Some(ResponseTypes::Flow(narrowed(flow, sees_source))),
            ..response
        };
        Ok(Some(response.encode_to_vec().into()))
    }
}

fn namespace(end: Option<&Endpoint>) -> &str {
    end.map_or("", |end| end.namespace.as_str())
}

/// What is told of a flow whose other end is in a namespace that may not be seen: what is listed here, and nothing else.
fn narrowed(flow: Flow, sees_source: bool) -> Flow {
    let ip = flow.ip.map(|of| Ip {
        source: if sees_source {
            of.source
        } else {
            String::new()
        },
        destination: if sees_source {
            String::new()
        } else {
            of.destination
        },
        ip_version: of.ip_version,
        encrypted: of.encrypted,
        source_xlated: String::new(),
    });
    let is_reply = flow.is_reply.as_ref().is_some_and(|of| of.value);
    let l7 = flow.l7.filter(|of| is_dns(of) && sees_source != is_reply);
    let end = |end: Option<Endpoint>, sees: bool| if sees { end } else { end.map(by_name) };
    let own = |sees: bool, policies| if sees { policies } else { Vec::new() };
    Flow {
        time: flow.time,
        verdict: flow.verdict,
        drop_reason_desc: flow.drop_reason_desc,
        ip,
        l4: flow.l4,
        source: end(flow.source, sees_source),
        destination: end(flow.destination, !sees_source),
        r#type: flow.r#type,
        node_name: flow.node_name,
        l7,
        event_type: flow.event_type,
        source_service: flow.source_service,
        destination_service: flow.destination_service,
        traffic_direction: flow.traffic_direction,
        trace_observation_point: flow.trace_observation_point,
        is_reply: flow.is_reply,
        uuid: flow.uuid,
        trace_reason: flow.trace_reason,
        egress_allowed_by: own(sees_source, flow.egress_allowed_by),
        egress_denied_by: own(sees_source, flow.egress_denied_by),
        ingress_allowed_by: own(!sees_source, flow.ingress_allowed_by),
        ingress_denied_by: own(!sees_source, flow.ingress_denied_by),
        ..Flow::default()
    }
}

fn by_name(end: Endpoint) -> Endpoint {
    Endpoint {
        namespace: end.namespace,
        workloads: end.workloads,
        cluster_name: end.cluster_name,
        ..Endpoint::default()
    }
}

fn is_dns(of: &Layer7) -> bool {
    matches!(of.record, Some(Record::Dns(_)))
}

#[cfg(test)]
mod tests;
