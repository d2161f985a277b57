//! An agent on a unix socket that keeps addresses and endpoints in memory and fails where it is told to.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use netlink::{Handle, link};
use serde_json::{Value, json};

/// What the agent does instead of answering properly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Refuses with this status, having done nothing.
    Status(u16),
    /// Does what was asked, then closes without an answer.
    Close,
}

/// What the agent holds.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) addresses: BTreeSet<String>,
    /// Attachment → body of the PUT.
    pub(crate) endpoints: BTreeMap<String, Value>,
    /// `METHOD path`, in order.
    pub(crate) requests: Vec<String>,
    /// Prefix of `METHOD path` → fault.
    pub(crate) faults: Vec<(String, Fault)>,
    pub(crate) health: Option<Value>,
    pub(crate) ipv6: bool,
    allocated: u32,
}

pub(crate) struct FakeAgent {
    pub(crate) socket: PathBuf,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FakeAgent {
    /// Starts it; `host` is the node's namespace, where it brings host ends up.
    pub(crate) fn start(socket: PathBuf, host: Handle) -> Self {
        let listener = UnixListener::bind(&socket).expect("bind");
        let state = Arc::new(Mutex::new(State {
            ipv6: true,
            ..State::default()
        }));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (state, stop) = (Arc::clone(&state), Arc::clone(&stop));
            move || {
                for stream in listener.incoming() {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    serve(stream.expect("accept"), &state, &host);
                }
            }
        });
        Self {
            socket,
            state,
            stop,
            thread: Some(thread),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("state")
    }

    pub(crate) fn fail(&self, request: &str, fault: Fault) {
        self.state().faults = vec![(request.to_owned(), fault)];
    }

    pub(crate) fn is_empty(&self) -> bool {
        let state = self.state();
        state.addresses.is_empty() && state.endpoints.is_empty()
    }
}

impl Drop for FakeAgent {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = UnixStream::connect(&self.socket);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn serve(mut stream: UnixStream, state: &Mutex<State>, host: &Handle) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    let (head, body) = loop {
        match stream.read(&mut buffer) {
            Ok(got) if got > 0 => bytes.extend_from_slice(&buffer[..got]),
            _ => return,
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|l| l.strip_prefix("Content-Length: "))
            .map_or(0, |n| n.parse().expect("n"));
        if body.len() >= length {
            break (head.to_owned(), body.to_owned());
        }
    };
    let mut words = head.split(' ');
    let request = format!(
        "{} {}",
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default()
    );
    let mut state = state.lock().expect("state");
    state.requests.push(request.clone());
    let fault = state
        .faults
        .iter()
        .find(|(prefix, _)| request.starts_with(prefix.as_str()))
        .map(|(_, fault)| *fault);
    let (status, answer) = match fault {
        Some(Fault::Status(status)) => (status, json!("told to fail")),
        _ => answer(
            &mut state,
            &request,
            &serde_json::from_str(&body).unwrap_or_default(),
            host,
        ),
    };
    if fault == Some(Fault::Close) {
        return;
    }
    let text = answer.to_string();
    let _ = write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );
}

fn answer(state: &mut State, request: &str, body: &Value, host: &Handle) -> (u16, Value) {
    let (method, path) = request.split_once(' ').expect("request");
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    match (method, path) {
        ("GET", "/v1/config") => (
            200,
            json!({"status": {
                "addressing": {"ipv4": {"enabled": true, "ip": "10.97.0.1"}, "ipv6": {"enabled": state.ipv6, "ip": "fd00:97::1"}},
                "deviceMTU": 1500, "routeMTU": 1450, "datapathMode": "veth", "ipLocalReservedPorts": "8472",
            }}),
        ),
        ("POST", "/v1/ipam") => (201, allocate(state, query)),
        ("DELETE", path) if path.starts_with("/v1/ipam/") => {
            let known = state.addresses.remove(&path["/v1/ipam/".len()..]);
            (if known { 200 } else { 404 }, json!(""))
        }
        ("PUT", "/v1/endpoint/cilium-local:0") => create(state, body, host),
        ("DELETE", "/v1/endpoint") => delete(state, body),
        ("GET", "/v1/endpoint") => (
            200,
            state
                .endpoints
                .keys()
                .enumerate()
                .map(|(id, key)| endpoint(id, key))
                .collect(),
        ),
        ("GET", "/v1/healthz") => (
            200,
            state
                .health
                .clone()
                .unwrap_or_else(|| json!({"cilium": {"state": "Ok"}})),
        ),
        ("GET", path) if path.ends_with("/healthz") => (200, json!({"overallHealth": "OK"})),
        ("GET", path) => {
            let key = path.trim_start_matches("/v1/endpoint/cni-attachment-id:");
            if state.endpoints.contains_key(key) {
                (200, endpoint(1, key))
            } else {
                (404, json!("no such endpoint"))
            }
        }
        _ => (405, json!("unknown")),
    }
}

fn endpoint(id: usize, key: &str) -> Value {
    json!({"id": id, "status": {"state": "ready", "external-identifiers": {"cni-attachment-id": key}}})
}

fn allocate(state: &mut State, query: &str) -> Value {
    state.allocated += 1;
    let number = state.allocated + 1;
    let (family, ip) = if query.contains("family=ipv4") {
        ("ipv4", format!("10.97.0.{number}"))
    } else {
        ("ipv6", format!("fd00:97::{number:x}"))
    };
    state.addresses.insert(ip.clone());
    json!({
        "address": {family: ip, format!("{family}-pool-name"): "default"},
        family: {"ip": ip, "expiration-uuid": format!("uuid-{number}")},
        "host-addressing": {"ipv4": {"enabled": true, "ip": "10.97.0.1"}, "ipv6": {"enabled": true, "ip": "fd00:97::1"}},
    })
}

fn create(state: &mut State, body: &Value, host: &Handle) -> (u16, Value) {
    let key = format!(
        "{}:{}",
        body["container-id"].as_str().expect("id"),
        body["container-interface-name"]
            .as_str()
            .expect("interface")
    );
    if state.endpoints.contains_key(&key) {
        return (409, json!("exists"));
    }
    let index = body["interface-index"].as_u64().expect("index") as u32;
    host.run(&link::set_up(index))
        .expect("the host end exists when the endpoint is asked for");
    state.endpoints.insert(key.clone(), body.clone());
    (201, endpoint(1, &key))
}

fn delete(state: &mut State, body: &Value) -> (u16, Value) {
    let key = format!(
        "{}:{}",
        body["container-id"].as_str().expect("id"),
        body["container-interface-name"]
            .as_str()
            .expect("interface")
    );
    let Some(endpoint) = state.endpoints.remove(&key) else {
        return (404, json!("no such endpoint"));
    };
    for family in ["ipv4", "ipv6"] {
        if let Some(ip) = endpoint["addressing"][family].as_str() {
            state.addresses.remove(ip);
        }
    }
    (200, json!(""))
}
