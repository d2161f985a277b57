//! `axoneme why A B`: policy with its proof, service, route, and what was last seen, in sentences.
//!
//! The local agent is asked. The other node's half is unknown unless its flow server is named with `--server`.

mod facts;
mod party;
mod proof;
mod seen;
mod story;

use std::io::Write;
use std::path::PathBuf;

use crate::dbg::context::Outcome;
use crate::hubble::connect::ConnectArgs;
use crate::output::{OutputArgs, Paint};

pub(crate) use facts::Facts;
pub(crate) use party::Port;
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
    #[arg(short = 'H', long = "host", value_name = "SOCKET")]
    host: Option<String>,
    /// Where the eBPF file system is mounted
    #[arg(long, value_name = "DIRECTORY", default_value = "/sys/fs/bpf")]
    bpf_root: PathBuf,
    #[command(flatten)]
    peer: ConnectArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Asks the local agent and tells what it found. Fails (exit code 1) when it is denied.
pub(crate) fn run(args: &WhyArgs, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let client = crate::dbg::client(args.host.as_deref());
    let facts = Facts::read(&client)?;
    let question = party::Question::read(&facts, &args.from, &args.to, args.protocol)?;
    let seen = seen::Seen::look(&args.bpf_root, &args.peer, &question);
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

#[cfg(test)]
mod tests;
