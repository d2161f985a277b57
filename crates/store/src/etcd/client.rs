//! The client: one endpoint at a time, few verbs, each with a time limit and at a bounded rate.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::guard::Health;
use super::login::{Login, Service};
use super::metrics::Metrics;
use super::operations::{after, delete_op, end_of, is_absent, put, put_op};
use super::options::Options;
use super::proto::lease_client::LeaseClient;
use super::proto::{
    self, Compare, KeyValue, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest,
    RangeRequest, RequestOp, ResponseHeader, TxnRequest, TxnResponse, WatchCreateRequest,
    WatchRequest, WatchResponse, watch_request,
};
use crate::pace::Pace;

/// Bytes of an answer, at most: a page of keys is far below.
const LARGEST: usize = 64 << 20;
/// A connection without traffic is asked so often whether it lives, and for so long. etcd refuses to be asked more often
/// than every 5 s (its `grpc-keepalive-min-time`).
const PING_EVERY: Duration = Duration::from_secs(10);
/// Losses that a slow reader may be behind before it takes all for lost.
const LOSSES: usize = 1024;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration does not lead to etcd.
    #[error("{0}")]
    Config(String),
    /// etcd refused.
    #[error("etcd: {verb} {key}: {message}")]
    Refused {
        /// What was tried.
        verb: &'static str,
        /// On what.
        key: String,
        /// The gRPC code.
        code: Code,
        /// etcd's sentence.
        message: String,
    },
    /// No answer.
    #[error("etcd: {verb} {key}: {message}")]
    Unanswered {
        /// What was tried.
        verb: &'static str,
        /// On what.
        key: String,
        /// What happened.
        message: String,
    },
}

impl Error {
    /// What was to be read or written.
    pub(super) fn key(&self) -> Option<&str> {
        match self {
            Self::Config(_) => None,
            Self::Refused { key, .. } | Self::Unanswered { key, .. } => Some(key),
        }
    }

    pub(super) fn of(verb: &'static str, key: &str, status: &Status) -> Self {
        let (key, message) = (key.to_owned(), status.message().to_owned());
        match status.code() {
            Code::Unavailable
            | Code::Unknown
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Internal => Self::Unanswered { verb, key, message },
            code => Self::Refused {
                verb,
                key,
                code,
                message,
            },
        }
    }

    /// The lease is over, or never was.
    pub fn is_lease_gone(&self) -> bool {
        matches!(self, Self::Refused { code: Code::NotFound, message, .. } if message.contains("lease"))
    }
}

/// A key and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The key.
    pub key: String,
    /// What it holds.
    pub value: Bytes,
    /// The revision at which it was written.
    pub revision: i64,
    /// Its lease, 0 for none.
    pub lease: i64,
}

impl Pair {
    pub(super) fn of(of: KeyValue) -> Self {
        Self {
            key: String::from_utf8_lossy(&of.key).into_owned(),
            value: of.value,
            revision: of.mod_revision,
            lease: of.lease,
        }
    }

    /// What it holds, as text.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.value).ok()
    }
}

/// What mirrors find gone; whoever owns it puts it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// A key.
    Key(Arc<str>),
    /// etcd has another history than before: it was wiped, or restored from a backup, after a mirror lost sight of it at
    /// this time.
    History(Instant),
}

/// Keys of an answer.
pub(super) struct Page {
    pub(super) pairs: Vec<Pair>,
    pub(super) header: ResponseHeader,
    pub(super) more: bool,
}

pub(super) struct Connection {
    pub(super) index: usize,
    pub(super) attempt: u64,
    pub(super) channel: Channel,
}

pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) current: ArcSwap<Connection>,
    /// Numbers the connections.
    pub(super) changed: watch::Sender<u64>,
    /// A call had no answer.
    pub(super) trouble: Notify,
    pub(super) health: watch::Sender<Health>,
    pub(super) login: Login,
    losses: broadcast::Sender<Loss>,
    pace: Pace,
}

/// An etcd cluster. Clones share the connection and the rate.
#[derive(Clone)]
pub struct Etcd {
    pub(super) shared: Arc<Shared>,
}

