//! Watching over the connection: which URL is in use, and whether it still answers.
//!
//! A server that does not answer twice, or does not know us any more, is left for the next URL that does answer, or for
//! new connections to the same one. While none answers nothing is turned; the looks become rarer. Once the home URL
//! answers again and keeps to it, the connection returns there, so that a server that was away gets its share back.

use std::time::Duration;

use http::Method;
use rand::Rng;
use reconcile::Backoff;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::send::Call;
use super::{Client, Connection, Endpoint};

/// The home of all: the first URL.
const HOME: usize = 0;
/// An answer to a look comes within this time, or is none.
const ANSWER: Duration = Duration::from_secs(5);
/// Pause after the first silence.
const AGAIN: Duration = Duration::from_secs(1);
/// So many silences are a server that is away.
const SILENCES: u32 = 2;
/// Pauses between looks for any URL that answers.
const AWAY: Backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(30));
/// So many answers in a row, in looks of which each pair is at most this far apart, bring us home.
const HOME_ANSWERS: u32 = 3;
const HOME_EVERY: Duration = Duration::from_mins(1);

struct Guard<'a> {
    client: &'a Client,
    silences: u32,
    home_answers: u32,
    home_at: Instant,
}

impl Client {
    /// Looks at the server's health until `stop`, so that a connection that is dead without saying so costs seconds and
    /// not minutes: within 25 s (with the pauses of [`super::Options::named`]) the next URL is in use.
    pub async fn guard(&self, stop: CancellationToken) {
        let guard = Guard {
            client: self,
            silences: 0,
            home_answers: 0,
            home_at: Instant::now(),
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = guard.run() => {}
        }
    }

    /// Whether the server answers, and knows us. One that refuses to tell its version answers.
    async fn answers(&self, through: &kube::Client) -> bool {
        let limit = self.shared.options.probe_every.min(ANSWER);
        let call = Call::new("probe", Method::GET, "/version");
        match self.ask(through, &call, limit).await {
            Ok(_) => true,
            Err(error) => error
                .status()
                .is_some_and(|status| status != 401 && status < 500),
        }
    }

    fn turn_to(&self, index: usize, client: kube::Client) {
        let before = self.shared.current.load().endpoint;
        let endpoint = Endpoint {
            index,
            attempt: before.attempt + 1,
        };
        let connection = Connection { endpoint, client };
        self.shared.current.store(connection.into());
        self.shared.changed.send_replace(endpoint);
    }
}

impl Guard<'_> {
    async fn run(mut self) {
        loop {
            let current = self.client.shared.current.load_full();
            let answers = self.silences < SILENCES && self.client.answers(&current.client).await;
            self.silences = if answers { 0 } else { self.silences + 1 };
            if answers {
                self.consider_home(current.endpoint).await;
            } else if self.silences >= SILENCES && self.turn(current.endpoint).await {
                self.silences = 0;
            }
            tokio::time::sleep(self.pause()).await;
        }
    }

    fn pause(&self) -> Duration {
        let mut rng = rand::rng();
        match self.silences {
            0 => jittered(self.client.shared.options.probe_every),
            1 => AGAIN.min(self.client.shared.options.probe_every),
            more => AWAY.after(more - 1, &mut rng),
        }
    }

    /// Turns to the next URL that answers, the present one being the last to be asked, through connections of its own.
    async fn turn(&mut self, from: Endpoint) -> bool {
        let urls = self.client.shared.urls;
        if self.silences == SILENCES {
            tracing::warn!(url = from.index, "the API server does not answer");
        }
        for step in 1..=urls {
            let index = (from.index + step) % urls;
            if self.try_out(index).await {
                tracing::warn!(
                    from = from.index,
                    to = index,
                    "connected to the API server anew"
                );
                self.home_answers = 0;
                self.home_at = Instant::now() + jittered(HOME_EVERY);
                return true;
            }
        }
        false
    }

    async fn try_out(&self, index: usize) -> bool {
        match (self.client.shared.connect)(index).await {
            Ok(client) => {
                let answers = self.client.answers(&client).await;
                if answers {
                    self.client.turn_to(index, client);
                }
                answers
            }
            Err(error) => {
                tracing::warn!(url = index, %error, "no connection to the API server can be made");
                false
            }
        }
    }

    async fn consider_home(&mut self, now: Endpoint) {
        if now.index == HOME || Instant::now() < self.home_at {
            return;
        }
        self.home_at = Instant::now() + jittered(HOME_EVERY);
        let Ok(home) = (self.client.shared.connect)(HOME).await else {
            self.home_answers = 0;
            return;
        };
        let answers = self.client.answers(&home).await;
        self.home_answers = if answers { self.home_answers + 1 } else { 0 };
        if self.home_answers >= HOME_ANSWERS {
            tracing::info!(
                from = now.index,
                "the API server's first URL is in use again"
            );
            self.client.turn_to(HOME, home);
            self.home_answers = 0;
        }
    }
}

/// Between one half and the whole.
fn jittered(longest: Duration) -> Duration {
    longest.mul_f64(rand::rng().random_range(0.5..=1.0))
}
