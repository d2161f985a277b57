//! GetFlows over all nodes: who is asked, what they reply, in which order it goes to the client.
//!
//! Pulled by the client. A node is read only as far as the sort buffer has room, so a client that does not read holds up the
//! nodes' streams (and falls behind in their rings), and nothing grows here.

mod member;

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, SystemTime},
};

use api::hubble::{Timestamp, relay::NodeState};
use futures::{
    FutureExt, Stream, StreamExt,
    future::BoxFuture,
    stream::{BoxStream, FuturesUnordered},
};
use prost::bytes::Bytes;
use reconcile::{Subscription, Table, table::Wake};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status, metadata::MetadataMap};

use super::{
    faults::{Faults, event},
    link::Link,
    merge::{Merge, Newest, Time},
    pool::Peer,
    source::{Patience, is_refusal, replies, text},
    wire::{Asked, Kind, look_at},
};
use member::{Member, Phase};

/// The last so many flows are counted over all nodes and kept until all nodes have answered. Of more than this, each node
/// sends its last ones and they are not counted together: they would not fit.
pub(super) const COUNTED: u64 = 4096;
/// Pause before a node that failed is asked again over the same connection.
const RETRY: Duration = Duration::from_secs(2);

/// How messages are sorted.
#[derive(Clone, Copy, Debug)]
pub struct SortBuffer {
    /// Messages that it holds, besides one for each node.
    pub length: usize,
    /// How long a message may wait in it.
    pub delay: Duration,
}

type Replies = BoxStream<'static, Result<Bytes, Status>>;
/// A node's next reply, and the rest.
type Arrival = (u64, Option<Result<Bytes, Status>>, Replies);

/// The answer to one request.
pub(super) struct Flows {
    asked: Asked,
    metadata: MetadataMap,
    peers: Table<String, Peer>,
    changes: Subscription,
    silence: Duration,
    shutdown: CancellationToken,
    began: Time,
    members: BTreeMap<String, Member>,
    /// Names of the members by the numbers of their streams.
    names: BTreeMap<u64, String>,
    next: u64,
    arriving: FuturesUnordered<BoxFuture<'static, Arrival>>,
    /// Streams that are not read until something of theirs has left the buffer.
    parked: BTreeMap<u64, Replies>,
    merge: Merge<(Kind, Bytes)>,
    newest: Option<Newest<Bytes>>,
    /// How many flows may still be sent.
    left: Option<u64>,
    out: VecDeque<Bytes>,
    faults: Faults,
    /// A node has replied.
    answered: bool,
    refusal: Option<Status>,
    over: bool,
    _permit: OwnedSemaphorePermit,
}

/// What a request needs of the relay.
pub(super) struct Means {
    pub(super) peers: Table<String, Peer>,
    pub(super) sort: SortBuffer,
    pub(super) silence: Duration,
    pub(super) shutdown: CancellationToken,
    pub(super) permit: OwnedSemaphorePermit,
}

impl Flows {
    pub(super) fn new(asked: Asked, metadata: MetadataMap, means: Means) -> Self {
        let request = &asked.request;
        let finite = !request.follow && request.number > 0;
        let from_the_start = request.first || request.since.is_some();
        let counted = finite && !from_the_start && request.number <= COUNTED;
        let now = Timestamp::from(SystemTime::now());
        let mut flows = Self {
            metadata,
            changes: means.peers.subscribe(),
            peers: means.peers,
            silence: means.silence,
            shutdown: means.shutdown,
            began: (now.seconds, now.nanos),
            members: BTreeMap::new(),
            names: BTreeMap::new(),
            next: 0,
            arriving: FuturesUnordered::new(),
            parked: BTreeMap::new(),
            merge: Merge::new(means.sort.length, means.sort.delay),
            newest: counted.then(|| Newest::new(request.number as usize)),
            left: (finite && from_the_start).then_some(request.number),
            out: VecDeque::new(),
            faults: Faults::default(),
            answered: false,
            refusal: None,
            over: false,
            _permit: means.permit,
            asked,
        };
        flows.begin();
        flows
    }

    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Bytes, Status>> + Send {
        futures::stream::unfold(self, |mut flows| async move {
            let reply = flows.next().await?;
            Some((reply, flows))
        })
    }

