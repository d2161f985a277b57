//! A demo that was killed leaves things behind; whoever starts a topology next removes them.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use testkit::footprint::Footprint;
use testkit::topology::Topology;

/// What of the demo is on the machine: namespaces, mounts, cgroups, files.
fn left(before: &Footprint, name: &str) -> Vec<String> {
    let now = Footprint::take().expect("footprint");
    let mut left = now.since(before, name);
    left.retain(|entry| entry.contains(name));
    left
}

#[test]
fn what_a_killed_demo_left_is_removed_by_the_next_topology() {
    if !testkit::demo::possible() {
        return;
    }
    let before = Footprint::take().expect("footprint");
    let mut demo = Command::new(env!("CARGO_BIN_EXE_axoneme-demo"))
        .arg("--check")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the demo starts");
    let name = format!("axc{}", demo.id() % 100_000);
    // Late enough that processes, namespaces, mounts and cgroups of a node are there.
    let socket = Path::new("/run/axoneme").join(&name).join("n1/agent.sock");
    let end = Instant::now() + Duration::from_mins(1);
    while !socket.exists() && Instant::now() < end && demo.try_wait().expect("wait").is_none() {
        std::thread::sleep(Duration::from_millis(50));
    }
    demo.kill().expect("kill");
    demo.wait().expect("wait");
    let abandoned = left(&before, &name);
    for kind in ["namespace", "mount", "cgroup", "file"] {
        assert!(
            abandoned.iter().any(|entry| entry.starts_with(kind)),
            "no {kind} was left, so nothing is shown: {abandoned:?}"
        );
    }
    drop(Topology::create(&format!("axz{}", std::process::id() % 100_000)).expect("the next one"));
    assert_eq!(left(&before, &name), Vec::<String>::new());
}
