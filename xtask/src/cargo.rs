//! The verbs that are one call of cargo: `fmt`, `doc`, `crds`, `demo`.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::place::Place;
use crate::process::run;
use crate::{Verb, ebpf, kafka, machine, setup, ship};

pub(crate) const FMT: Verb = Verb {
    name: "fmt",
    about: "format all sources",
    run: |place, _| {
        run(cargo(place).args(["fmt", "--all"]))?;
        let manifest = place.repo.join("crates/datapath-ebpf/Cargo.toml");
        run(cargo(place).args(["fmt", "--manifest-path"]).arg(manifest))
    },
};

pub(crate) const DOC: Verb = Verb {
    name: "doc",
    about: "build the documentation of all crates; a warning is an error",
    run: |place, _| {
        run(cargo(place)
            .args([
                "doc",
                "--workspace",
                "--no-deps",
                "--document-private-items",
            ])
            .env("RUSTDOCFLAGS", "-Dwarnings"))
    },
};

pub(crate) const CRDS: Verb = Verb {
    name: "crds",
    about: "write the CRDs in deploy/crds anew from their types",
    run: |place, _| {
        run(cargo(place)
            .args(["test", "--quiet", "--package", "crds", "--test", "files"])
            .env("AXONEME_WRITE_CRDS", "1"))
    },
};

pub(crate) const DEMO: Verb = Verb {
    name: "demo",
    about: "start a cluster on this machine; with --check, assert it and leave",
    run: demo,
};

/// Cargo in the clone, without what the cargo that runs us has told us of ourselves: dependencies whose build scripts ask for
/// it (ring) would be compiled again for each clone, and again for whoever calls cargo by hand.
pub(crate) fn cargo(place: &Place) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(&place.repo);
    for (key, _) in std::env::vars_os() {
        let key_text = key.to_string_lossy();
        if key_text.starts_with("CARGO_MANIFEST") || key_text.starts_with("CARGO_PKG") {
            command.env_remove(&key);
        }
    }
    command
}

/// The programs that the demo cluster consists of.
const PACKAGES: &[&str] = &[
    "agent",
    "apiserver",
    "cli",
    "cni",
    "hubble",
    "operator",
    "testkit",
];

/// Builds every program of the cluster, then becomes `axoneme-demo`.
fn demo(place: &Place, words: &[String]) -> Result<()> {
    if let Some(why) = machine::refuses_ebpf() {
        bail!("the demo cannot run: {why}");
    }
    setup::ensure(place)?;
    ebpf::object(&place.repo, &place.cache).map_err(anyhow::Error::msg)?;
    build_demo(place)?;
    let mut command = demo_command(place)?;
    // Not a child: Ctrl-C and the exit code are the demo's own.
    Err(command.args(words).exec()).context("axoneme-demo")
}

/// Builds the programs of the cluster.
pub(crate) fn build_demo(place: &Place) -> Result<()> {
    run(cargo(place).args(["build", "--bins"]).args(packages()))
}

/// Builds the programs of the cluster as they are shipped; one of them.
pub(crate) fn release_program(place: &Place, name: &str) -> Result<Command> {
    let mut command = cargo(place);
    command.args(["build", "--bins"]).args(packages());
    let folder = ship::as_shipped(place, &mut command)?;
    run(&mut command)?;
    let mut program = Command::new(folder.join(name));
    program.envs(ship::ENVIRONMENT);
    Ok(program)
}

fn packages() -> impl Iterator<Item = &'static str> {
    PACKAGES.iter().flat_map(|name| ["--package", name])
}

/// The demo, which cargo puts beside ourselves, with its Kafka.
pub(crate) fn demo_command(place: &Place) -> Result<Command> {
    let us = std::env::current_exe().context("where is xtask?")?;
    let mut command = Command::new(us.with_file_name("axoneme-demo"));
    command.env(kafka::VARIABLE, kafka::jars(place)?);
    Ok(command)
}
