//! `hubble status`: whether the server is well, and how full its ring is.

use std::{fmt::Write as _, io::Write};

use api::hubble::observer::{
    ServerStatusRequest, ServerStatusResponse, observer_client::ObserverClient,
};
use clap::{Args, ValueEnum};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{ConnectArgs, call_error, config::Settings, connect::Target};

/// Name under which the observer reports its health.
const HEALTH_SERVICE: &str = "hubble.server.Observer";

/// Arguments of `status`.
#[derive(Args, Debug)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// Output format
    #[arg(short, long, default_value = "compact")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Compact,
    Dict,
    #[value(alias = "jsonpb")]
    Json,
    Table,
}

/// Runs `status`.
pub(super) async fn run(
    args: StatusArgs,
    file: &Settings,
    out: &mut (impl Write + Send),
) -> anyhow::Result<()> {
    let target = Target::new(args.connect, file)?;
    let connection = target.connect().await?;
    let mut request = tonic::Request::new(HealthCheckRequest {
        service: HEALTH_SERVICE.into(),
    });
    request.set_timeout(target.request_timeout);
    let health = HealthClient::new(connection.clone())
        .check(request)
        .await
        .map_err(|status| call_error("failed getting status", &status))?
        .into_inner();
    let health = ServingStatus::try_from(health.status).unwrap_or(ServingStatus::Unknown);
    let mut request = tonic::Request::new(ServerStatusRequest {});
    request.set_timeout(target.request_timeout);
    let status = ObserverClient::new(connection)
        .server_status(request)
        .await
        .map_err(|status| call_error("failed to get hubble server status", &status))?
        .into_inner();
    if args.output == Output::Json {
        writeln!(out, "{}", serde_json::to_string(&status)?)?;
    } else {
        let health = match health {
            ServingStatus::Serving => "Ok".to_owned(),
            other => format!("Unhealthy ({})", other.as_str_name()),
        };
        write!(out, "{}", text(target.server(), &health, &status))?;
    }
    if health != ServingStatus::Serving {
        anyhow::bail!("not healthy");
    }
    Ok(())
}

/// What people read.
#[allow(clippy::cast_precision_loss, reason = "shown with two decimals")]
fn text(server: &str, health: &str, status: &ServerStatusResponse) -> String {
    let mut text = format!("Healthcheck (via {server}): {health}\n");
    let percent = match status.max_flows {
        0 => 0.0,
        max => status.num_flows as f64 / max as f64 * 100.0,
    };
    let _ = writeln!(
        text,
        "Current/Max Flows: {}/{} ({percent:.2}%)",
        grouped(status.num_flows),
        grouped(status.max_flows)
    );
    let rate = if status.flows_rate > 0.0 {
        format!("{:.2}", status.flows_rate)
    } else {
        "N/A".into()
    };
    let _ = writeln!(text, "Flows/s: {rate}");
    if let (Some(connected), Some(unavailable)) =
        (&status.num_connected_nodes, &status.num_unavailable_nodes)
    {
        let total = connected.value + unavailable.value;
        let _ = writeln!(text, "Connected Nodes: {}/{total}", connected.value);
        if unavailable.value > 0 {
            let _ = writeln!(
                text,
                "Unavailable Nodes: {}\n  - {}",
                unavailable.value,
                status.unavailable_nodes.join("\n  - ")
            );
        }
    }
    text
}

/// Thousands set apart by commas.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
