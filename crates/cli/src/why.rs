//! `axoneme why A B`: policy with its proof, service, route, and what was last seen, in sentences.
//!
//! The local agent is asked; names that it does not know are asked of the API server where there is one. The other
//! node's half is asked of its flow server, which wants certificates of `--tls-…`, or is told as unknown.

mod facts;
mod party;
mod peer;
mod proof;
mod seen;
mod story;

use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use local_api::client::encode;

use crate::cluster::access::AccessArgs;
use crate::dbg::context::Outcome;
use crate::output::{OutputArgs, Paint};

pub(crate) use facts::Facts;
pub(crate) use party::Port;
use peer::Servers;
pub(crate) use proof::explain;

/// Arguments of the command.
#[derive(clap::Args, Debug)]
pub(crate) struct WhyArgs {
    /// Who calls: a pod as NAMESPACE/NAME, or an address
    from: String,
    /// Who is called: a pod or service as NAMESPACE/NAME[:PORT], or an address, with a port as ADDRESS:PORT
    to: String,
    /// tcp, udp, sctp, icmp or icmpv6
    #[arg(short, long, default_value = "tcp")]
    protocol: party::Protocol,
    /// Socket of the agent [default: $AXONEME_SOCK, $CILIUM_SOCK or /var/run/cilium/cilium.sock]
    #[arg(short = 'H', long = "host", alias = "socket", value_name = "SOCKET")]
    host: Option<String>,
    /// Where the eBPF file system is mounted
    #[arg(long, value_name = "DIRECTORY", default_value = "/sys/fs/bpf")]
    bpf_root: PathBuf,
    // It knows the addresses of other nodes' pods.
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    servers: Servers,
    #[command(flatten)]
    output: OutputArgs,
}

/// Asks the local agent and tells what it found. Fails (exit code 1) when it is denied.
pub(crate) fn run(args: &WhyArgs, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let client = crate::dbg::client(args.host.as_deref());
    let mut facts = Facts::read(&client)?;
    for text in [&args.from, &args.to] {
        if let party::Typed::Name(name, port) = party::typed(text)?
            && facts.pod_addresses(&name).is_empty()
            && party::service(&facts, &name, port, args.protocol).is_err()
            && args.access.is_server_known()
        {
            let addresses = remote_pod(&args.access, &name)
                .with_context(|| format!("cannot ask the API server for {name}"))?;
            facts.remote_pods.insert(name, addresses);
        }
    }
    let question = party::Question::read(&facts, &args.from, &args.to, args.protocol)?;
    let seen = seen::Seen::look(&args.bpf_root, &args.servers, &question);
    let story = story::Story::tell(&client, &facts, &question, seen)?;
    match &args.output.output {
        Some(format) => format.write(out, &serde_json::to_value(&story)?)?,
        None => story.write(out, Paint::of_stdout())?,
    }
    Ok(if story.allowed {
        Outcome::Good
    } else {
        Outcome::Bad
    })
}

/// The addresses of a pod as the API server has them; none if there is no such pod.
fn remote_pod(access: &AccessArgs, name: &str) -> anyhow::Result<Vec<IpAddr>> {
    let (namespace, pod) = name.split_once('/').unwrap_or(("default", name));
    let path = format!(
        "/api/v1/namespaces/{}/pods/{}",
        encode(namespace),
        encode(pod)
    );
    let found = crate::program::block_on(async {
        let client = access.client().await?;
        match client.raw(http::Method::GET, &path, None).await {
            Err(error) if error.is_not_found() => Ok(serde_json::Value::Null),
            answer => Ok(answer?),
        }
    })?;
    let addresses = found
        .pointer("/status/podIPs")
        .and_then(serde_json::Value::as_array);
    let text = |of: &serde_json::Value| of.get("ip")?.as_str()?.parse().ok();
    Ok(addresses.into_iter().flatten().filter_map(text).collect())
}

#[cfg(test)]
mod tests;
