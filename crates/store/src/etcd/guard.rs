//! Watching over the connection and the heartbeat: which endpoint is in use, whether it answers, and whether the operator
//! still can write.
//!
//! An endpoint that does not answer is left for the next one that does. While none answers nothing is turned. The heartbeat
//! is told by when it comes, not by what it says, so that clocks need not agree.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng;
use reconcile::{Backoff, Table};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::client::{Error, Etcd, channel};
use super::layout::HEARTBEAT;
use super::login::Service;
use super::metrics::Fault;
use super::mirror::{Patience, mirror};
use super::proto::maintenance_client::MaintenanceClient;
use super::proto::{StatusRequest, StatusResponse};

/// Pause after the first look without an answer.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Endpoints that are not in use are looked at so often: each look is a connection.
const ALL: Duration = Duration::from_mins(5);

/// How etcd is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Why it cannot be relied on; `None` when it can.
    pub fault: Option<String>,
    /// What each endpoint says of itself.
    pub endpoints: Vec<String>,
    /// How many of them answer.
    pub connected: usize,
    /// It was looked at.
    pub known: bool,
}

impl Health {
    /// In upstream's words.
    pub fn to_text(&self) -> String {
        let (connected, all) = (self.connected, self.endpoints.len());
        let quorum = self.fault.as_deref().unwrap_or("true");
        let endpoints = self.endpoints.join("; ");
        format!("etcd: {connected}/{all} connected, has-quorum={quorum}: {endpoints}")
    }
}

impl Etcd {
    /// Looks after the connection and the heartbeat until `stop`.
    pub async fn guard(&self, stop: CancellationToken) {
        let (writer, beats) = Table::new("heartbeat", &["heartbeat"]);
        let heartbeat = mirror(
            self.clone(),
            HEARTBEAT.to_owned(),
            "heartbeat",
            writer,
            // Any write of it is a beat, also one that says the same.
            |pair| (pair.key == HEARTBEAT).then_some(((), pair.revision)),
            Patience::default(),
            stop.clone(),
        );
        let look = async {
            let mut guard = Guard::new(self, beats);
            stop.run_until_cancelled(guard.run()).await;
        };
        tokio::join!(heartbeat, look);
    }
}

struct Guard<'a> {
    etcd: &'a Etcd,
    beats: Table<(), i64>,
    beat: Option<(i64, Instant)>,
    /// Of each endpoint whether it answered, and what it said.
    lines: BTreeMap<usize, (bool, String)>,
    /// When all were looked at.
    looked: Option<Instant>,
}

impl<'a> Guard<'a> {
    fn new(etcd: &'a Etcd, beats: Table<(), i64>) -> Self {
        Self {
            etcd,
            beats,
            beat: None,
            lines: BTreeMap::new(),
            looked: None,
        }
    }

