//! A port on the loopback of whoever runs the demo that leads to a port inside a machine of it: what a browser opens.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, ensure};
use netlink::Namespace;
use serde_json::Value;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The open port. Dropping it closes it; connections end with the program that they lead to.
pub(super) struct Doorway {
    address: SocketAddr,
    closed: Arc<AtomicBool>,
    waiting: Option<JoinHandle<()>>,
}

impl Doorway {
    /// Leads from a port of 127.0.0.1, another one if it is taken, to `inside` as the namespace sees it.
    pub(super) fn open(port: u16, within: &Namespace, inside: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .context("listen on 127.0.0.1")?;
        let address = listener.local_addr()?;
        let within = Namespace::open(within.path())?;
        let closed = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&closed);
        let waiting = std::thread::spawn(move || {
            for outside in listener.incoming() {
                if told.load(Ordering::Relaxed) {
                    return;
                }
                // A socket belongs to the namespace in which it was made, whoever uses it.
                let inside = within.run(|| TcpStream::connect(inside));
                if let (Ok(outside), Ok(Ok(inside))) = (outside, inside) {
                    join(outside, inside);
                }
            }
        });
        Ok(Self {
            address,
            closed,
            waiting: Some(waiting),
        })
    }

    /// What a browser is given.
    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The JSON at a path behind it.
    pub(super) fn json(&self, path: &str) -> anyhow::Result<Value> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(LIMIT))?;
        // Of 1.0, so that the answer comes in one piece and ends with the connection.
        write!(stream, "GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .context("no head of an answer")?;
        ensure!(
            head.split_whitespace().nth(1) == Some("200"),
            "{path}: {answer}"
        );
        serde_json::from_str(body).with_context(|| format!("{path}: not JSON"))
    }
}

impl Drop for Doorway {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        // Wakes the thread, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
        if let Some(waiting) = self.waiting.take() {
            let _ = waiting.join();
        }
    }
}

/// Passes on what each says to the other, and that it has ended.
fn join(outside: TcpStream, inside: TcpStream) {
    let (Ok(from_outside), Ok(from_inside)) = (outside.try_clone(), inside.try_clone()) else {
        return;
    };
    for (mut from, mut to) in [(from_outside, inside), (from_inside, outside)] {
        std::thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
}

#[cfg(test)]
mod tests;
