//! The service `observer.Observer` over one node's ring.

mod reader;
mod stream;

use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use api::hubble::{
    Timestamp,
    observer::{
        GetAgentEventsRequest, GetAgentEventsResponse, GetDebugEventsRequest,
        GetDebugEventsResponse, GetFlowsRequest, GetFlowsResponse, GetNamespacesRequest,
        GetNamespacesResponse, GetNodesRequest, GetNodesResponse, Namespace, ServerStatusRequest,
        ServerStatusResponse, observer_server,
    },
};
use arc_swap::ArcSwap;
use futures::Stream;
use prometheus_client::collector::Collector;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::{
    calls::{Calls, Method},
    filter::Selection,
    flow::Node,
    history::{History, Want},
    intake::{Intake, Namespaces},
    mask::Mask,
    ring::{Entry, Read, Ring},
};
use reader::{Reader, Span};
use stream::{AgentEvents, Before, Flows};

/// Settings of an observer.
#[derive(Clone, Debug)]
pub struct Config {
    /// Cluster of this node.
    pub cluster: String,
    /// Name of this node.
    pub node: String,
    /// Version as clients print it.
    pub version: String,
    /// Least time between two reports of entries that a reader missed.
    pub lost_interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cluster: "default".into(),
            node: String::new(),
            version: format!("axoneme v{}", crate::VERSION),
            lost_interval: Duration::from_secs(1),
        }
    }
}

/// Answers questions about the flows of this node.
#[derive(Clone)]
pub struct Observer {
    ring: Arc<Ring>,
    history: Option<Arc<History>>,
    namespaces: Arc<Namespaces>,
    node: Arc<ArcSwap<Node>>,
    config: Arc<Config>,
    started: Instant,
    calls: Arc<Calls>,
    shutdown: CancellationToken,
}

type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Observer {
    /// An observer of what `intake` takes; streams end when `shutdown` is cancelled.
    pub fn new(intake: &Intake, config: Config, shutdown: CancellationToken) -> Self {
        let node = Node {
            name: format!("{}/{}", config.cluster, config.node),
            labels: Vec::new(),
        };
        intake.node().store(Arc::new(node));
        Self {
            ring: intake.ring().clone(),
            history: intake.history().cloned(),
            namespaces: intake.namespaces().clone(),
            node: intake.node().clone(),
            config: Arc::new(config),
            started: Instant::now(),
            calls: Arc::default(),
            shutdown,
        }
    }

    /// Says which labels this node has from now on, as `key=value`; flows that are read later carry them.
    pub fn set_node_labels(&self, labels: impl IntoIterator<Item = String>) {
        let mut labels: Vec<String> = labels.into_iter().collect();
        labels.sort();
        let node = self.node.load();
        if node.labels != labels {
            let name = node.name.clone();
            self.node.store(Arc::new(Node { name, labels }));
        }
    }

    /// The calls that were answered, for a registry of metrics.
    pub fn calls(&self) -> Box<dyn Collector> {
        Box::new(Arc::clone(&self.calls))
    }

    fn reader(&self, span: Span, start: u64) -> Reader {
        Reader::new(self.ring.clone(), span, start, self.shutdown.clone())
    }

    /// Flows per second over the last minute, or over what the ring holds of it.
    #[allow(
        clippy::cast_precision_loss,
        reason = "a ring holds fewer flows than a double has integers"
    )]
    fn flows_rate(&self, now: Timestamp) -> f64 {
        const WINDOW_NS: i128 = 60_000_000_000;
        let now = now.unix_nanos();
        let (mut flows, mut first) = (0_u64, now);
        for position in (self.ring.oldest()..self.ring.head()).rev() {
            let Read::Entry(entry) = self.ring.read(position) else {
                break;
            };
            let reached = self.ring.reached(position);
            if reached.is_some_and(|time| time.unix_nanos() < now - WINDOW_NS) {
                return flows as f64 / (WINDOW_NS as f64 / 1e9);
            }
            let time = entry.time().unix_nanos();
            let is_flow = matches!(entry, Entry::Flow(_) | Entry::Message(_));
            if is_flow && time >= now - WINDOW_NS {
                flows += 1;
                first = first.min(time);
            }
        }
        let full = self.ring.head() > self.ring.capacity();
        let span = if full { now - first } else { WINDOW_NS };
        if span == 0 {
            0.0
        } else {
            flows as f64 / (span as f64 / 1e9)
        }
    }
}

/// Requests that share first, number, since, until and follow.
macro_rules! span {
    ($request:expr) => {
        Span::new(
            $request.number,
            $request.first,
            $request.follow,
            $request.since,
            $request.until,
        )
        .map_err(Status::invalid_argument)
    };
}

