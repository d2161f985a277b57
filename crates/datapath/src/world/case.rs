//! Text cases: tables in, packets in; verdict, packet out, table difference and list of stages expected.
//!
//! Lines without indentation are inputs, indented lines below a `packet` are what it led to. See `tests/cases/README.md`.

use std::{cell::RefCell, fs, path::Path};

use super::{Frame, World, build, render, tables_text};
use crate::{
    Verdict,
    abi::{
        event::{Event, hook},
        node::Features,
        sample::Sample,
    },
    environment::Route,
    packet::Tunnel,
};

/// One row of a table, in the bytes of the ABI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Name of the map.
    pub table: String,
    /// Key.
    pub key: Vec<u8>,
    /// Value.
    pub value: Vec<u8>,
}

/// What decides besides tables and packet.
#[derive(Clone, Debug)]
pub enum Input {
    /// Constants of the load.
    Features(Features),
    /// The clock: monotonic nanoseconds and jiffies.
    Time {
        /// Nanoseconds.
        ns: u64,
        /// Jiffies.
        jiffies: u64,
    },
    /// An answer of the routing table for a destination.
    Route(crate::abi::Address, Route),
    /// A socket of the node: address, port in network order, protocol.
    Socket(crate::abi::Address, u16, u8),
    /// Next numbers of chance.
    Chance(Vec<u32>),
    /// No room is left for connections.
    Full,
}

/// What one packet led to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The verdict, where the backend knows it; the kernel knows its return code.
    pub verdict: Option<Verdict>,
    /// 0 pass, 2 drop, 7 redirect: the kernel's return code.
    pub code: i32,
    /// The packet afterwards.
    pub frame: Frame,
    /// Rows of the tables that paths write, afterwards, sorted by table and key.
    pub rows: Vec<Row>,
    /// Events since the packet before.
    pub events: Vec<Event>,
    /// Samples since the packet before: heads and octets.
    pub samples: Vec<(Sample, Vec<u8>)>,
    /// Names of the stages, where the backend knows them.
    pub stages: Option<Vec<&'static str>>,
}

/// The return code of a verdict at a tc hook.
pub const fn code(verdict: Verdict) -> i32 {
    match verdict {
        Verdict::Pass => 0,
        Verdict::Drop(_) => 2,
        _ => 7,
    }
}

/// What runs cases: hash maps, or the loaded object.
pub trait Backend {
    /// Writes a row.
    fn load(&mut self, row: &Row);
    /// Sets an input.
    fn input(&mut self, input: &Input);
    /// Rows of the tables that paths write.
    fn rows(&mut self) -> Vec<Row>;
    /// Runs a hook ([`hook`]) on a frame.
    fn run(&mut self, hook: u8, frame: &Frame) -> Outcome;
}

impl Backend for World {
    fn load(&mut self, row: &Row) {
        self.load_row(row);
    }

    fn input(&mut self, input: &Input) {
        match input {
            Input::Features(features) => self.features = *features,
            Input::Time { ns, jiffies } => (self.now_ns, self.jiffies) = (*ns, *jiffies),
            Input::Route(address, route) => {
                self.routes.insert(*address, *route);
            }
            Input::Socket(address, port, protocol) => {
                self.sockets.insert((*address, *port, *protocol));
            }
            Input::Chance(numbers) => self.chance = RefCell::new(numbers.iter().copied().collect()),
            Input::Full => self.free.borrow_mut().clear(),
        }
    }

    fn rows(&mut self) -> Vec<Row> {
        self.dump()
    }

    fn run(&mut self, hook: u8, frame: &Frame) -> Outcome {
        let mut frame = frame.clone();
        let verdict = World::run(self, hook, &mut frame);
        Outcome {
            verdict: Some(verdict),
            code: code(verdict),
            frame,
            rows: self.dump(),
            events: self.events.take(),
            samples: self.samples.take(),
            stages: Some(self.stages.take()),
        }
    }
}

/// A packet of a case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Number of the hook.
    pub hook: u8,
    /// The frame.
    pub frame: Frame,
}

/// The number of a hook's name.
pub fn hook_of(name: &str) -> u8 {
    match name {
        "from_container" => hook::FROM_CONTAINER,
        "to_container" => hook::TO_CONTAINER,
        "from_netdev" => hook::FROM_NETDEV,
        "to_netdev" => hook::TO_NETDEV,
        "from_overlay" => hook::FROM_OVERLAY,
        "from_host" => hook::FROM_HOST,
        other => build::malformed("hook", other),
    }
}

/// The packet of a line `packet HOOK IFINDEX [ingress=] [mark=] [gso=] [vni= remote=] | layers`.
pub(super) fn packet(line: &str) -> Case {
    let (head, layers) = line.split_once('|').unwrap_or((line, ""));
    let fields = build::Fields::of(head);
    let ifindex = build::number(fields.word(2)) as u32;
    let hook = hook_of(fields.word(1));
    let came_in = match hook {
        hook::TO_CONTAINER | hook::TO_NETDEV | hook::FROM_HOST => 0,
        _ => ifindex.into(),
    };
    let frame = Frame {
        bytes: build::frame(layers.trim()),
        gso_size: fields.number("gso", 0) as u32,
        ifindex,
        ingress_ifindex: fields.number("ingress", came_in) as u32,
        mark: fields.number("mark", 0) as u32,
        tunnel: fields.text("remote").map(|remote| Tunnel {
            identity: fields.number("vni", 0) as u32,
            remote: build::address(remote),
        }),
        accepted: false,
        writes_left: None,
    };
    Case { hook, frame }
}

