//! `PUT /v1/endpoint/{id}`: a new endpoint, with the addresses that were given for it. Where none comes about they go back.

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Json;
use local_api::endpoint as rest;
use model::endpoint::{EndpointRow, SkipMasquerade};
use model::ipam::{IpamError, Token};
use tokio::sync::oneshot;

use super::ask::Body;
use super::endpoint::{endpoint, find, row_of};
use super::ipam::skips_masquerade;
use super::{Api, Refusal};
use crate::addresses::owner;
use crate::engine::Command;

/// How long a new endpoint waits for the agent's inputs.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers when the endpoint is in force, or with why it is not.
pub(super) async fn put(
    State(api): State<Api>,
    Body(request): Body<rest::EndpointChangeRequest>,
) -> Result<(StatusCode, Json<rest::Endpoint>), Refusal> {
    let mut asked = Asked {
        api: &api,
        request: &request,
        waits: true,
    };
    let prepared = prepare(&api, &request).await;
    asked.waits = false;
    // What is begun is ended, whether or not somebody still waits for it.
    let (answer, made) = oneshot::channel();
    let work = make(api.clone(), request.clone(), prepared?);
    api.tasks.spawn_short("new endpoint", async move {
        let _ = answer.send(work.await);
    });
    let row = made.await.map_err(|_| stopped())??;
    Ok((
        StatusCode::CREATED,
        Json(endpoint(&api, &api.view.get(), &row)),
    ))
}

/// A request that waits for its answer. If it is dropped meanwhile, the plugin has given up or was killed, and will not come again
/// with the same addresses.
struct Asked<'a> {
    api: &'a Api,
    request: &'a rest::EndpointChangeRequest,
    waits: bool,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.waits {
            return;
        }
        for given in given(self.request) {
            if let (Ok(address), Ok(token)) = (given.address.parse(), given.token.parse()) {
                self.api.addresses.give_up(address, Token(token));
            }
        }
    }
}

/// An address of the request.
struct Given<'a> {
    field: &'static str,
    address: &'a str,
    token: &'a str,
}

fn given(request: &rest::EndpointChangeRequest) -> impl Iterator<Item = Given<'_>> {
    let pair = request.addressing.iter();
    pair.flat_map(|pair| {
        [
            Given {
                field: "ipv4",
                address: &pair.ipv4,
                token: &pair.ipv4_expiration_uuid,
            },
            Given {
                field: "ipv6",
                address: &pair.ipv6,
                token: &pair.ipv6_expiration_uuid,
            },
        ]
    })
}

fn attachment(row: &EndpointRow) -> String {
    format!("{}:{}", row.container_id, row.container_interface)
}

/// The endpoint as it is to be: with its identity, which may have to be waited for.
async fn prepare(api: &Api, request: &rest::EndpointChangeRequest) -> Result<EndpointRow, Refusal> {
    let mut row = row_of(request)?;
    let attachment = attachment(&row);
    if find(&api.view.get(), &format!("cni-attachment-id:{attachment}")).is_ok() {
        return Err(Refusal::conflict(format!(
            "there is an endpoint of attachment {attachment} already"
        )));
    }
    until_complete(api).await?;
    if let Some(name) = row.pod.clone() {
        let waiting = |error: crate::identity::Error| Refusal::unavailable(error.to_string());
        let pod = api.identities.pod(&name).await.map_err(waiting)?;
        row.labels = api.identities.labels(&name, &pod).await.map_err(waiting)?;
        row.identity = Some(
            api.identities
                .identity(&row.labels)
                .await
                .map_err(waiting)?,
        );
        row.named_ports.clone_from(&pod.named_ports);
        row.service_account.clone_from(&pod.service_account);
        row.pod_uid = Some(pod.uid.clone());
    }
    Ok(row)
}

/// A pod that comes while the agent starts waits for the agent rather than fails.
async fn until_complete(api: &Api) -> Result<(), Refusal> {
    let mut view = api.view.clone();
    let complete = async { while !view.get().waiting_for.is_empty() && view.changed().await {} };
    let _ = tokio::time::timeout(PATIENCE, complete).await;
    match api.view.get().waiting_for.as_slice() {
        [] => Ok(()),
        waiting => Err(Refusal::unavailable(format!(
            "waiting for {}",
            waiting.join(", ")
        ))),
    }
}

fn stopped() -> Refusal {
    Refusal::unavailable("the agent is stopping")
}

/// Makes the endpoint. If that fails its addresses go back, unless it is there all the same.
async fn make(
    api: Api,
    request: rest::EndpointChangeRequest,
    mut row: EndpointRow,
) -> Result<EndpointRow, Refusal> {
    let taken = confirm(&api, &request, &owner(&row))?;
    let skips = |address: IpAddr| skips_masquerade(&api, address);
    row.skip_masquerade = SkipMasquerade {
        ipv4: row.ips.v4.is_some_and(|v4| skips(v4.into())),
        ipv6: row.ips.v6.is_some_and(|v6| skips(v6.into())),
    };
    let made = order(&api, &row).await;
    let id = format!("cni-attachment-id:{}", attachment(&row));
    if made.is_err() && find(&api.view.get(), &id).is_err() {
        give_back(&api, &taken);
    }
    made
}

/// They are this request's alone, whoever asked for them.
fn give_back(api: &Api, taken: &[IpAddr]) {
    for address in taken {
        if let Err(error) = api.addresses.release(*address, "") {
            tracing::warn!(%address, %error, "an address is not given back");
        }
    }
}

async fn order(api: &Api, row: &EndpointRow) -> Result<EndpointRow, Refusal> {
    let (answer, result) = oneshot::channel();
    api.engine
        .send(Command::Create(Box::new(row.clone()), answer))
        .await
        .map_err(|_| stopped())?;
    result
        .await
        .map_err(|_| stopped())?
        .map_err(|error| match error {
            crate::engine::Error::Waiting(_) => Refusal::unavailable(error.to_string()),
            error => Refusal::failed(error.to_string()),
        })
}

/// The addresses are used from now on, and do not go back by themselves. One that was not asked for is taken, if it is of
/// this node's ranges. All of them, or none.
fn confirm(
    api: &Api,
    request: &rest::EndpointChangeRequest,
    owner: &str,
) -> Result<Vec<IpAddr>, Refusal> {
    let mut taken: Vec<IpAddr> = Vec::new();
    for given in given(request) {
        let Ok(address) = given.address.parse::<IpAddr>() else {
            continue;
        };
        match take(api, &given, address, owner) {
            Ok(true) => taken.push(address),
            Ok(false) => {}
            Err(refusal) => {
                give_back(api, &taken);
                return Err(refusal);
            }
        }
    }
    Ok(taken)
}

/// Whether it is one of this node's, which was free or given for this endpoint.
fn take(api: &Api, given: &Given<'_>, address: IpAddr, owner: &str) -> Result<bool, Refusal> {
    let (field, token) = (given.field, given.token);
    let taken = if token.is_empty() {
        match api.addresses.allocate_at(address, owner) {
            Err(IpamError::NotUsable { .. }) => return Ok(false),
            taken => taken,
        }
    } else {
        let token = token.parse().map(Token).map_err(|_| {
            Refusal::bad(format!(
                "addressing.{field}-expiration-uuid: {token:?} is none of this agent's"
            ))
        })?;
        api.addresses.confirm(address, token)
    };
    taken
        .map(|()| true)
        .map_err(|error| Refusal::conflict(format!("addressing.{field}: {error}")))
}
