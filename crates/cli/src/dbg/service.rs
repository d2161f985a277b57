//! `service`: frontends and their backends, as the agent has them.

use std::collections::BTreeMap;
use std::ffi::OsString;

use local_api::service::{BackendAddress, FrontendScope, Service, ServiceSpec};

use super::absent;
use super::context::{Context, Outcome};
use super::endpoint::word;
use crate::output::{OutputArgs, Table};

#[derive(clap::Subcommand, Debug)]
pub(super) enum ServiceCommand {
    /// All frontends
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// The frontends of one service
    Get {
        /// Number of the service
        id: i64,
        #[command(flatten)]
        output: OutputArgs,
    },
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

pub(super) fn run(context: &mut Context<'_>, command: &ServiceCommand) -> anyhow::Result<Outcome> {
    match command {
        ServiceCommand::List { output } => {
            let answer = context.get::<Vec<Service>>("/v1/service")?;
            context.table(output.output.as_ref(), &answer.raw, || table(&answer.typed))
        }
        ServiceCommand::Get { id, output } => {
            let mut found = context.get::<Vec<Service>>("/v1/service")?.typed;
            found.retain(|service| realized(service).is_some_and(|spec| spec.id == *id));
            anyhow::ensure!(
                !found.is_empty(),
                "there is no service {id}; `service list` shows all"
            );
            context.table(
                output.output.as_ref(),
                &serde_json::to_value(&found)?,
                || table(&found),
            )
        }
        ServiceCommand::Other(words) => Err(absent::refuse("service", words)),
    }
}

/// What is in force of a service.
pub(crate) fn realized(service: &Service) -> Option<&ServiceSpec> {
    let status = service
        .status
        .as_ref()
        .and_then(|status| status.realized.as_ref());
    status.or(service.spec.as_ref())
}

/// `address:port`, with brackets where the address has colons.
pub(crate) fn socket(ip: &str, port: u16) -> String {
    if ip.contains(':') {
        format!("[{ip}]:{port}")
    } else {
        format!("{ip}:{port}")
    }
}

fn frontend(spec: &ServiceSpec) -> String {
    let address = spec.frontend_address.clone().unwrap_or_default();
    let inside = if address.scope == Some(FrontendScope::Internal) {
        "/i"
    } else {
        ""
    };
    format!(
        "{}/{}{inside}",
        socket(&address.ip, address.port),
        address.protocol.to_uppercase()
    )
}

fn backend(number: usize, of: &BackendAddress) -> String {
    let protocol = of.protocol.to_uppercase();
    format!(
        "{} => {}/{protocol} ({})",
        number + 1,
        socket(&of.ip, of.port),
        word(of.state)
    )
}

fn table(services: &[Service]) -> Table {
    let mut table = Table::new(&["ID", "Frontend", "Service Type", "Backend"]);
    let sorted: BTreeMap<(i64, String), &ServiceSpec> = services
        .iter()
        .filter_map(realized)
        .map(|spec| ((spec.id, frontend(spec)), spec))
        .collect();
    for ((id, frontend), spec) in sorted {
        let kind = spec
            .flags
            .as_ref()
            .map(|flags| flags.kind.clone())
            .unwrap_or_default();
        let backends: Vec<String> = spec
            .backend_addresses
            .iter()
            .enumerate()
            .map(|(n, of)| backend(n, of))
            .collect();
        table.tall_row(
            vec![id.to_string(), frontend, kind, String::new()],
            3,
            &backends,
        );
    }
    table
}