/// Gets a packet's line, the packet, the rows before it, and what it led to.
type Each<'a> = dyn FnMut(&str, &Case, &[Row], Outcome) + 'a;

/// Runs the inputs of a text on a backend; `each` gets every packet's line, the rows before it, and what it led to.
fn walk(text: &str, backend: &mut dyn Backend, each: &mut Each<'_>) {
    let mut setup = tables_text::Setup::default();
    let mut rows = backend.rows();
    for line in text.lines() {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with(['#', ' ']) {
            continue;
        }
        if !line.starts_with("packet ") {
            setup.line(line, backend);
            rows = backend.rows();
            continue;
        }
        let case = packet(line);
        let outcome = backend.run(case.hook, &case.frame);
        let after = outcome.rows.clone();
        each(line, &case, &rows, outcome);
        rows = after;
    }
}

/// Runs a case and gives what each packet led to, for comparing backends.
pub fn run_case(text: &str, backend: &mut dyn Backend) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    walk(text, backend, &mut |_, _, _, outcome| {
        outcomes.push(outcome);
    });
    outcomes
}

/// The expectation lines of one packet.
fn expectation(case: &Case, before: &[Row], outcome: &Outcome) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(verdict) = outcome.verdict {
        lines.push(render::verdict(verdict));
    }
    if outcome.frame.bytes != case.frame.bytes {
        lines.push(format!("packet {}", render::hex(&outcome.frame.bytes)));
    }
    if build::sound(&case.frame.bytes) && !build::sound(&outcome.frame.bytes) {
        lines.push("CHECKSUM WRONG".into());
    }
    if outcome.frame.mark != case.frame.mark {
        lines.push(format!("mark {:#x}", outcome.frame.mark));
    }
    if outcome.frame.accepted {
        lines.push("accepted".into());
    }
    if outcome.frame.tunnel != case.frame.tunnel
        && let Some(tunnel) = outcome.frame.tunnel
    {
        let remote = std::net::IpAddr::from(tunnel.remote);
        lines.push(format!("tunnel vni={} remote={remote}", tunnel.identity));
    }
    lines.extend(render::difference(before, &outcome.rows));
    for event in &outcome.events {
        lines.push(format!("event {}", render::event(event)));
    }
    for (sample, octets) in &outcome.samples {
        lines.push(format!("sample {}", render::sample(sample, octets)));
    }
    if let Some(stages) = &outcome.stages {
        lines.push(format!("stages {}", stages.join(" ")));
    }
    lines
}

/// The text of a case with what really happened in place of its expectations, and the reasons of its drops.
pub fn actual(text: &str) -> (String, Vec<crate::Drop>) {
    actual_on(text, &mut World::default())
}

fn actual_on(text: &str, backend: &mut dyn Backend) -> (String, Vec<crate::Drop>) {
    let mut results = Vec::new();
    let mut drops = Vec::new();
    walk(text, backend, &mut |_, case, before, outcome| {
        if let Some(Verdict::Drop(reason)) = outcome.verdict {
            drops.push(reason);
        }
        results.push(expectation(case, before, &outcome));
    });
    let mut results = results.into_iter();
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with(' ')) {
        lines.push(line.to_owned());
        if line.starts_with("packet ") {
            lines.extend(
                results
                    .next()
                    .into_iter()
                    .flatten()
                    .map(|line| format!("  {line}")),
            );
        }
    }
    (lines.join("\n") + "\n", drops)
}

/// Checks a case file, or rewrites its expectations when `UPDATE_CASES` is set; gives the reasons of its drops.
///
/// # Errors
/// What differs: the first line expected and the first line that came, with the file's name.
pub fn check(path: &Path) -> Result<Vec<crate::Drop>, String> {
    let name = path.display();
    let text = fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    let (now, drops) = actual(&text);
    if now == text {
        return Ok(drops);
    }
    if std::env::var_os("UPDATE_CASES").is_some() {
        fs::write(path, now).map_err(|error| format!("{name}: {error}"))?;
        return Ok(drops);
    }
    Err(difference(path, &text, &now))
}

/// Checks a case file on another backend than hash maps; stages are compared where that knows them.
///
/// # Errors
/// As [`check`].
pub fn check_on(path: &Path, backend: &mut dyn Backend) -> Result<(), String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let (now, _) = actual_on(&text, backend);
    let without = |text: &str| -> String {
        let lines = text.lines().filter(|line| !line.starts_with("  stages "));
        lines.fold(String::new(), |all, line| all + line + "\n")
    };
    let (text, now) = (without(&text), without(&now));
    if now == text {
        return Ok(());
    }
    Err(difference(path, &text, &now))
}

/// The first line in which two texts differ, below the packet that it belongs to.
fn difference(path: &Path, text: &str, now: &str) -> String {
    let mut lines = text.lines().zip(now.lines()).enumerate();
    let mut packet = "";
    let differs = lines.find(|(_, (a, b))| {
        if a == b && a.starts_with("packet ") {
            packet = a;
        }
        a != b
    });
    let (line, (expected, came)) = differs.unwrap_or((0, ("", "(more or fewer lines)")));
    format!(
        "{}, line {}, below {packet}\n expected {expected}\n     came {came}",
        path.display(),
        line + 1
    )
}

/// The packets of a text, without running them.
pub fn frames_of(text: &str) -> Vec<Frame> {
    let lines = text.lines().filter(|line| line.starts_with("packet "));
    lines.map(|line| packet(line).frame).collect()
}

/// Whether the checksums of a frame hold, as far as it has any.
pub fn is_sound(frame: &[u8]) -> bool {
    build::sound(frame)
}
