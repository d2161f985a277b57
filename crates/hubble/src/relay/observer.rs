//! The service `observer.Observer` over all nodes.
//!
//! Written by hand and not over the generated trait, because flows pass through as bytes: fields that this relay does not know
//! reach the client, and the nodes.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use api::hubble::{
    observer::{
        GetAgentEventsRequest, GetAgentEventsResponse, GetDebugEventsRequest,
        GetDebugEventsResponse, GetNamespacesRequest, GetNamespacesResponse, GetNodesRequest,
        GetNodesResponse, Namespace, Node, ServerStatusRequest, ServerStatusResponse, Tls,
        observer_client::ObserverClient,
    },
    relay::NodeState,
};
use futures::{
    FutureExt, StreamExt,
    future::BoxFuture,
    stream::{BoxStream, FuturesUnordered},
};
use prost::bytes::Bytes;
use reconcile::Table;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::http,
    metadata::MetadataMap,
    server::{Grpc, NamedService},
};
use tonic_prost::ProstCodec;
use tower::service_fn;

use super::{
    access::{Access, View, veiled},
    flows::{Flows, Means, SortBuffer},
    link::Link,
    pool::Peer,
    source::carried,
    wire::{Asked, Raw},
};
use crate::calls::{Calls, Method};

/// How long a node may take for an answer that is no stream.
const ANSWER: Duration = Duration::from_secs(5);
/// Streams of flows at the same time: each holds up to a window of every node's connection.
const STREAMS: usize = 128;
/// How many unavailable nodes are named in a status.
const NAMED: usize = 10;

/// Answers for all nodes.
#[derive(Clone)]
pub(super) struct Observer {
    peers: Table<String, Peer>,
    encrypted: bool,
    sort: SortBuffer,
    silence: Duration,
    streams: Arc<Semaphore>,
    calls: Arc<Calls>,
    access: Access,
    shutdown: CancellationToken,
}

type Client = ObserverClient<Link>;

