//! The control plane: etcd, API server, controller manager and scheduler, and the clients that talk to them.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use super::arguments::{NodeCidrs, Stage};
use super::daemon;
use super::layout::{API_PORT, Layout};
use super::network::{OUTSIDE, output, within};
use super::steps::{Wait, wait_until};

#[cfg(test)]
mod tests;

/// Group and namespace of the control plane.
pub(super) const PART: &str = "control";

/// Starts the store and the API server.
pub(super) fn start_api(layout: &Layout) -> Result<()> {
    start(layout, "etcd", &etcd_flags(layout))?;
    start(layout, "kube-apiserver", &api_flags(layout))
}

/// Name of Axoneme's own etcd among the programs.
pub(super) const STORE: &str = "axoneme-etcd";

/// Where agents and operator find it.
pub(super) fn store_url(layout: &Layout) -> Result<String> {
    let address: IpAddr = layout.families.api().parse()?;
    Ok(format!("http://{}", SocketAddr::new(address, 12379)))
}

/// Starts the etcd of Axoneme, which the nodes reach.
pub(super) fn start_store(layout: &Layout) -> Result<()> {
    let url = store_url(layout)?;
    let data = layout.run.join(STORE);
    let mut flags = vec![
        format!("--data-dir={}", data.display()),
        format!("--listen-client-urls={url}"),
        format!("--advertise-client-urls={url}"),
    ];
    let own = [
        "--name=store",
        "--listen-peer-urls=http://127.0.0.1:12380",
        "--initial-advertise-peer-urls=http://127.0.0.1:12380",
        "--initial-cluster=store=http://127.0.0.1:12380",
        "--unsafe-no-fsync",
    ];
    flags.extend(own.map(str::to_owned));
    start(layout, STORE, &flags)
}

/// Starts a web server outside of the cluster, for those who test how the world is reached.
pub(super) fn start_outside(layout: &Layout) -> Result<()> {
    let flags = ["netexec", "--http-port=80", "--udp-port=8081"];
    start_in(layout, OUTSIDE, "agnhost", &flags.map(str::to_owned))
}

/// Starts those who act on what the API holds.
pub(super) fn start_controllers(layout: &Layout, node_cidrs: NodeCidrs) -> Result<()> {
    start(
        layout,
        "kube-controller-manager",
        &controller_flags(layout, node_cidrs),
    )?;
    let kubeconfig = format!("--kubeconfig={}", layout.kubeconfig("scheduler").display());
    let flags = [
        &kubeconfig,
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--profiling=false",
    ];
    start(layout, "kube-scheduler", &flags.map(str::to_owned))
}

fn start(layout: &Layout, name: &str, flags: &[String]) -> Result<()> {
    start_in(layout, PART, name, flags)
}

/// A program goes through our own stage, which joins a part's groups before it becomes the program.
fn start_in(layout: &Layout, part: &str, name: &str, flags: &[String]) -> Result<()> {
    let us = std::env::current_exe()?;
    let program = layout.program(name);
    let mut command: Vec<OsString> = vec![
        us.into(),
        "cluster".into(),
        "--name".into(),
        layout.name.clone().into(),
    ];
    command.extend([Stage::Join.word().into(), part.into(), program.into()]);
    command.extend(flags.iter().map(OsString::from));
    let words: Vec<&OsStr> = command.iter().map(OsString::as_os_str).collect();
    daemon::start(layout, name, &words)
}

fn etcd_flags(layout: &Layout) -> Vec<String> {
    let mut flags = vec![format!("--data-dir={}", layout.run.join("etcd").display())];
    let own = [
        "--name=control",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--initial-advertise-peer-urls=http://127.0.0.1:2380",
        "--initial-cluster=control=http://127.0.0.1:2380",
        // What the cluster holds need not survive the machine.
        "--unsafe-no-fsync",
        "--logger=zap",
    ];
    flags.extend(own.map(str::to_owned));
    flags
}

