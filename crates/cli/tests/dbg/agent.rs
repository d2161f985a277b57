//! A fake agent: answers of `answers.json` on its two unix sockets, one connection per request.

#![allow(clippy::unwrap_used, reason = "part of tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// What the agent answers: `METHOD path?query` → status and body. Dropping it removes the socket; its thread ends with the test.
pub(crate) struct Agent {
    pub(crate) directory: tempfile::TempDir,
    /// Requests in order.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
}

/// What a command did.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Agent {
    /// An agent with the usual answers, changed by `change`.
    pub(crate) fn start(change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> Self {
        let mut answers: serde_json::Map<String, Value> =
            serde_json::from_str(include_str!("answers.json")).unwrap();
        change(&mut answers);
        let directory = tempfile::tempdir().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        for socket in ["agent.sock", "health.sock"] {
            let listener = UnixListener::bind(directory.path().join(socket)).unwrap();
            let (answers, log) = (answers.clone(), Arc::clone(&asked));
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let Ok(stream) = stream else { return };
                    answer(&stream, &answers, &log);
                }
            });
        }
        Self { directory, asked }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("agent.sock")
    }

    /// Runs the program by another name; the name of the test's directory is taken out of what it says.
    pub(crate) fn run_as(&self, name: &str, words: &[&str]) -> Ran {
        use std::os::unix::process::CommandExt;
        let directory = self.directory.path().display().to_string();
        let output = Command::new(env!("CARGO_BIN_EXE_axoneme"))
            .arg0(name)
            .args(words)
            .env_clear()
            .env("AXONEME_SOCK", self.socket())
            .env("HUBBLE_SERVER", format!("unix://{directory}/no-flows.sock"))
            .env("HOME", &directory)
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| {
            String::from_utf8(bytes)
                .unwrap()
                .replace(&directory, "[directory]")
        };
        Ran {
            code: output.status.code().unwrap(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// `axoneme dbg …`, and the same as `cilium-dbg …`, which must not differ.
    pub(crate) fn dbg(&self, words: &[&str]) -> Ran {
        let node_client = self.run_as("cilium-dbg", words);
        let family: Vec<&str> = ["dbg"].into_iter().chain(words.iter().copied()).collect();
        let family = self.run_as("axoneme", &family);
        assert_eq!(
            (node_client.code, &node_client.out, &node_client.err),
            (family.code, &family.out, &family.err),
            "{words:?}"
        );
        node_client
    }
}

fn answer(stream: &UnixStream, answers: &serde_json::Map<String, Value>, log: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
    let asked = first.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let (status, body) = match answers.get(&asked) {
        Some(found) => match found
            .get("status")
            .and_then(Value::as_u64)
            .filter(|status| *status >= 400)
        {
            Some(status) => (status, found["body"].clone()),
            None => (200, found.clone()),
        },
        None => (
            404,
            Value::String(format!("{asked} is not a path of this API")),
        ),
    };
    log.lock().unwrap().push(asked);
    let body = body.to_string();
    let _ = write!(
        &mut &*stream,
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
}
