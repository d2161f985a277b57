//! The connections to all peers: one task for each, kept up with back-off, its state in a table.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use reconcile::{Backoff, Table, TableWriter, TaskGroup, table::Wake};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::link::{Carrier, Dialer, Link};

/// A peer as the peer service announces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Announced {
    /// Where it is.
    pub address: String,
    /// Name in its certificate, if it speaks TLS.
    pub server_name: Option<String>,
}

/// A peer and its connection.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Peer {
    /// What was announced.
    pub announced: Announced,
    /// State of the connection.
    pub state: State,
}

/// State of a connection.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum State {
    /// It was announced without an address.
    Unreachable,
    /// A connection is being made.
    Connecting,
    /// It can be asked.
    Ready(Link),
    /// There is none, and why; it is tried again.
    Failed(String),
}

impl Peer {
    /// The connection, if it can be asked.
    pub(super) fn link(&self) -> Option<&Link> {
        match &self.state {
            State::Ready(link) => Some(link),
            _ => None,
        }
    }
}

/// What is waited for, and how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Between two tries to connect.
    pub backoff: Backoff,
    /// Between two questions whether a peer is alive.
    pub probe_interval: Duration,
    /// For its answer.
    pub probe_limit: Duration,
    /// For the next flow of a node that is asked for what it already has.
    pub silence: Duration,
    /// For a new stream of the peer service to name all peers.
    pub settled: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_mins(1)),
            probe_interval: Duration::from_secs(10),
            probe_limit: Duration::from_secs(5),
            silence: Duration::from_secs(10),
            settled: Duration::from_secs(10),
        }
    }
}

/// Unanswered questions after which a peer counts as hung.
const UNANSWERED: u32 = 2;

/// What a peer's task tells the pool.
struct Report {
    name: String,
    /// Of the task, so that what a former one says is not believed.
    task: u64,
    state: State,
}

/// Keeps the connections to what is announced.
pub(super) struct Pool {
    announced: Table<String, Announced>,
    peers: TableWriter<String, Peer>,
    dialer: Arc<Dialer>,
    times: Times,
    tasks: TaskGroup,
}

/// A peer's task; dropping it ends the task.
struct Kept {
    task: u64,
    announced: Announced,
    _guard: DropGuard,
}

impl Pool {
    /// A pool that writes `peers`.
    pub(super) fn new(
        announced: Table<String, Announced>,
        peers: TableWriter<String, Peer>,
        dialer: Arc<Dialer>,
        times: Times,
        tasks: TaskGroup,
    ) -> Self {
        Self {
            announced,
            peers,
            dialer,
            times,
            tasks,
        }
    }

    /// Runs until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let (reports, mut told) = mpsc::channel(64);
        let mut kept = BTreeMap::new();
        let mut next = 0;
        let mut changes = self.announced.subscribe();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                wake = changes.changed() => {
                    if wake == Wake::WriterGone {
                        return;
                    }
                    self.follow(&mut kept, &mut next, &reports);
                }
                Some(report) = told.recv() => self.believe(&kept, report),
            }
        }
    }

    /// Brings tasks and rows to what is announced.
    fn follow(
        &mut self,
        kept: &mut BTreeMap<String, Kept>,
        next: &mut u64,
        reports: &mpsc::Sender<Report>,
    ) {
        let announced = self.announced.snapshot();
        let gone: Vec<String> = kept
            .keys()
            .filter(|name| announced.get(name).is_none())
            .cloned()
            .collect();
        for name in gone {
            // The row goes first: who sees the connection end then knows that the peer is gone.
            self.peers.remove(&name);
            kept.remove(&name);
        }
        for (name, peer) in announced.iter() {
            if kept.get(name).is_some_and(|kept| kept.announced == *peer) {
                continue;
            }
            *next += 1;
            let row = Peer {
                announced: peer.clone(),
                state: if peer.address.is_empty() {
                    State::Unreachable
                } else {
                    State::Connecting
                },
            };
            self.peers.set(name.clone(), row);
            let token = CancellationToken::new();
            if !peer.address.is_empty() {
                let keeper = Keeper {
                    name: name.clone(),
                    task: *next,
                    announced: peer.clone(),
                    dialer: Arc::clone(&self.dialer),
                    times: self.times,
                    reports: reports.clone(),
                };
                let token = token.clone();
                self.tasks.spawn_short("peer", async move {
                    token.run_until_cancelled(keeper.keep()).await;
                });
            }
            let now = Kept {
                task: *next,
                announced: peer.clone(),
                _guard: token.drop_guard(),
            };
            kept.insert(name.clone(), now);
        }
    }

    fn believe(&mut self, kept: &BTreeMap<String, Kept>, report: Report) {
        let Some(kept) = kept.get(&report.name) else {
            return;
        };
        if kept.task == report.task {
            let row = Peer {
                announced: kept.announced.clone(),
                state: report.state,
            };
            self.peers.set(report.name, row);
        }
    }
}

/// Keeps the connection to one peer.
struct Keeper {
    name: String,
    task: u64,
    announced: Announced,
    dialer: Arc<Dialer>,
    times: Times,
    reports: mpsc::Sender<Report>,
}

impl Keeper {
    async fn keep(self) {
        let mut failures = 0;
        loop {
            self.report(State::Connecting).await;
            let began = Instant::now();
            let server_name = self.announced.server_name.as_deref();
            let connecting = self.dialer.connect(&self.announced.address, server_name);
            let why = match connecting.await {
                Err(error) => error.to_string(),
                Ok((link, carrier)) => self.hold(&link, carrier).await,
            };
            if began.elapsed() >= self.times.backoff.max {
                failures = 0;
            }
            failures += 1;
            tracing::warn!(peer = self.name, why, "not connected");
            self.report(State::Failed(why)).await;
            let pause = self.times.backoff.after(failures, &mut rand::rng());
            tokio::time::sleep(pause).await;
        }
    }

    async fn report(&self, state: State) {
        let report = Report {
            name: self.name.clone(),
            task: self.task,
            state,
        };
        // The pool ends only together with us.
        let _ = self.reports.send(report).await;
    }

    /// Holds a connection; why it is of no use any more.
    async fn hold(&self, link: &Link, carrier: Carrier) -> String {
        let _lost = link.lost().drop_guard();
        tokio::select! {
            ended = carrier => match ended {
                Ok(()) => "the connection was closed".into(),
                Err(error) => format!("the connection broke: {error}"),
            },
            why = self.until_silent(link) => why,
        }
    }

    /// A peer is ready after its first answer: one that hangs takes connections too.
    async fn until_silent(&self, link: &Link) -> String {
        let mut client = HealthClient::with_origin(link.clone(), link.origin());
        let limit = self.times.probe_limit;
        // Any answer will do: it is asked whether it lives, not whether it is well.
        let mut answers = async || {
            let answer = client.check(HealthCheckRequest::default());
            tokio::time::timeout(limit, answer).await.is_ok()
        };
        if !answers().await {
            return format!("it did not answer within {limit:?}");
        }
        tracing::info!(
            peer = self.name,
            address = self.announced.address,
            "connected"
        );
        self.report(State::Ready(link.clone())).await;
        let mut unanswered = 0;
        while unanswered < UNANSWERED {
            tokio::time::sleep(self.times.probe_interval).await;
            unanswered = if answers().await { 0 } else { unanswered + 1 };
        }
        format!("it did not answer {UNANSWERED} times within {limit:?}")
    }
}
