//! A request that waits for longer than the others of its kind did.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, ensure};
use serde_json::Value;
use testkit::kubelet::RunningPod;

use super::{connected, failure, number};

const PORT: u16 = 9093;
/// Answers after which it is known how long they take.
const ANSWERS: u64 = 120;
const REQUEST: &[u8] = b"GET /reports/17 HTTP/1.1\r\nHost: c\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A connection on which one request waits, after all others were answered at once.
pub(super) struct Waits {
    client: TcpStream,
    server: TcpStream,
}

impl Waits {
    pub(super) fn make(client: &RunningPod, server: &RunningPod) -> Self {
        let [client, server] = connected(client, server, PORT);
        let mut waits = Self { client, server };
        for _ in 0..ANSWERS {
            waits.ask();
            waits.answer();
        }
        waits.ask();
        waits
    }

    fn ask(&mut self) {
        self.client.write_all(REQUEST).expect("it is sent");
        let mut request = [0; REQUEST.len()];
        self.server.read_exact(&mut request).expect("it comes");
    }

    fn answer(&mut self) {
        self.server.write_all(ANSWER).expect("it is sent");
        let mut answer = [0; ANSWER.len()];
        self.client.read_exact(&mut answer).expect("it comes");
    }

    /// Answers what waits, and one more.
    pub(super) fn go_on(&mut self) {
        self.answer();
        self.ask();
        self.answer();
    }
}

/// The failures must have it, once, at the server.
pub(super) fn told(failing: &Value) -> anyhow::Result<()> {
    let failures = failing["failures"].as_array().context("failures")?;
    let overdue = |of: &&Value| of["cause"]["kind"] == "OVERDUE";
    let found: Vec<_> = failures.iter().filter(overdue).collect();
    let [one] = found[..] else {
        anyhow::bail!("{} are overdue: {failing}", found.len());
    };
    let [from, to, cause, fault] = ["a", "c", "OVERDUE", "FAULT_SERVER"].map(str::to_owned);
    ensure!(failure(one) == (from, to, PORT, cause, fault, 1), "{one}");
    ensure!(one["cause"]["name"] == "GET /reports/{id}", "{one}");
    Ok(())
}

/// It is one request, that had no answer in time; the answers after it belong to the requests after it.
pub(super) fn went_on(http: &Value) -> anyhow::Result<()> {
    let requests = http["requests"].as_array().context("requests")?;
    let is_it = |of: &&Value| of["counters"]["path"] == "/reports/{id}";
    let found = requests.iter().find(is_it).context("the requests")?;
    let counters = &found["counters"];
    let counts = ["requests", "unanswered"].map(|of| number(&counters[of]));
    ensure!(counts == [ANSWERS + 2, 1], "{counters}");
    let status = counters["status"].as_array().context("status")?;
    let [ok] = &status[..] else {
        anyhow::bail!("{counters}");
    };
    ensure!(
        ok["code"] == 200 && number(&ok["count"]) == ANSWERS + 1,
        "{counters}"
    );
    Ok(())
}
