//! Watching over the connection and the heartbeat: which endpoint is in use, whether it answers, and whether the operator
//! still can write.
//!
//! An endpoint that does not answer is left for the next one that does. While none answers nothing is turned. The heartbeat
//! is told by when it comes, not by what it says, so that clocks need not agree.

use std::time::Duration;

use rand::Rng;
use reconcile::Table;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::client::Etcd;
use super::layout::HEARTBEAT;
use super::mirror::{Patience, mirror};
use super::proto::StatusResponse;

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
}

impl<'a> Guard<'a> {
    fn new(etcd: &'a Etcd, beats: Table<(), i64>) -> Self {
        Self {
            etcd,
            beats,
            beat: None,
        }
    }

    async fn run(&mut self) {
        let mut changed = self.beats.subscribe();
        let mut next = Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                // A call that had no answer is looked into at once, but not over and over.
                () = self.etcd.shared.trouble.notified() => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                _ = changed.changed() => {
                    self.listen();
                    if self.etcd.shared.health.borrow().fault.is_none() {
                        continue;
                    }
                }
            }
            self.look().await;
            let every = self.etcd.shared.options.look;
            next = Instant::now() + every.mul_f64(rand::rng().random_range(0.5..1.0));
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

    /// One look: at the endpoint in use, and at the others when it is silent.
    async fn look(&mut self) {
        self.listen();
        let all = self.etcd.shared.options.endpoints.len();
        let used = self.etcd.shared.current.load().index;
        let mut health = Health {
            known: true,
            ..Health::default()
        };
        let mut first = None;
        for index in 0..all {
            let name = &self.etcd.shared.options.endpoints[index];
            match self.etcd.status_of(index).await {
                Ok(status) if status.leader == 0 => {
                    health.endpoints.push(format!("{name} - it has no leader"));
                }
                Ok(status) => {
                    health.endpoints.push(said(name, &status));
                    health.connected += 1;
                    if first.is_none() || index == used {
                        first = Some(index);
                    }
                }
                Err(error) => health.endpoints.push(format!("{name} - {error}")),
            }
        }
        match first {
            Some(index) if index != used => self.turn(index),
            Some(_) => {}
            None => {
                let last = health.endpoints.last().map_or("", String::as_str);
                health.fault = Some(format!("no endpoint answers: {last}"));
                // New connections to the same one: its certificate may have changed, or ours.
                self.turn((used + 1) % all.max(1));
            }
        }
        if health.fault.is_none() {
            health.fault = self.silence();
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

fn said(name: &str, status: &StatusResponse) -> String {
    let header = status.header.unwrap_or_default();
    let leads = header.member_id == status.leader;
    let leader = if leads { " (Leader)" } else { "" };
    format!("{name} - {}{leader}", status.version)
}