    /// Asks all nodes that can be asked, and tells of both kinds.
    fn begin(&mut self) {
        let peers = self.peers.snapshot();
        let (mut connected, mut unavailable) = (Vec::new(), Vec::new());
        for (name, peer) in peers.iter() {
            match peer.link() {
                Some(link) => {
                    self.ask(name, link, self.asked.whole());
                    connected.push(name.clone());
                }
                None => unavailable.push(name.clone()),
            }
        }
        for (state, names) in [
            (NodeState::NodeConnected, connected),
            (NodeState::NodeUnavailable, unavailable),
        ] {
            if !names.is_empty() {
                self.out.push_back(event(state, names, String::new()));
            }
        }
    }

    async fn next(&mut self) -> Option<Result<Bytes, Status>> {
        loop {
            if let Some(reply) = self.out.pop_front() {
                return Some(Ok(reply));
            }
            if self.over {
                return None;
            }
            // What is there already is sorted in before anything leaves.
            while let Some(Some(arrival)) = self.arriving.next().now_or_never() {
                self.take(arrival);
            }
            self.release();
            if !self.out.is_empty() {
                continue;
            }
            if self.is_complete() {
                if let Some(status) = self.close() {
                    return Some(Err(status));
                }
                continue;
            }
            self.wait().await;
        }
    }

    /// Moves the oldest message out of the buffer, if it may leave.
    fn release(&mut self) {
        let Some(sorted) = self.merge.pop(Instant::now()) else {
            return;
        };
        let (kind, reply) = sorted.message;
        match (&mut self.left, kind) {
            (Some(0), Kind::Flow) => {}
            (Some(left), Kind::Flow) => {
                *left -= 1;
                self.out.push_back(reply);
            }
            _ => self.out.push_back(reply),
        }
        let next = self
            .parked
            .remove_entry(&sorted.source)
            .or_else(|| self.parked.pop_first());
        if let Some((source, replies)) = next {
            self.read(source, replies);
        }
    }

    fn is_complete(&self) -> bool {
        let phases = || self.members.values().map(|member| &member.phase);
        let ended = if self.asked.request.follow {
            !self.members.is_empty()
                && phases().all(|phase| matches!(phase, Phase::Done | Phase::Refused))
        } else {
            phases().all(|phase| !matches!(phase, Phase::Streaming))
        };
        self.left == Some(0) || (ended && self.merge.is_empty())
    }

    /// Puts out what is left. When every node refused the request, that is the answer.
    fn close(&mut self) -> Option<Status> {
        self.over = true;
        let refused = self
            .members
            .values()
            .all(|member| matches!(member.phase, Phase::Refused));
        if refused
            && !self.answered
            && let Some(status) = self.refusal.take()
        {
            return Some(status);
        }
        if let Some(newest) = &mut self.newest {
            self.out.extend(newest.take());
        }
        self.out.extend(self.faults.take());
        None
    }