impl Etcd {
    /// A client; nothing is sent yet.
    pub fn new(options: Options) -> Result<Self, Error> {
        // Each node begins somewhere else, so that the members share the load.
        let index = rand::random_range(0..options.endpoints.len().max(1));
        let channel = channel(&options, index)?;
        let connection = Connection {
            index,
            attempt: 0,
            channel,
        };
        let pace = Pace::new(options.requests_per_second, options.burst);
        let shared = Shared {
            options,
            current: ArcSwap::from_pointee(connection),
            changed: watch::Sender::new(0),
            trouble: Notify::new(),
            health: watch::Sender::new(Health::default()),
            login: Login::default(),
            losses: broadcast::Sender::new(LOSSES),
            pace,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// How etcd is, as the guard last saw it.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    /// What this client counts.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.options.metrics
    }

    /// What mirrors of this client find gone from now on.
    pub fn losses(&self) -> broadcast::Receiver<Loss> {
        self.shared.losses.subscribe()
    }

    pub(super) fn lost(&self, loss: Loss) {
        // Nobody may be listening.
        let _ = self.shared.losses.send(loss);
    }

    pub(super) fn turn_to(&self, index: usize) -> Result<(), Error> {
        let attempt = self.shared.current.load().attempt + 1;
        let channel = channel(&self.shared.options, index)?;
        let connection = Connection {
            index,
            attempt,
            channel,
        };
        self.shared.current.store(connection.into());
        self.shared.changed.send_replace(attempt);
        Ok(())
    }

    pub(super) fn channel(&self) -> Channel {
        self.shared.current.load().channel.clone()
    }

    /// Makes a call and waits for the answer, but not for ever. One that is refused because of who we are is made once more,
    /// as whom the options say.
    pub(super) async fn ask<T, F: Future<Output = Result<T, Status>>>(
        &self,
        verb: &'static str,
        key: &str,
        call: impl Fn(Service) -> F,
    ) -> Result<T, Error> {
        let bearer = self.shared.login.bearer();
        let service = |bearer| Service::new(self.channel(), bearer);
        let result = self.once(verb, key, call(service(bearer.clone()))).await;
        let Some(user) = result.as_ref().err().and_then(|error| self.user_for(error)) else {
            return result;
        };
        self.log_in(user, &bearer).await?;
        let bearer = self.shared.login.bearer();
        self.once(verb, key, call(service(bearer))).await
    }

    pub(super) async fn once<T>(
        &self,
        verb: &'static str,
        key: &str,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Error> {
        self.shared.pace.wait().await;
        let begun = Instant::now();
        let result = match tokio::time::timeout(self.shared.options.answer, call).await {
            Ok(result) => result.map_err(|status| Error::of(verb, key, &status)),
            Err(_) => Err(Error::Unanswered {
                verb,
                key: key.to_owned(),
                message: format!("no answer within {:?}", self.shared.options.answer),
            }),
        };
        self.metrics()
            .asked(verb, key, result.is_ok(), begun.elapsed());
        if matches!(result, Err(Error::Unanswered { .. })) {
            self.shared.trouble.notify_one();
        }
        result
    }

    /// What a key holds.
    pub async fn get(&self, key: &str) -> Result<Option<Pair>, Error> {
        let request = RangeRequest {
            key: Bytes::copy_from_slice(key.as_bytes()),
            ..RangeRequest::default()
        };
        Ok(self.range("get", key, request).await?.pairs.pop())
    }

    /// All keys under a prefix as they are now, without what they hold if `keys_only`.
    pub async fn list(&self, prefix: &str, keys_only: bool) -> Result<Vec<Pair>, Error> {
        let mut all = Vec::new();
        let (mut from, mut revision) = (prefix.to_owned(), 0);
        loop {
            let mut page = self.page(prefix, &from, revision, keys_only).await?;
            revision = page.header.revision;
            all.append(&mut page.pairs);
            match all.last().filter(|_| page.more) {
                Some(last) => from = after(&last.key),
                None => return Ok(all),
            }
        }
    }

    /// Keys under a prefix, from one on, as they were at a revision (0 = now).
    pub(super) async fn page(
        &self,
        prefix: &str,
        from: &str,
        revision: i64,
        keys_only: bool,
    ) -> Result<Page, Error> {
        const PAGE: i64 = 1000;
        let request = RangeRequest {
            key: Bytes::copy_from_slice(from.as_bytes()),
            range_end: end_of(prefix),
            limit: PAGE,
            revision,
            keys_only,
            ..RangeRequest::default()
        };
        self.range("list", prefix, request).await
    }

    async fn range(
        &self,
        verb: &'static str,
        key: &str,
        request: RangeRequest,
    ) -> Result<Page, Error> {
        let call = |service| {
            let (mut kv, request) = (kv(service), request.clone());
            async move { kv.range(request).await }
        };
        let answer = self.ask(verb, key, call).await?.into_inner();
        Ok(Page {
            pairs: answer.kvs.into_iter().map(Pair::of).collect(),
            header: answer.header.unwrap_or_default(),
            more: answer.more,
        })
    }

    /// Writes a key without a lease.
    pub async fn put(&self, key: &str, value: &str) -> Result<(), Error> {
        let call = |service| {
            let (mut kv, request) = (kv(service), put(key, value, 0));
            async move { kv.put(request).await }
        };
        self.ask("put", key, call).await.map(drop)
    }

    /// Deletes a key; one that is not there is fine.
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        self.when("delete", key, Vec::new(), vec![delete_op(key)])
            .await
            .map(drop)
    }

    /// Writes a key that is not there; says whether it was not.
    pub async fn create(&self, key: &str, value: &str) -> Result<bool, Error> {
        let operations = vec![put_op(key, value, 0)];
        let answer = self
            .when("create", key, vec![is_absent(key)], operations)
            .await?;
        Ok(answer.succeeded)
    }

    /// Does all of it if every comparison holds, else nothing.
    pub(super) async fn when(
        &self,
        verb: &'static str,
        key: &str,
        compare: Vec<Compare>,
        success: Vec<RequestOp>,
    ) -> Result<TxnResponse, Error> {
        let request = TxnRequest {
            compare,
            success,
            failure: Vec::new(),
        };
        let call = |service| {
            let (mut kv, request) = (kv(service), request.clone());
            async move { kv.txn(request).await }
        };
        Ok(self.ask(verb, key, call).await?.into_inner())
    }

    /// A new lease of so many seconds.
    pub(super) async fn grant(&self, ttl: Duration) -> Result<i64, Error> {
        let request = LeaseGrantRequest {
            ttl: i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX).max(1),
        };
        let call = |service| {
            let mut lease = LeaseClient::new(service);
            async move { lease.lease_grant(request).await }
        };
        Ok(self.ask("grant", "lease", call).await?.into_inner().id)
    }