impl Observer {
    /// An observer of the nodes in `peers`, whose connections are `encrypted` or not; its streams end with `shutdown`.
    /// A node that is asked for what it has and says nothing for `silence` fails.
    pub(super) fn new(
        peers: Table<String, Peer>,
        encrypted: bool,
        sort: SortBuffer,
        silence: Duration,
        calls: Arc<Calls>,
        access: Access,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            peers,
            encrypted,
            sort,
            silence,
            streams: Arc::new(Semaphore::new(STREAMS)),
            calls,
            access,
            shutdown,
        }
    }

    /// Flows of all nodes, as encoded `GetFlowsResponse`s; the request is an encoded `GetFlowsRequest`.
    pub(super) async fn get_flows(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<BoxStream<'static, Result<Bytes, Status>>>, Status> {
        let (metadata, _, message) = request.into_parts();
        let view = self.access.view(&metadata).await?;
        let permit = Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(format!("{STREAMS} streams of flows are open already"))
        })?;
        let means = Means {
            peers: self.peers.clone(),
            sort: self.sort,
            silence: self.silence,
            shutdown: self.shutdown.clone(),
            permit,
        };
        let asked = Asked::new(message, view.looks_at())?;
        let mut carried = carried(&metadata);
        if !self.access.is_limited() {
            let flows = Flows::new(asked, carried, means);
            return Ok(Response::new(flows.into_stream().boxed()));
        }
        // The token is for this relay.
        carried.remove("authorization");
        let flows = Flows::new(asked, carried, means).into_stream().boxed();
        let veiled = veiled(flows, self.access.clone(), metadata, view);
        Ok(Response::new(veiled))
    }

    /// Asks every node that can be asked; what the others and the failing ones have is `None`.
    fn ask<T, F>(
        &self,
        question: impl Fn(Client) -> F,
    ) -> FuturesUnordered<BoxFuture<'static, (String, Option<T>)>>
    where
        T: Send + 'static,
        F: Future<Output = Result<Response<T>, Status>> + Send + 'static,
    {
        self.peers
            .snapshot()
            .iter()
            .map(|(name, peer)| {
                let answer = peer
                    .link()
                    .map(|link| question(Client::with_origin(link.clone(), link.origin())));
                answer_of(name.clone(), answer).boxed()
            })
            .collect()
    }

    async fn server_status(&self) -> ServerStatusResponse {
        let mut answers =
            self.ask(|mut node| async move { node.server_status(ServerStatusRequest {}).await });
        let mut sum = ServerStatusResponse {
            version: format!("axoneme-relay v{}", crate::VERSION),
            ..ServerStatusResponse::default()
        };
        let (mut connected, mut unavailable) = (0_u32, BTreeSet::new());
        while let Some((name, answer)) = answers.next().await {
            let Some(node) = answer else {
                unavailable.insert(name);
                continue;
            };
            connected += 1;
            sum.num_flows += node.num_flows;
            sum.max_flows += node.max_flows;
            sum.seen_flows += node.seen_flows;
            sum.uptime_ns = sum.uptime_ns.max(node.uptime_ns);
            sum.flows_rate += node.flows_rate;
        }
        sum.num_connected_nodes = Some(connected.into());
        sum.num_unavailable_nodes = Some((unavailable.len() as u32).into());
        sum.unavailable_nodes = unavailable.into_iter().take(NAMED).collect();
        sum
    }

    /// Every node that is known, and how it is.
    pub(super) async fn get_nodes(&self) -> GetNodesResponse {
        let peers = self.peers.snapshot();
        let mut answers =
            self.ask(|mut node| async move { node.server_status(ServerStatusRequest {}).await });
        let mut nodes = Vec::with_capacity(peers.len());
        while let Some((name, answer)) = answers.next().await {
            let Some(peer) = peers.get(&name) else {
                continue;
            };
            let state = match (peer.link(), &answer) {
                (None, _) => NodeState::NodeUnavailable,
                (Some(_), None) => NodeState::NodeError,
                (Some(_), Some(_)) => NodeState::NodeConnected,
            };
            let status = answer.unwrap_or_default();
            nodes.push(Node {
                name,
                version: status.version,
                address: peer.announced.address.clone(),
                state: state.into(),
                tls: Some(Tls {
                    enabled: self.encrypted && peer.announced.server_name.is_some(),
                    server_name: peer.announced.server_name.clone().unwrap_or_default(),
                }),
                uptime_ns: status.uptime_ns,
                num_flows: status.num_flows,
                max_flows: status.max_flows,
                seen_flows: status.seen_flows,
            });
        }
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        GetNodesResponse { nodes }
    }

    /// The namespaces that any node saw, as far as they may be seen.
    pub(super) async fn get_namespaces(
        &self,
        view: &View,
    ) -> Result<GetNamespacesResponse, Status> {
        let mut answers =
            self.ask(|mut node| async move { node.get_namespaces(GetNamespacesRequest {}).await });
        let mut all = BTreeSet::new();
        while let Some((_, answer)) = answers.next().await {
            let namespaces = answer.unwrap_or_default().namespaces;
            all.extend(
                namespaces
                    .into_iter()
                    .map(|seen| (seen.cluster, seen.namespace)),
            );
        }
        let mut namespaces = Vec::with_capacity(all.len());
        for (cluster, namespace) in all {
            if view.sees(&namespace).await? {
                namespaces.push(Namespace { cluster, namespace });
            }
        }
        Ok(GetNamespacesResponse { namespaces })
    }

    /// Answers a unary call.
    async fn unary<Q, A, F>(
        &self,
        method: Method,
        request: http::Request<Body>,
        answer: impl Fn(Self, View) -> F,
    ) -> http::Response<Body>
    where
        Q: prost::Message + Default + 'static,
        A: prost::Message + 'static,
        F: Future<Output = Result<A, Status>> + Send + 'static,
    {
        let call = self.calls.started(method);
        let metadata = MetadataMap::from_headers(request.headers().clone());
        let mut view = Some(self.access.view(&metadata).await);
        let service = service_fn(|_: Request<Q>| {
            let view = view.take();
            let view = view.unwrap_or_else(|| Err(Status::internal("a call with two messages")));
            let answering = view.map(|view| answer(self.clone(), view));
            async move { answering?.await.map(Response::new) }
        });
        let response = Grpc::new(ProstCodec::<A, Q>::default())
            .unary(service, request)
            .await;
        call.ended_with(&response);
        response
    }

    async fn answer(&self, request: http::Request<Body>) -> http::Response<Body> {
        let Some(method) = Method::of(request.uri().path()) else {
            return Status::unimplemented("no such method").into_http();
        };
        match method {
            Method::GetFlows => {
                let mut call = Some(self.calls.started(method));
                let service = service_fn(|request| {
                    let (observer, call) = (self.clone(), call.take());
                    async move { Calls::follow(call, observer.get_flows(request).await) }
                });
                Grpc::new(Raw).server_streaming(service, request).await
            }
            Method::ServerStatus => {
                self.unary::<ServerStatusRequest, _, _>(method, request, |all, _| async move {
                    Ok(all.server_status().await)
                })
                .await
            }
            Method::GetNodes => {
                self.unary::<GetNodesRequest, _, _>(method, request, |all, _| async move {
                    Ok(all.get_nodes().await)
                })
                .await
            }
            Method::GetNamespaces => {
                self.unary::<GetNamespacesRequest, _, _>(method, request, |all, view| async move {
                    all.get_namespaces(&view).await
                })
                .await
            }
            Method::GetAgentEvents => {
                self.unary::<GetAgentEventsRequest, GetAgentEventsResponse, _>(
                    method,
                    request,
                    |_, _| async { Err(of_one_node("GetAgentEvents")) },
                )
                .await
            }
            Method::GetDebugEvents => {
                self.unary::<GetDebugEventsRequest, GetDebugEventsResponse, _>(
                    method,
                    request,
                    |_, _| async { Err(of_one_node("GetDebugEvents")) },
                )
                .await
            }
        }
    }
}

/// The answer, if there is one in time.
async fn answer_of<T>(
    name: String,
    answer: Option<impl Future<Output = Result<Response<T>, Status>>>,
) -> (String, Option<T>) {
    let Some(answer) = answer else {
        return (name, None);
    };
    let answer = match tokio::time::timeout(ANSWER, answer).await {
        Ok(Ok(answer)) => Some(answer.into_inner()),
        Ok(Err(status)) => {
            tracing::warn!(peer = name, %status, "no answer");
            None
        }
        Err(_) => {
            tracing::warn!(peer = name, within = ?ANSWER, "no answer");
            None
        }
    };
    (name, answer)
}

fn of_one_node(method: &str) -> Status {
    Status::unimplemented(format!(
        "{method} is answered by the server of a node; this is a relay"
    ))
}

impl NamedService for Observer {
    const NAME: &'static str = "observer.Observer";
}

impl tower::Service<http::Request<Body>> for Observer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let observer = self.clone();
        Box::pin(async move { Ok(observer.answer(request).await) })
    }
}
