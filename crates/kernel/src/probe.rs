//! What the running kernel can do, asked at start: each missing feature by name, with what is lost without it.

use std::io;
use std::os::fd::AsFd;

use crate::clock::instruction;
use crate::layout::MapKind;
use crate::sys::{self, AttachType};

/// How badly a feature is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The agent cannot work without it.
    Required,
    /// Something named is lost.
    Optional,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its name.
    pub name: &'static str,
    /// Whether the agent can do without.
    pub need: Need,
    /// What is lost where it is missing.
    pub lost: &'static str,
    /// `None` when it is there, else what the kernel said.
    pub missing: Option<String>,
}

type Check = fn() -> Result<(), String>;

/// Name, need, what is lost, how to ask.
const CHECKS: &[(&str, Need, &str, Check)] = &[
    (
        "hash maps that evict",
        Need::Required,
        "connections cannot be tracked",
        lru,
    ),
    (
        "longest-prefix tries",
        Need::Required,
        "prefixes cannot be matched",
        trie,
    ),
    (
        "ring buffer",
        Need::Required,
        "no events: flows cannot be seen",
        ring,
    ),
    (
        "batch map calls",
        Need::Optional,
        "sweeps of connections take one call per entry",
        batch,
    ),
    (
        "tcx links",
        Need::Required,
        "programs cannot be attached to the node's devices",
        tcx,
    ),
    (
        "redirect to the peer of a veth",
        Need::Required,
        "pods of one node cannot be joined",
        || helper(sys::CLASSIFIER, 0, 155),
    ),
    (
        "redirect to a neighbour",
        Need::Required,
        "no way out of the node",
        || helper(sys::CLASSIFIER, 0, 152),
    ),
    ("route lookup", Need::Required, "no routes for pods", || {
        helper(sys::CLASSIFIER, 0, 69)
    }),
    (
        "tunnel metadata",
        Need::Required,
        "no overlay between nodes",
        || helper(sys::CLASSIFIER, 0, 21),
    ),
    (
        "jiffies",
        Need::Required,
        "life times of connections cannot be kept",
        || helper(sys::CLASSIFIER, 0, 118),
    ),
    (
        "socket translation",
        Need::Optional,
        "services are translated per packet only",
        || helper(sys::SOCKET_ADDRESS, AttachType::Connect4 as u32, 46),
    ),
    (
        "cookie of network namespaces",
        Need::Optional,
        "session affinity and the node's own services at the socket",
        || helper(sys::SOCKET_ADDRESS, AttachType::Connect4 as u32, 122),
    ),
    (
        "peer names of sockets",
        Need::Optional,
        "programs see the backend instead of the service as their peer",
        || helper(sys::SOCKET_ADDRESS, AttachType::GetPeerName4 as u32, 46),
    ),
];

/// Asks for everything; takes a few milliseconds. Needs the right to load programs.
pub fn probe() -> Vec<Feature> {
    CHECKS
        .iter()
        .map(|(name, need, lost, check)| Feature {
            name,
            need: *need,
            lost,
            missing: check().err(),
        })
        .collect()
}

fn create(kind: MapKind, sizes: [u32; 4]) -> Result<(), String> {
    sys::map_create_with_flags("axoneme_probe", kind as u32, sizes)
        .map(drop)
        .map_err(text)
}

// The check is a function pointer of this shape.
#[expect(clippy::needless_pass_by_value, reason = "the argument of map_err")]
fn text(error: io::Error) -> String {
    error.to_string()
}

fn lru() -> Result<(), String> {
    create(MapKind::LruHash, [4, 4, 64, 0])
}

fn trie() -> Result<(), String> {
    const ON_USE: u32 = 1;
    create(MapKind::Trie, [8, 4, 64, ON_USE])
}

fn ring() -> Result<(), String> {
    create(MapKind::Ring, [0, 0, 4096, 0])
}

fn batch() -> Result<(), String> {
    let map = sys::map_create("axoneme_probe", MapKind::Hash as u32, 4, 4, 8).map_err(text)?;
    let (mut cursor, mut keys, mut values) = ([0; 4], [0; 32], [0; 32]);
    sys::lookup_batch(map.as_fd(), true, &mut cursor, &mut keys, &mut values, 8)
        .map(drop)
        .map_err(text)
}

fn tcx() -> Result<(), String> {
    /// The loop-back device is the first of every namespace.
    const LOOPBACK: u32 = 1;
    sys::attached_programs(LOOPBACK, AttachType::TcxIngress)
        .map(drop)
        .map_err(text)
}

/// Whether programs of a type may call a helper: the verifier refuses an unknown one by name, and a known one only for
/// its arguments.
fn helper(program_type: u32, attach_type: u32, number: u32) -> Result<(), String> {
    const CALL: u8 = 0x85;
    const RESULT_ONE: u64 = instruction(0xb7, 1);
    const EXIT: u64 = instruction(0x95, 0);
    let program = [instruction(CALL, number), RESULT_ONE, EXIT];
    match sys::program_load(program_type, attach_type, &program) {
        Ok(_) => Ok(()),
        Err((error, log)) => {
            let refused = ["invalid func", "unknown func", "cannot use helper"]
                .iter()
                .any(|words| log.contains(words));
            if refused || log.is_empty() {
                Err(error.to_string())
            } else {
                Ok(())
            }
        }
    }
}
