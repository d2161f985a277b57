//! The cluster's cables: a bridge in a namespace of its own, and one cable from it to the control plane, to each node, and to
//! somebody outside. In the machine's own namespace there is nothing but the names.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use super::layout::{API_ADDRESS, BRIDGE_ADDRESS, Layout, OUTSIDE_ADDRESS, netns_file};
use crate::process::{run, typed};

/// Makes what is missing.
pub(super) fn make(layout: &Layout) -> Result<()> {
    let bridge = layout.netns("bridge");
    namespace(&bridge)?;
    if !has_device(&bridge, "br0") {
        ip(&["-n", &bridge, "link", "add", "br0", "type", "bridge"])?;
    }
    ip(&[
        "-n",
        &bridge,
        "addr",
        "replace",
        &format!("{BRIDGE_ADDRESS}/24"),
        "dev",
        "br0",
    ])?;
    ip(&["-n", &bridge, "link", "set", "br0", "up"])?;
    for (part, address) in parts(layout) {
        plug(layout, &bridge, &part, &address)?;
    }
    Ok(())
}

/// Everybody with a cable, and the address at its end.
fn parts(layout: &Layout) -> Vec<(String, String)> {
    let mut parts = vec![
        ("control".to_owned(), API_ADDRESS.to_owned()),
        ("outside".to_owned(), OUTSIDE_ADDRESS.to_owned()),
    ];
    parts.extend(
        layout
            .nodes()
            .into_iter()
            .map(|node| (node.name.to_owned(), node.address)),
    );
    parts
}

/// The end of a cable comes to its namespace last, so that a cable that is there is whole.
fn plug(layout: &Layout, bridge: &str, part: &str, address: &str) -> Result<()> {
    let own = layout.netns(part);
    namespace(&own)?;
    if !has_device(&own, "eth0") {
        if has_device(bridge, part) {
            ip(&["-n", bridge, "link", "del", part])?;
        }
        ip(&[
            "-n", bridge, "link", "add", part, "type", "veth", "peer", "name", "eth0", "netns",
            &own,
        ])?;
    }
    ip(&["-n", bridge, "link", "set", part, "master", "br0", "up"])?;
    ip(&[
        "-n",
        &own,
        "addr",
        "replace",
        &format!("{address}/24"),
        "dev",
        "eth0",
    ])?;
    ip(&["-n", &own, "link", "set", "eth0", "up"])?;
    ip(&[
        "-n",
        &own,
        "route",
        "replace",
        "default",
        "via",
        BRIDGE_ADDRESS,
    ])
}

fn namespace(name: &str) -> Result<()> {
    if !netns_file(name).exists() {
        ip(&["netns", "add", name])?;
    }
    ip(&["-n", name, "link", "set", "lo", "up"])
}

fn has_device(netns: &str, device: &str) -> bool {
    let mut command = Command::new("ip");
    command.args(["-n", netns, "link", "show", "dev", device]);
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Gives the control plane a route to each node's pods, and returns the ranges.
pub(super) fn route_pods(layout: &Layout) -> Result<Vec<String>> {
    let control = layout.netns("control");
    let mut ranges = Vec::new();
    for node in layout.nodes() {
        let text = super::control::kubectl(
            layout,
            &[
                "get",
                "node",
                node.name,
                "--output=jsonpath={.spec.podCIDRs[*]}",
            ],
        )?;
        for range in text.split_whitespace().filter(|range| !range.contains(':')) {
            ip(&[
                "-n",
                &control,
                "route",
                "replace",
                range,
                "via",
                &node.address,
            ])?;
            ranges.push(range.to_owned());
        }
    }
    Ok(ranges)
}

pub(super) fn remove_routes(layout: &Layout, ranges: &[String]) -> Result<()> {
    let control = layout.netns("control");
    ranges
        .iter()
        .try_for_each(|range| ip(&["-n", &control, "route", "del", range]))
}

/// Removes the names; with the last process the namespaces go too.
pub(super) fn remove(layout: &Layout) -> Result<()> {
    let mut names: Vec<String> = parts(layout)
        .into_iter()
        .map(|(part, _)| layout.netns(&part))
        .collect();
    names.push(layout.netns("bridge"));
    for name in names.iter().filter(|name| netns_file(name).exists()) {
        ip(&["netns", "del", name])?;
    }
    Ok(())
}

fn ip(words: &[&str]) -> Result<()> {
    run(Command::new("ip").args(words))
}

/// A command in a namespace of the cluster.
pub(super) fn within(layout: &Layout, part: &str, program: &Path) -> Command {
    let mut command = Command::new("nsenter");
    command
        .arg(format!(
            "--net={}",
            netns_file(&layout.netns(part)).display()
        ))
        .arg("--")
        .arg(program);
    command
}

/// What a program prints in a namespace of the cluster; its failure is an error with what it said.
pub(super) fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "'{}' failed ({}): {}",
            typed(command),
            output.status,
            said.trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
