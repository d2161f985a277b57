//! Flows for commands of other families: a few of the last ones, or those that come, from a node's flow server.

use api::hubble::flow::{Flow, FlowFilter};
use api::hubble::observer::get_flows_response::ResponseTypes;
use api::hubble::observer::{GetFlowsRequest, observer_client::ObserverClient};

use crate::hubble::connect::ConnectArgs;

/// What a server tells.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// A flow.
    Flow(Box<Flow>),
    /// So many were lost.
    Lost(u64),
}

/// Asks, and hands over what comes until the server ends or `each` fails.
pub(crate) async fn ask(
    server: ConnectArgs,
    request: GetFlowsRequest,
    mut each: impl FnMut(Told) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let connection = crate::hubble::connection(server).await?;
    let refused =
        |status: tonic::Status| anyhow::anyhow!("the flow server refused: {}", status.message());
    let mut flows = ObserverClient::new(connection)
        .get_flows(request)
        .await
        .map_err(refused)?
        .into_inner();
    while let Some(response) = flows.message().await.map_err(refused)? {
        match response.response_types {
            Some(ResponseTypes::Flow(flow)) => each(Told::Flow(Box::new(flow)))?,
            Some(ResponseTypes::LostEvents(lost)) => each(Told::Lost(lost.num_events_lost))?,
            _ => {}
        }
    }
    Ok(())
}

/// The last flows between two groups of addresses, in both directions.
pub(crate) fn between(from: &[String], to: &[String], number: u64) -> GetFlowsRequest {
    let filter = |source: &[String], destination: &[String]| FlowFilter {
        source_ip: source.to_vec(),
        destination_ip: destination.to_vec(),
        ..FlowFilter::default()
    };
    GetFlowsRequest {
        number,
        whitelist: vec![filter(from, to), filter(to, from)],
        ..GetFlowsRequest::default()
    }
}
