//! A demo that was killed leaves things behind; whoever starts a topology next removes them.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use testkit::footprint::Footprint;
use testkit::topology::Topology;

/// What of the demo is on the machine: namespaces, mounts, cgroups, files.
fn left(before: &Footprint, name: &str) -> Vec<String> {
    let now = Footprint::take().expect("footprint");
    let mut left = now.since(before, name);
    left.retain(|entry| entry.contains(name));
    left
}

/// Starts the check of the demo, and waits until processes, namespaces, mounts and cgroups of a node are there.
fn started() -> (Child, String) {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_axoneme-demo"))
        .arg("--check")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the demo starts");
    let name = format!("axc{}", demo.id() % 100_000);
    let socket = Path::new("/run/axoneme").join(&name).join("n1/agent.sock");
    let end = Instant::now() + Duration::from_mins(1);
    while !socket.exists() && Instant::now() < end && demo.try_wait().expect("wait").is_none() {
        std::thread::sleep(Duration::from_millis(50));
    }
    (demo, name)
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    if !testkit::demo::possible() {
        return;
    }
    let before = Footprint::take().expect("footprint");
    let (mut demo, name) = started();
    assert_ne!(
        left(&before, &name),
        Vec::<String>::new(),
        "nothing was there"
    );
    let id = i32::try_from(demo.id())
        .ok()
        .and_then(Pid::from_raw)
        .expect("a process");
    kill_process(id, Signal::INT).expect("interrupt");
    let status = demo.wait().expect("wait");
    assert_eq!(status.code(), Some(130));
    assert_eq!(left(&before, &name), Vec::<String>::new());
}

#[test]
fn what_a_killed_demo_left_is_removed_by_the_next_topology() {
    if !testkit::demo::possible() {
        return;
    }
    let before = Footprint::take().expect("footprint");
    let (mut demo, name) = started();
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