    async fn run(&mut self) {
        let mut changed = self.beats.subscribe();
        let (mut next, mut failures) = (Instant::now(), 0);
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                // A call that had no answer is looked into at once, but not over and over: each look makes new connections,
                // which all who wait then try.
                () = self.etcd.shared.trouble.notified(), if failures == 0 => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                _ = changed.changed() => {
                    self.listen();
                    if self.etcd.shared.health.borrow().fault.is_none() {
                        continue;
                    }
                }
            }
            let answered = self.look().await;
            failures = if answered { 0 } else { failures + 1 };
            let every = self.etcd.shared.options.look;
            let pause = if answered {
                every.mul_f64(rand::rng().random_range(0.5..1.0))
            } else {
                Backoff::new(FIRST_PAUSE.min(every), every).after(failures, &mut rand::rng())
            };
            next = Instant::now() + pause;
        }
    }

    fn listen(&mut self) {
        let revision = self.beats.get(&()).map(|revision| *revision);
        match (revision, self.beat) {
            (Some(now), Some((before, _))) if now == before => {}
            (Some(now), _) => self.beat = Some((now, Instant::now())),
            (None, _) => {}
        }
    }

    /// One look at the endpoint in use, and at the others when it is silent, or not looked at for long; says whether one
    /// answers.
    async fn look(&mut self) -> bool {
        self.listen();
        let all = self.etcd.shared.options.endpoints.len();
        let used = self.etcd.shared.current.load().index;
        let every = self.looked.is_none_or(|at| at.elapsed() > ALL);
        let mut first = None;
        for index in std::iter::once(used).chain((0..all).filter(|index| *index != used)) {
            if first.is_some() && !every {
                break;
            }
            let (answers, line) = self.ask(index).await;
            if answers && first.is_none() {
                first = Some(index);
            }
            self.lines.insert(index, (answers, line));
        }
        if every || first != Some(used) {
            self.looked = Some(Instant::now());
        }
        let mut health = Health {
            known: true,
            connected: self.lines.values().filter(|(answers, _)| *answers).count(),
            endpoints: self.lines.values().map(|(_, line)| line.clone()).collect(),
            ..Health::default()
        };
        let answered = first.is_some();
        match first {
            Some(index) if index != used => self.turn(index),
            Some(_) => {}
            None => {
                let last = health.endpoints.last().map_or("", String::as_str);
                health.fault = Some(format!("no endpoint answers: {last}"));
                self.etcd.metrics().faulty(Fault::Unanswered);
                // New connections to the same one: its certificate may have changed, or ours.
                self.turn((used + 1) % all.max(1));
            }
        }
        if health.fault.is_none() {
            health.fault = self.etcd.shared.login.fault();
        }
        if health.fault.is_none() {
            health.fault = self.silence();
            if health.fault.is_some() {
                self.etcd.metrics().faulty(Fault::Silence);
            }
        }
        let before = self.etcd.shared.health.borrow().clone();
        match (&before.fault, &health.fault) {
            (None, Some(fault)) => tracing::warn!(fault, "etcd is unhealthy"),
            (Some(_), None) => tracing::info!("etcd is healthy again"),
            _ => {}
        }
        self.etcd.shared.health.send_if_modified(|now| {
            let changed = *now != health;
            *now = health;
            changed
        });
        answered
    }

    /// Whether an endpoint answers, and what it says.
    async fn ask(&self, index: usize) -> (bool, String) {
        let name = self.etcd.shared.options.endpoints.get(index);
        let name = name.map_or("", String::as_str);
        match Box::pin(self.etcd.status_of(index)).await {
            Ok(status) if status.leader == 0 => (false, format!("{name} - it has no leader")),
            Ok(status) => (true, said(name, &status)),
            Err(error) if self.etcd.user_for(&error).is_some() => {
                (true, format!("{name} - it does not know us"))
            }
            Err(error) => (false, format!("{name} - {error}")),
        }
    }

    fn turn(&self, index: usize) {
        if let Err(error) = self.etcd.turn_to(index) {
            tracing::warn!(%error, "etcd cannot be connected to");
        }
    }

    /// The heartbeat has not come for too long. One that never came is none to miss: an operator may not be there yet.
    fn silence(&self) -> Option<String> {
        let (_, at) = self.beat?;
        let limit = self.etcd.shared.options.heartbeat * 2;
        let since = at.elapsed();
        (since > limit)
            .then(|| format!("{since:.0?} since last heartbeat update has been received"))
    }
}

impl Etcd {
    /// The state of one endpoint, asked by a connection of its own unless it is the one in use.
    async fn status_of(&self, index: usize) -> Result<StatusResponse, Error> {
        let current = self.shared.current.load();
        let channel = if current.index == index {
            current.channel.clone()
        } else {
            channel(&self.shared.options, index)?
        };
        let name = self.shared.options.endpoints.get(index);
        let name = name.map_or("", String::as_str);
        let bearer = self.shared.login.bearer();
        let service = Service::new(channel.clone(), bearer.clone());
        let first = self.status_from(name, service).await;
        let Some(user) = first.as_ref().err().and_then(|error| self.user_for(error)) else {
            return first;
        };
        // What came of it is the login's to tell: a member that refuses us answers all the same.
        if self.log_in(user, &bearer).await.is_err() {
            return first;
        }
        let bearer = self.shared.login.bearer();
        self.status_from(name, Service::new(channel, bearer)).await
    }

    async fn status_from(&self, name: &str, service: Service) -> Result<StatusResponse, Error> {
        let mut maintenance = MaintenanceClient::new(service);
        let limit = self
            .shared
            .options
            .answer
            .min(self.shared.options.look.max(Duration::from_secs(1)));
        let answer = tokio::time::timeout(limit, maintenance.status(StatusRequest {})).await;
        match answer {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(Error::of("status", name, &status)),
            Err(_) => Err(Error::Unanswered {
                verb: "status",
                key: name.to_owned(),
                message: format!("no answer within {limit:?}"),
            }),
        }
    }
}

fn said(name: &str, status: &StatusResponse) -> String {
    let header = status.header.unwrap_or_default();
    let leads = header.member_id == status.leader;
    let leader = if leads { " (Leader)" } else { "" };
    format!("{name} - {}{leader}", status.version)
}
