//! Times whole calls of the plugin's binary against an agent that answers at once, as root:
//! `cargo build --release -p cni && cargo run --release -p cni --example addtime PATH_OF_BINARY [ROUNDS]`.

#![allow(clippy::print_stdout, reason = "printing the table is what it is for")]
#![allow(dead_code, reason = "the agent is the tests', which use all of it")]

#[path = "../tests/plugin/fake.rs"]
mod fake;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use netlink::{Handle, NamedNamespace, Namespace};
use serde_json::json;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let binary = std::env::args()
        .nth(1)
        .ok_or("the path of the plugin's binary is missing")?;
    let rounds: usize = std::env::args().nth(2).map_or(Ok(50), |n| n.parse())?;
    let host = NamedNamespace::create(&format!("axtimeh{}", std::process::id()))?;
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("agent.sock");
    let _agent = fake::FakeAgent::start(socket.clone(), Handle::open_in(&host)?);
    let config = json!({
        "cniVersion": "1.1.0", "name": "axoneme", "agent-socket": socket, "state-dir": directory.path(),
    })
    .to_string();
    let (mut version, mut again) = (Vec::new(), Vec::new());
    let (mut add, mut del) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let pod = NamedNamespace::create(&format!("axtimep{}-{round}", std::process::id()))?;
        let netns = pod.path().display().to_string();
        let timed = |command: &str| call(&host, &binary, command, &netns, round, &config);
        version.push(timed("VERSION")?);
        again.push(timed("VERSION")?);
        add.push(timed("ADD")?);
        del.push(timed("DEL")?);
    }
    println!(
        "{:<10} {:>9} {:>9} {:>9}   wall time, spawn to exit",
        "command", "p50 µs", "p90 µs", "max µs"
    );
    for (name, mut times) in [
        ("VERSION", version),
        ("again", again),
        ("ADD", add),
        ("DEL", del),
    ] {
        times.sort();
        let at = |part: usize| times[(times.len() - 1) * part / 100].as_micros();
        println!("{name:<10} {:>9} {:>9} {:>9}", at(50), at(90), at(100));
    }
    Ok(())
}

fn call(
    host: &Namespace,
    binary: &str,
    command: &str,
    netns: &str,
    round: usize,
    config: &str,
) -> Result<Duration, Failure> {
    let output = host.run(|| {
        let start = Instant::now();
        let mut child = Command::new(binary)
            .env_clear()
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", format!("c{round}"))
            .env("CNI_NETNS", netns)
            .env("CNI_IFNAME", "eth0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(config.as_bytes())?;
        }
        child
            .wait_with_output()
            .map(|output| (start.elapsed(), output))
    })?;
    let (taken, output) = output?;
    if output.status.success() {
        Ok(taken)
    } else {
        Err(String::from_utf8_lossy(&output.stdout).into_owned().into())
    }
}