    /// Prolongs a lease; says whether it still was one.
    pub(super) async fn keep_alive(&self, id: i64) -> Result<bool, Error> {
        let call = |service| async move {
            let requests = tokio_stream::once(LeaseKeepAliveRequest { id });
            let mut lease = LeaseClient::new(service);
            let mut answers = lease.lease_keep_alive(requests).await?.into_inner();
            answers.message().await
        };
        let answer = self.ask("keep alive", "lease", call).await?;
        Ok(answer.is_some_and(|answer| answer.ttl > 0))
    }

    /// Ends a lease, and all keys that still have it; one that is over is fine.
    pub(super) async fn revoke(&self, id: i64) -> Result<(), Error> {
        let call = |service| {
            let mut lease = LeaseClient::new(service);
            async move { lease.lease_revoke(LeaseRevokeRequest { id }).await }
        };
        match self.ask("revoke", "lease", call).await {
            Err(error) if !error.is_lease_gone() => Err(error),
            _ => Ok(()),
        }
    }

    /// Events under a prefix from a revision on. The stream must be kept to keep the watch.
    pub(super) async fn watch(
        &self,
        prefix: &str,
        revision: i64,
    ) -> Result<tonic::Streaming<WatchResponse>, Error> {
        let create = WatchCreateRequest {
            key: Bytes::copy_from_slice(prefix.as_bytes()),
            range_end: end_of(prefix),
            start_revision: revision,
            progress_notify: true,
        };
        let create = WatchRequest {
            request_union: Some(watch_request::RequestUnion::CreateRequest(create)),
        };
        let call = |service| {
            let create = tokio_stream::once(create.clone());
            let requests = futures::StreamExt::chain(create, tokio_stream::pending());
            let mut request = tonic::Request::new(requests);
            // A member that lost the others then ends the stream instead of being silent.
            let yes = tonic::metadata::MetadataValue::from_static("true");
            request.metadata_mut().insert("hasleader", yes);
            let watch = proto::watch_client::WatchClient::new(service);
            let mut watch = watch.max_decoding_message_size(LARGEST);
            async move { watch.watch(request).await }
        };
        Ok(self.ask("watch", prefix, call).await?.into_inner())
    }
}

fn kv(service: Service) -> proto::kv_client::KvClient<Service> {
    proto::kv_client::KvClient::new(service).max_decoding_message_size(LARGEST)
}

pub(super) fn channel(options: &Options, index: usize) -> Result<Channel, Error> {
    let url = options.endpoints.get(index);
    let url = url.ok_or_else(|| Error::Config("etcd: no endpoint".to_owned()))?;
    let bad = |error: tonic::transport::Error| Error::Config(format!("etcd: {url}: {error}"));
    let mut endpoint = Endpoint::from_shared(url.clone())
        .map_err(bad)?
        .connect_timeout(options.answer.min(Duration::from_secs(5)))
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY)
        .keep_alive_while_idle(true);
    if let Some(tls) = options.tls(url)? {
        endpoint = endpoint.tls_config(tls).map_err(bad)?;
    }
    Ok(endpoint.connect_lazy())
}
