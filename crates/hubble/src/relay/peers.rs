//! Which peers there are: follows the peer service of one agent, also over its restarts.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use api::hubble::peer::{
    ChangeNotification, ChangeNotificationType, NotifyRequest, peer_client::PeerClient,
};
use reconcile::{Backoff, TableWriter};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{link::Dialer, pool::Announced};

/// First pause after a failure.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Name in the certificate of the peer service.
pub(super) fn server_name(cluster: &str) -> String {
    crate::peer::server_name(cluster, "hubble-peer")
}

/// Follows the peer service.
pub(super) struct Follower {
    /// Address of the service.
    pub service: String,
    /// Name in its certificate.
    pub server_name: Option<String>,
    /// Connects.
    pub dialer: Arc<Dialer>,
    /// Longest pause after a failure.
    pub retry: Duration,
    /// Peers that a new stream has not named by then are gone.
    pub settled: Duration,
    /// What is announced.
    pub announced: TableWriter<String, Announced>,
    /// Whether the service tells of changes now.
    pub connected: watch::Sender<bool>,
}

impl Follower {
    /// Runs until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let backoff = Backoff::new(FIRST_PAUSE.min(self.retry), self.retry);
        let mut failures = 0;
        let following = async {
            loop {
                let began = Instant::now();
                let why = self.follow().await;
                self.connected.send_replace(false);
                if began.elapsed() > self.retry {
                    failures = 0;
                }
                failures += 1;
                let pause = backoff.after(failures, &mut rand::rng());
                tracing::warn!(service = self.service, why, ?pause, "no news of peers");
                tokio::time::sleep(pause).await;
            }
        };
        stop.run_until_cancelled(following).await;
    }

    /// Follows one stream; why it ended.
    async fn follow(&mut self) -> String {
        let connecting = self
            .dialer
            .connect(&self.service, self.server_name.as_deref());
        let (link, mut carrier) = match connecting.await {
            Ok(connected) => connected,
            Err(error) => return error.to_string(),
        };
        let mut client = PeerClient::with_origin(link.clone(), link.origin());
        let asking = tokio::time::timeout(self.retry, client.notify(NotifyRequest {}));
        let mut changes = tokio::select! {
            asked = asking => match asked {
                Ok(Ok(response)) => response.into_inner(),
                Ok(Err(status)) => return status.to_string(),
                Err(_) => return format!("the service did not answer within {:?}", self.retry),
            },
            _ = &mut carrier => return "the connection was closed".into(),
        };
        self.connected.send_replace(true);
        tracing::info!(service = self.service, "news of peers");
        let mut named = Some(BTreeSet::new());
        let settled = tokio::time::sleep(self.settled);
        tokio::pin!(settled);
        loop {
            tokio::select! {
                change = changes.message() => match change {
                    Ok(Some(change)) => {
                        if let Some(named) = &mut named {
                            named.insert(change.name.clone());
                        }
                        self.take(change);
                    }
                    Ok(None) => return "the service ended its stream".into(),
                    Err(status) => return status.to_string(),
                },
                () = &mut settled, if named.is_some() => {
                    self.forget_all_but(&named.take().unwrap_or_default());
                }
                _ = &mut carrier => return "the connection was closed".into(),
            }
        }
    }

    fn take(&mut self, change: ChangeNotification) {
        let kind = change.r#type();
        tracing::info!(
            peer = change.name,
            address = change.address,
            kind = kind.as_str_name(),
            "told of a peer"
        );
        match kind {
            ChangeNotificationType::PeerAdded | ChangeNotificationType::PeerUpdated => {
                let peer = Announced {
                    address: change.address,
                    server_name: change
                        .tls
                        .map(|tls| tls.server_name)
                        .filter(|name| !name.is_empty()),
                };
                self.announced.set(change.name, peer);
            }
            ChangeNotificationType::PeerDeleted => {
                self.announced.remove(&change.name);
            }
            ChangeNotificationType::Unknown => {}
        }
    }

    /// Those that a former stream named and this one did not went away in between.
    fn forget_all_but(&mut self, named: &BTreeSet<String>) {
        let known = self.announced.snapshot();
        for name in known.keys().filter(|name| !named.contains(*name)) {
            self.announced.remove(name);
        }
    }
}

#[cfg(test)]
mod tests;
