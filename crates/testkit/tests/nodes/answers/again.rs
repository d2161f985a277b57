//! Segments that are sent again: as many as the kernel of who sent them says.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::{Context, ensure};
use netlink::Namespace;
use serde_json::Value;
use testkit::kubelet::RunningPod;

use super::{connected, ends, failure, number};

const PORT: u16 = 9090;
/// Long enough for two segments more: Linux sends again after 200 ms, and then after twice as long.
const DEAF: Duration = Duration::from_millis(900);

/// A connection whose server loses all that comes for a while; how many segments were sent again.
pub(super) fn lose(client: &RunningPod, server: &RunningPod) -> u64 {
    let [mut stream, mut accepted] = connected(client, server, PORT);
    let before = sent_again(&client.sandbox);
    takes(&accepted, false);
    stream.write_all(b"x").expect("it is sent");
    std::thread::sleep(DEAF);
    takes(&accepted, true);
    accepted.read_exact(&mut [0]).expect("it comes at last");
    sent_again(&client.sandbox) - before
}

/// Whether a socket takes what comes: a filter (socket(7), `SO_ATTACH_FILTER`) that is asked before anything is acknowledged.
fn takes(socket: &TcpStream, everything: bool) {
    let mut nothing = libc::sock_filter {
        // BPF_RET | BPF_K
        code: 0x06,
        jt: 0,
        jf: 0,
        k: 0,
    };
    let program = libc::sock_fprog {
        len: 1,
        filter: &raw mut nothing,
    };
    let option = if everything {
        libc::SO_DETACH_FILTER
    } else {
        libc::SO_ATTACH_FILTER
    };
    // SAFETY: the program is one valid instruction, which the kernel copies; it outlives the call.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

/// `RetransSegs` of RFC 4022, of a namespace.
fn sent_again(namespace: &Namespace) -> u64 {
    let text = namespace.run(|| std::fs::read_to_string("/proc/thread-self/net/snmp"));
    let text = text.expect("it is entered").expect("counters of TCP");
    let mut of_tcp = text.lines().filter(|line| line.starts_with("Tcp:"));
    let (names, values) = (
        of_tcp.next().expect("names"),
        of_tcp.next().expect("values"),
    );
    let mut both = names.split(' ').zip(values.split(' '));
    let found = both.find(|(name, _)| *name == "RetransSegs");
    found.expect("a counter").1.parse().expect("a number")
}

/// The map must have them on the edge, in the client's direction alone.
pub(super) fn told(map: &Value, again: u64) -> anyhow::Result<()> {
    ensure!(again >= 2, "{again} segments were sent again");
    let edges = map["edges"].as_array().context("edges")?;
    let is_it = |edge: &&Value| ends(edge) == ("a".to_owned(), "c".to_owned(), PORT);
    let edge = edges.iter().find(is_it).context("the edge is on the map")?;
    let counters = &edge["counters"];
    let told = ["retransmits_sent", "retransmits_received"].map(|of| number(&counters[of]));
    ensure!(told == [again, 0], "{told:?} and not {again}: {edge}");
    Ok(())
}

const DEAF_PORT: u16 = 9091;
const FULL_PORT: u16 = 9092;
const KEPT_PORT: u16 = 9094;

/// Connections that do not go on as long as they are kept: one whose server hears nothing any more, and one whose server reads
/// nothing.
pub(super) fn stall(client: &RunningPod, server: &RunningPod) -> Vec<[TcpStream; 2]> {
    let mut deaf = connected(client, server, DEAF_PORT);
    takes(&deaf[1], false);
    deaf[0].write_all(b"x").expect("it is sent");
    let mut full = connected(client, server, FULL_PORT);
    full[0].set_nonblocking(true).expect("not blocking");
    let filled = loop {
        if let Err(error) = full[0].write(&[0; 8192]) {
            break error.kind();
        }
    };
    assert_eq!(filled, std::io::ErrorKind::WouldBlock);
    vec![deaf, full]
}

/// A connection that its client closes, and its server does not, as long as it is kept.
pub(super) fn keep(client: &RunningPod, server: &RunningPod) -> TcpStream {
    let [_closed, kept] = connected(client, server, KEPT_PORT);
    kept
}

/// The failures must have it, once.
pub(super) fn kept_told(failing: &Value) -> anyhow::Result<()> {
    told_of(failing, KEPT_PORT, "UNCLOSED_AT_SERVER")
}

/// The failures must have both, once each, with who is at fault.
pub(super) fn stalled_told(failing: &Value) -> anyhow::Result<()> {
    told_of(failing, DEAF_PORT, "STALLED_AT_SERVER")?;
    told_of(failing, FULL_PORT, "FULL_AT_SERVER")
}

/// Of this port the one failure must be this one.
fn told_of(failing: &Value, port: u16, cause: &str) -> anyhow::Result<()> {
    let failures = failing["failures"].as_array().context("failures")?;
    let of_port = failures.iter().map(failure).filter(|of| of.2 == port);
    let found: Vec<_> = of_port.collect();
    let [from, to, cause, fault] = ["b", "c", cause, "FAULT_SERVER"].map(str::to_owned);
    let wanted = [(from, to, port, cause, fault, 1)];
    ensure!(found == wanted, "{found:?} and not {wanted:?}: {failing}");
    Ok(())
}