fn api_flags(layout: &Layout) -> Vec<String> {
    let keys = layout.keys();
    let file = |flag: &str, name: &str| format!("--{flag}={}", keys.join(name).display());
    let mut flags = vec![
        file("client-ca-file", "ca.crt"),
        file("tls-cert-file", "apiserver.crt"),
        file("tls-private-key-file", "apiserver.key"),
        file("kubelet-certificate-authority", "ca.crt"),
        file("kubelet-client-certificate", "admin.crt"),
        file("kubelet-client-key", "admin.key"),
        file("service-account-key-file", "accounts.pub"),
        file("service-account-signing-key-file", "accounts.key"),
        file("requestheader-client-ca-file", "front-proxy-ca.crt"),
        file("proxy-client-cert-file", "front-proxy.crt"),
        file("proxy-client-key-file", "front-proxy.key"),
        format!("--secure-port={API_PORT}"),
        format!("--advertise-address={}", layout.families.api()),
        format!("--service-cluster-ip-range={}", layout.families.services()),
    ];
    let own = [
        "--etcd-servers=http://127.0.0.1:2379",
        "--bind-address=::",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        // The control plane has no way to service addresses.
        "--enable-aggregator-routing=true",
        "--allow-privileged=true",
        "--profiling=false",
    ];
    flags.extend(own.map(str::to_owned));
    flags
}

fn controller_flags(layout: &Layout, node_cidrs: NodeCidrs) -> Vec<String> {
    let keys = layout.keys();
    let file = |flag: &str, name: &str| format!("--{flag}={}", keys.join(name).display());
    let mut flags = vec![
        file("kubeconfig", "controllers.kubeconfig"),
        file("service-account-private-key-file", "accounts.key"),
        file("root-ca-file", "ca.crt"),
        file("cluster-signing-cert-file", "ca.crt"),
        file("cluster-signing-key-file", "ca.key"),
        format!("--service-cluster-ip-range={}", layout.families.services()),
        "--bind-address=127.0.0.1".to_owned(),
        "--leader-elect=false".to_owned(),
        "--use-service-account-credentials=true".to_owned(),
        "--profiling=false".to_owned(),
    ];
    if node_cidrs == NodeCidrs::Allocated {
        flags.push("--allocate-node-cidrs=true".to_owned());
        flags.push(format!("--cluster-cidr={}", layout.families.pods()));
        flags.extend(
            layout
                .families
                .node_masks()
                .iter()
                .map(|flag| (*flag).to_owned()),
        );
    }
    flags
}

/// Waits until the API answers that it is ready; says why, if one of both ends.
pub(super) fn wait_for_api(layout: &Layout) -> Result<()> {
    wait_until(Duration::from_mins(2), || {
        for name in ["etcd", "kube-apiserver"] {
            if daemon::running(layout, name).is_none() {
                let log = daemon::tail(&layout.logs().join(format!("{name}.log")), 8);
                bail!("{name} ended:\n{log}");
            }
        }
        // Its own namespace's sockets tell whether it is worth the while to start a client.
        if !listens(layout) {
            return Ok(Wait::For("nobody listens at the API's port".to_owned()));
        }
        Ok(match kubectl(layout, &["get", "--raw=/readyz"]) {
            Ok(_) => Wait::Done,
            Err(error) => Wait::For(format!("the API is not ready: {error:#}")),
        })
    })
}

fn listens(layout: &Layout) -> bool {
    let Some(record) = daemon::running(layout, "kube-apiserver") else {
        return false;
    };
    ["tcp", "tcp6"].iter().any(|table| {
        let text =
            fs::read_to_string(format!("/proc/{}/net/{table}", record.pid)).unwrap_or_default();
        has_listener(&text, API_PORT)
    })
}

/// Whether a table of sockets (proc(5), /proc/net/tcp) has one that listens (state 0A) at a port.
fn has_listener(table: &str, port: u16) -> bool {
    let end = format!(":{port:04X}");
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(1).is_some_and(|local| local.ends_with(&end)) && fields.get(3) == Some(&"0A")
    })
}

/// A client of the API in the control plane's namespace, as the administrator.
pub(super) fn client(layout: &Layout, program: &str) -> Command {
    let mut command = within(layout, PART, &layout.program(program));
    command
        .env("KUBECONFIG", layout.kubeconfig("admin"))
        .env("PATH", daemon::path(layout));
    command
}

/// What kubectl prints.
pub(super) fn kubectl(layout: &Layout, words: &[&str]) -> Result<String> {
    output(client(layout, "kubectl").args(words))
}

/// Refuses to go on when there is no API to talk to.
pub(super) fn ensure_runs(layout: &Layout) -> Result<()> {
    if daemon::running(layout, "kube-apiserver").is_none() {
        bail!(
            "no cluster '{}' runs; './x cluster up' starts it",
            layout.name
        );
    }
    Ok(())
}

/// Becomes a client: exit code and terminal are its own.
pub(super) fn become_client(layout: &Layout, program: &str, words: &[String]) -> Result<()> {
    Err(client(layout, program).args(words).exec().into())
}