impl Observer {
    async fn flows(
        &self,
        request: GetFlowsRequest,
    ) -> Result<Response<Replies<GetFlowsResponse>>, Status> {
        let span = span!(request)?;
        let invalid = |error: &dyn std::error::Error| Status::invalid_argument(error.to_string());
        let selection = Selection::compile(&request.whitelist, &request.blacklist)
            .map_err(|error| invalid(&error))?;
        let paths = request
            .field_mask
            .map(|mask| mask.paths)
            .unwrap_or_default();
        let mask = Mask::new(&paths).map_err(|error| invalid(&error))?;
        let node = self.node.clone();
        let start = span
            .start(&self.ring, |entry| match entry.flow(&node.load()) {
                Some(flow) => selection.matches(&flow),
                None => false,
            })
            .await;
        let before = self.history.as_ref().and_then(|history| {
            let (since, until) = span.before(&self.ring)?;
            let want = Want {
                since,
                until,
                from: 0,
                below: start,
            };
            Some(Before::new(Arc::clone(history), want))
        });
        let flows = Flows {
            reader: self.reader(span, start),
            before,
            selection,
            mask,
            node,
            lost: stream::LostTally::new(self.config.lost_interval),
        };
        Ok(Response::new(Box::pin(flows.into_stream())))
    }

    async fn agent_events(
        &self,
        request: GetAgentEventsRequest,
    ) -> Result<Response<Replies<GetAgentEventsResponse>>, Status> {
        let span = span!(request)?;
        let start = span
            .start(&self.ring, |entry| matches!(entry, Entry::Agent(_)))
            .await;
        let events = AgentEvents {
            reader: self.reader(span, start),
            node: self.node.clone(),
        };
        Ok(Response::new(Box::pin(events.into_stream())))
    }

    fn debug_events(
        &self,
        request: &GetDebugEventsRequest,
    ) -> Result<Response<Replies<GetDebugEventsResponse>>, Status> {
        let span = span!(request)?;
        // The data plane has no debug messages; a follower waits for them until it or the server goes.
        let (follow, shutdown) = (span.follows(), self.shutdown.clone());
        let nothing = futures::stream::once(async move {
            if follow {
                shutdown.cancelled().await;
            }
        });
        let nothing = futures::StreamExt::filter_map(nothing, |()| std::future::ready(None));
        Ok(Response::new(Box::pin(nothing)))
    }

    fn recent_namespaces(&self) -> GetNamespacesResponse {
        let namespaces = self
            .namespaces
            .recent(Instant::now())
            .into_iter()
            .map(|namespace| Namespace {
                cluster: self.config.cluster.clone(),
                namespace: namespace.to_string(),
            });
        GetNamespacesResponse {
            namespaces: namespaces.collect(),
        }
    }

    fn status(&self) -> ServerStatusResponse {
        ServerStatusResponse {
            num_flows: self.ring.len(),
            max_flows: self.ring.capacity(),
            seen_flows: self.ring.seen_flows(),
            uptime_ns: self.started.elapsed().as_nanos() as u64,
            version: self.config.version.clone(),
            flows_rate: self.flows_rate(SystemTime::now().into()),
            ..ServerStatusResponse::default()
        }
    }
}

#[tonic::async_trait]
impl observer_server::Observer for Observer {
    type GetFlowsStream = Replies<GetFlowsResponse>;
    type GetAgentEventsStream = Replies<GetAgentEventsResponse>;
    type GetDebugEventsStream = Replies<GetDebugEventsResponse>;

    async fn get_flows(
        &self,
        request: Request<GetFlowsRequest>,
    ) -> Result<Response<Self::GetFlowsStream>, Status> {
        let call = self.calls.started(Method::GetFlows);
        Calls::follow(Some(call), self.flows(request.into_inner()).await)
    }

    async fn get_agent_events(
        &self,
        request: Request<GetAgentEventsRequest>,
    ) -> Result<Response<Self::GetAgentEventsStream>, Status> {
        let call = self.calls.started(Method::GetAgentEvents);
        Calls::follow(Some(call), self.agent_events(request.into_inner()).await)
    }

    async fn get_debug_events(
        &self,
        request: Request<GetDebugEventsRequest>,
    ) -> Result<Response<Self::GetDebugEventsStream>, Status> {
        let call = self.calls.started(Method::GetDebugEvents);
        Calls::follow(Some(call), self.debug_events(request.get_ref()))
    }

    async fn get_nodes(
        &self,
        _: Request<GetNodesRequest>,
    ) -> Result<Response<GetNodesResponse>, Status> {
        let call = self.calls.started(Method::GetNodes);
        call.ended(Err(Status::unimplemented(
            "GetNodes is answered by the relay; this is one node",
        )))
    }

    async fn get_namespaces(
        &self,
        _: Request<GetNamespacesRequest>,
    ) -> Result<Response<GetNamespacesResponse>, Status> {
        let call = self.calls.started(Method::GetNamespaces);
        call.ended(Ok(Response::new(self.recent_namespaces())))
    }

    async fn server_status(
        &self,
        _: Request<ServerStatusRequest>,
    ) -> Result<Response<ServerStatusResponse>, Status> {
        let call = self.calls.started(Method::ServerStatus);
        call.ended(Ok(Response::new(self.status())))
    }
}

#[cfg(test)]
mod tests;
