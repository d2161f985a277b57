//! `hubble watch peers`: the nodes that serve flows, and their changes.

use std::io::Write;

use api::hubble::peer::{
    ChangeNotification, ChangeNotificationType, NotifyRequest, peer_client::PeerClient,
};
use clap::{Args, Subcommand};

use super::{ConnectArgs, call_error, config::Settings, connect::Target};
use crate::output::visible;

/// Arguments of `watch`.
#[derive(Args, Debug)]
pub(super) struct WatchArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Peers of a server
    #[command(visible_alias = "peer")]
    Peers {
        #[command(flatten)]
        connect: ConnectArgs,
    },
}

/// Runs `watch`.
pub(super) async fn run(
    args: WatchArgs,
    file: &Settings,
    out: &mut (impl Write + Send),
) -> anyhow::Result<()> {
    let What::Peers { connect } = args.what;
    let mut client = PeerClient::new(Target::new(connect, file)?.connect().await?);
    let mut peers = client
        .notify(NotifyRequest {})
        .await
        .map_err(|status| call_error("failed to watch peers", &status))?
        .into_inner();
    loop {
        match peers.message().await {
            Ok(Some(change)) => {
                writeln!(out, "{}", visible(&line(&change)))?;
                out.flush()?;
            }
            Ok(None) => return Ok(()),
            Err(status) => return Err(call_error("failed to watch peers", &status)),
        }
    }
}

fn line(change: &ChangeNotification) -> String {
    let kind = ChangeNotificationType::try_from(change.r#type)
        .map_or("UNKNOWN", |kind| kind.as_str_name());
    let tls = match &change.tls {
        Some(tls) => format!(" (TLS.ServerName: {})", tls.server_name),
        None => String::new(),
    };
    format!("{kind:<12} {} {}{tls}", change.address, change.name)
}

#[cfg(test)]
mod tests;