    async fn wait(&mut self) {
        let follow = self.asked.request.follow;
        let retry = self
            .members
            .values()
            .filter_map(Member::retry)
            .min()
            .filter(|_| follow);
        let due = [self.merge.due(), self.faults.due(), retry];
        let due = due.into_iter().flatten().min();
        let timer = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(arrival) = self.arriving.next() => self.take(arrival),
            wake = self.changes.changed(), if follow => match wake {
                Wake::Changed => self.join(),
                Wake::WriterGone => self.over = true,
            },
            () = timer => {
                let now = Instant::now();
                if self.faults.due().is_some_and(|due| due <= now) {
                    self.out.extend(self.faults.take());
                }
                if retry.is_some_and(|retry| retry <= now) {
                    self.join();
                }
            }
            () = self.shutdown.cancelled() => self.over = true,
        }
    }

    /// Asks nodes that are there again or for the first time; forgets those that are gone.
    fn join(&mut self) {
        let (peers, now) = (self.peers.snapshot(), Instant::now());
        let gone: Vec<String> = self
            .members
            .keys()
            .filter(|name| peers.get(name).is_none())
            .cloned()
            .collect();
        for name in &gone {
            self.forget(name);
        }
        if !gone.is_empty() {
            self.out
                .push_back(event(NodeState::NodeGone, gone, String::new()));
        }
        for (name, peer) in peers.iter() {
            let Some(link) = peer.link() else {
                if let Some(member) = self.members.get_mut(name) {
                    member.await_link(now);
                }
                continue;
            };
            let since = match self.members.get(name) {
                Some(member) if !member.may_join(link, now) => continue,
                Some(member) => member.last(),
                None => None,
            };
            let since = since.or(self.asked.since()).unwrap_or(self.began);
            let source = self.ask(name, link, self.asked.from(since));
            // What it has from before must not hold up the others.
            self.merge.caught_up(source);
            self.out.push_back(event(
                NodeState::NodeConnected,
                [name.clone()],
                String::new(),
            ));
        }
    }

    fn forget(&mut self, name: &str) {
        if let Some(member) = self.members.remove(name) {
            self.names.remove(&member.source);
            self.parked.remove(&member.source);
            self.merge.leave(member.source);
        }
    }

    fn ask(&mut self, name: &str, link: &Link, message: Bytes) -> u64 {
        self.next += 1;
        let source = self.next;
        let mut request = Request::new(message);
        *request.metadata_mut() = self.metadata.clone();
        let patience = if self.asked.request.follow {
            Patience::Endless
        } else {
            Patience::Short(self.silence)
        };
        self.members
            .entry(name.to_owned())
            .and_modify(|member| member.again(source, link))
            .or_insert_with(|| Member::new(source, link));
        self.names.insert(source, name.to_owned());
        if self.newest.is_none() {
            self.merge.join(source);
            if self.asked.is_of_now() {
                self.merge.caught_up(source);
            }
        }
        self.read(source, replies(link.clone(), request, patience));
        source
    }

    fn read(&self, source: u64, mut replies: Replies) {
        self.arriving.push(
            async move {
                let reply = replies.next().await;
                (source, reply, replies)
            }
            .boxed(),
        );
    }

    fn take(&mut self, (source, reply, replies): Arrival) {
        // Nothing is known of the stream of a node that is gone.
        let Some(name) = self.names.get(&source).cloned() else {
            return;
        };
        match reply {
            Some(Ok(reply)) => self.sort_in(&name, source, reply, replies),
            Some(Err(status)) => self.ended(&name, source, Some(status)),
            None => self.ended(&name, source, None),
        }
    }

    fn sort_in(&mut self, name: &str, source: u64, reply: Bytes, replies: Replies) {
        self.answered = true;
        let (kind, time) = look_at(&reply);
        let Some(member) = self.members.get_mut(name) else {
            return;
        };
        let time = time.or(member.last()).unwrap_or(self.began);
        if !member.is_new(time) {
            return self.read(source, replies);
        }
        match (&mut self.newest, kind) {
            (Some(newest), Kind::Flow) => newest.push(time, reply),
            (Some(_), Kind::Event) => self.out.push_back(reply),
            (None, kind) => {
                self.merge.push(source, time, (kind, reply), Instant::now());
                if self.asked.request.follow && time >= self.began {
                    self.merge.caught_up(source);
                }
            }
        }
        if self.merge.is_full() {
            self.parked.insert(source, replies);
        } else {
            self.read(source, replies);
        }
    }

    fn ended(&mut self, name: &str, source: u64, status: Option<Status>) {
        let request = &self.asked.request;
        let now = Instant::now();
        let phase = match &status {
            Some(status) if is_refusal(status) => Phase::Refused,
            None if !request.follow || request.until.is_some() => Phase::Done,
            _ => Phase::Paused(Some(now + RETRY)),
        };
        let done = matches!(phase, Phase::Done);
        if let Some(member) = self.members.get_mut(name) {
            member.phase = phase;
        }
        self.names.remove(&source);
        self.merge.leave(source);
        // A node that is gone from the cluster is no error; whoever follows is told that it is gone.
        if done || self.peers.get(&name.to_owned()).is_none() {
            return;
        }
        let message = match &status {
            Some(status) => text(status),
            None => "the node ended its answer".into(),
        };
        self.out.extend(self.faults.add(name, message, now));
        if let Some(status) = status.filter(is_refusal) {
            self.refusal = Some(status);
        }
    }
}
