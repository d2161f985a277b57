//! The cluster's cables: a bridge in a namespace of its own, and one cable from it to the control plane, to each node, and to
//! somebody outside. In the machine's own namespace there is nothing but the names.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::thread::LinkNameSpaceType;

use super::families::{self, Family};
use super::layout::{Layout, netns_file};
use crate::process::{run, typed};

/// Makes what is missing.
pub(super) fn make(layout: &Layout) -> Result<()> {
    let bridge = layout.netns("bridge");
    namespace(&bridge)?;
    if !has_device(&bridge, "br0") {
        ip(&["-n", &bridge, "link", "add", "br0", "type", "bridge"])?;
    }
    for family in layout.families.all() {
        address(&bridge, "br0", *family, families::BRIDGE)?;
    }
    ip(&["-n", &bridge, "link", "set", "br0", "up"])?;
    for (part, number) in parts(layout) {
        plug(layout, &bridge, part, number)?;
    }
    Ok(())
}

/// Who is not of the cluster: clients and servers that its pods see as the world.
pub(super) const OUTSIDE: &str = "outside";

/// Everybody with a cable, and the number that ends the addresses there.
fn parts(layout: &Layout) -> Vec<(&'static str, u8)> {
    let mut parts = vec![("control", families::CONTROL), (OUTSIDE, families::OUTSIDE)];
    parts.extend(layout.nodes().iter().map(|node| (node.name, node.number)));
    parts
}

/// The end of a cable comes to its namespace last, so that a cable that is there is whole.
fn plug(layout: &Layout, bridge: &str, part: &str, number: u8) -> Result<()> {
    let own = layout.netns(part);
    namespace(&own)?;
    if !has_device(&own, "eth0") {
        if has_device(bridge, part) {
            ip(&["-n", bridge, "link", "del", part])?;
        }
        let ends = ["type", "veth", "peer", "name", "eth0", "netns", &own];
        ip(&[&["-n", bridge, "link", "add", part], &ends[..]].concat())?;
    }
    ip(&["-n", bridge, "link", "set", part, "master", "br0", "up"])?;
    ip(&["-n", &own, "link", "set", "eth0", "up"])?;
    for family in layout.families.all() {
        address(&own, "eth0", *family, number)?;
        if part == OUTSIDE {
            address(&own, "eth0", *family, families::OUTSIDE_OTHER)?;
        }
        let bridge = family.address(families::BRIDGE);
        ip(&["-n", &own, "route", "replace", "default", "via", &bridge])?;
    }
    Ok(())
}

/// Nobody else can have an address here, so that it need not be found out (RFC 4862, section 5.4).
fn address(netns: &str, device: &str, family: Family, number: u8) -> Result<()> {
    let address = format!("{}/{}", family.address(number), family.bits());
    let words = ["-n", netns, "addr", "replace", &address, "dev", device];
    match family {
        Family::V4 => ip(&words),
        Family::V6 => ip(&[&words[..], &["nodad"]].concat()),
    }
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
        let words = [
            "get",
            "node",
            node.name,
            "--output=jsonpath={.spec.podCIDRs[*]}",
        ];
        let text = super::control::kubectl(layout, &words)?;
        for (range, address) in text.split_whitespace().zip(&node.addresses) {
            ip(&["-n", &control, "route", "replace", range, "via", address])?;
            ranges.push(range.to_owned());
        }
    }
    Ok(ranges)
}

pub(super) fn remove_routes(layout: &Layout, ranges: &[String]) -> Result<()> {
    let control = layout.netns("control");
    let family = |range: &str| if range.contains(':') { "-6" } else { "-4" };
    ranges
        .iter()
        .try_for_each(|range| ip(&[family(range), "-n", &control, "route", "del", range]))
}

/// Removes the names; with the last process the namespaces go too.
pub(super) fn remove(layout: &Layout) -> Result<()> {
    let mut names: Vec<String> = parts(layout)
        .into_iter()
        .map(|(part, _)| layout.netns(part))
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

/// The body that an HTTP server answers with, asked from a namespace.
pub(super) fn get(netns: &str, address: &str, path: &str) -> Result<String> {
    let namespace = File::open(netns_file(netns)).with_context(|| netns.to_owned())?;
    let address: SocketAddr = address.parse().with_context(|| address.to_owned())?;
    // Only this thread moves, and it ends with the answer.
    let answer = std::thread::scope(|scope| {
        let asked = scope.spawn(|| -> Result<String> {
            let kind = LinkNameSpaceType::Network;
            rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(kind))?;
            let limit = Duration::from_secs(5);
            let mut stream = TcpStream::connect_timeout(&address, limit)?;
            stream.set_read_timeout(Some(limit))?;
            write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        });
        asked.join().expect("a question does not panic")
    })?;
    body(&answer).map(str::to_owned)
}

/// The body of a good answer.
fn body(answer: &str) -> Result<&str> {
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.split(' ').nth(1) == Some("200") => Ok(body),
        _ => bail!(
            "the answer is '{}'",
            answer.lines().next().unwrap_or_default()
        ),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_good_answer_has_a_body() {
        assert_eq!(
            body("HTTP/1.0 200 OK\r\nA: b\r\n\r\necho-1").unwrap(),
            "echo-1"
        );
        let error = body("HTTP/1.0 503 Service Unavailable\r\n\r\nno").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the answer is 'HTTP/1.0 503 Service Unavailable'"
        );
        assert!(body("").is_err());
    }
}
