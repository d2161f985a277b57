//! `/v1/endpoint`: what the plugin asks for, and what there is.

use std::net::IpAddr;

use axum::extract::{Path, State};
use axum::response::Json;
use local_api::endpoint as rest;
use model::endpoint::{EndpointId, EndpointRow, LifeCycle, Mac, PodName, State as Life};
use model::node::IpPair;
use model::policy::{DefaultVerdict, Direction, SubjectId};
use tokio::sync::oneshot;

use super::ask::{Body, MaybeBody};
use super::{Api, Refusal};
use crate::engine::Command;
use crate::view::View;

/// `GET /v1/endpoint`: all, or those that have the labels of the body.
pub(super) async fn list(
    State(api): State<Api>,
    MaybeBody(labels): MaybeBody<Vec<String>>,
) -> Result<Json<Vec<rest::Endpoint>>, Refusal> {
    let Some(wanted) = labels else {
        return Ok(Json(all(&api)));
    };
    let has = |of: &rest::Endpoint| {
        let labels = of.status.as_ref().and_then(|status| status.labels.as_ref());
        labels.is_some_and(|has| {
            wanted
                .iter()
                .all(|label| has.security_relevant.contains(label))
        })
    };
    let found: Vec<_> = all(&api).into_iter().filter(has).collect();
    if found.is_empty() {
        let labels = wanted.join(",");
        return Err(Refusal::not_found(format!(
            "no endpoint with the labels {labels}"
        )));
    }
    Ok(Json(found))
}

pub(super) fn all(api: &Api) -> Vec<rest::Endpoint> {
    let view = api.view.get();
    let rows = view.endpoints.iter();
    rows.map(|row| endpoint(api, &view, row)).collect()
}

/// `GET /v1/endpoint/{id}`.
pub(super) async fn get(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<rest::Endpoint>, Refusal> {
    let view = api.view.get();
    Ok(Json(endpoint(&api, &view, find(&view, &id)?)))
}

/// `GET /v1/endpoint/{id}/healthz`.
pub(super) async fn health(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<rest::EndpointHealth>, Refusal> {
    Ok(Json(health_of(find(&api.view.get(), &id)?)))
}

fn health_of(row: &EndpointRow) -> rest::EndpointHealth {
    let state = if row.state() == Life::Ready {
        rest::EndpointHealthStatus::Ok
    } else {
        rest::EndpointHealthStatus::Pending
    };
    rest::EndpointHealth {
        overall_health: Some(state),
        bpf: Some(state),
        policy: Some(state),
        connected: true,
    }
}

/// `GET /v1/endpoint/{id}/labels`.
pub(super) async fn labels(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<rest::LabelConfiguration>, Refusal> {
    let view = api.view.get();
    let row = find(&view, &id)?;
    let status = rest::LabelConfigurationStatus {
        security_relevant: row.labels.to_texts(),
        ..Default::default()
    };
    Ok(Json(rest::LabelConfiguration {
        status: Some(status),
        ..Default::default()
    }))
}

/// `DELETE /v1/endpoint/{id}`.
pub(super) async fn delete(State(api): State<Api>, Path(id): Path<String>) -> Result<(), Refusal> {
    let id = find(&api.view.get(), &id)?.id;
    remove(&api, id).await
}

/// `DELETE /v1/endpoint`: all endpoints of a container, or of one interface of it.
pub(super) async fn delete_batch(
    State(api): State<Api>,
    Body(request): Body<rest::EndpointBatchDeleteRequest>,
) -> Result<(), Refusal> {
    if request.container_id.is_empty() {
        return Err(Refusal::bad("container-id: which container must be said"));
    }
    match delete_attachments(&api, &request).await? {
        0 => Err(Refusal::not_found(format!(
            "no endpoint of container {}",
            request.container_id
        ))),
        _ => Ok(()),
    }
}

/// Takes down what the request names; says how many endpoints that were.
pub async fn delete_attachments(
    api: &Api,
    request: &rest::EndpointBatchDeleteRequest,
) -> Result<usize, Refusal> {
    let of = |row: &&EndpointRow| {
        let interface = &request.container_interface_name;
        *row.container_id == *request.container_id
            && (interface.is_empty() || *row.container_interface == **interface)
    };
    let ids: Vec<EndpointId> = api
        .view
        .get()
        .endpoints
        .iter()
        .filter(of)
        .map(|row| row.id)
        .collect();
    for id in &ids {
        remove(api, *id).await?;
    }
    Ok(ids.len())
}

async fn remove(api: &Api, id: EndpointId) -> Result<(), Refusal> {
    let (answer, result) = oneshot::channel();
    let stopped = || Refusal::unavailable("the agent is stopping");
    api.engine
        .send(Command::Delete(id, answer))
        .await
        .map_err(|_| stopped())?;
    match result.await.map_err(|_| stopped())? {
        Ok(row) => {
            api.addresses.release_all(&row);
            Ok(())
        }
        Err(crate::engine::Error::Unknown(_)) => Ok(()),
        Err(error) => Err(Refusal::failed(error.to_string())),
    }
}

/// Forms of an endpoint's id whose value is any text. No endpoint of ours has the last three.
const FORMS: [&str; 5] = [
    "cni-attachment-id",
    "container-id",
    "container-name",
    "docker-endpoint",
    "cilium-global",
];

/// An endpoint by any of the forms of its id.
pub(super) fn find<'a>(view: &'a View, id: &str) -> Result<&'a EndpointRow, Refusal> {
    let (kind, value) = id.split_once(':').unwrap_or(("cilium-local", id));
    let is = |row: &&EndpointRow| match kind {
        "cilium-local" => value.parse() == Ok(row.id.0),
        "cni-attachment-id" => match value.split_once(':') {
            Some((container, interface)) => {
                *row.container_id == *container && *row.container_interface == *interface
            }
            None => *row.container_id == *value,
        },
        "container-id" => *row.container_id == *value,
        "pod-name" | "cep-name" => row.pod.as_ref().is_some_and(|pod| pod.to_string() == value),
        "ipv4" | "ipv6" => value
            .parse::<IpAddr>()
            .is_ok_and(|address| row.ips.iter().any(|own| own == address)),
        _ => false,
    };
    let understood = match kind {
        "cilium-local" => value.parse::<u16>().is_ok(),
        "ipv4" => value.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => value.parse::<std::net::Ipv6Addr>().is_ok(),
        "pod-name" | "cep-name" => value.contains('/'),
        other => FORMS.contains(&other),
    };
    if !understood {
        return Err(Refusal::bad(format!(
            "id: {id:?} is not a number, nor one of the known forms"
        )));
    }
    view.endpoints
        .iter()
        .find(is)
        .ok_or_else(|| Refusal::not_found(format!("no endpoint {id}")))
}

pub(super) fn row_of(request: &rest::EndpointChangeRequest) -> Result<EndpointRow, Refusal> {
    let mac = |field: &str, text: &str| {
        text.parse::<Mac>()
            .map_err(|error| Refusal::bad(format!("{field}: {error}")))
    };
    if request.container_id.is_empty() {
        return Err(Refusal::bad("container-id: which container must be said"));
    }
    let id = u16::try_from(request.id)
        .map_err(|_| Refusal::bad(format!("id: {} is not between 0 and 65535", request.id)))?;
    let netns_cookie = match request.netns_cookie.as_str() {
        "" => 0,
        text => text
            .parse()
            .map_err(|_| Refusal::bad(format!("netns-cookie: {text:?} is not a number")))?,
    };
    let ips = addresses_of(request)?;
    let ifindex = u32::try_from(request.interface_index)
        .ok()
        .filter(|index| *index > 0);
    let named = !request.k8s_namespace.is_empty() && !request.k8s_pod_name.is_empty();
    Ok(EndpointRow {
        id: EndpointId(id),
        pod: named.then(|| PodName {
            namespace: request.k8s_namespace.as_str().into(),
            name: request.k8s_pod_name.as_str().into(),
        }),
        pod_uid: None,
        container_id: request.container_id.as_str().into(),
        container_interface: request.container_interface_name.as_str().into(),
        netns: request.container_netns_path.as_str().into(),
        netns_cookie,
        ips,
        mac: mac("mac", &request.mac)?,
        host_mac: mac("host-mac", &request.host_mac)?,
        ifname: request.interface_name.as_str().into(),
        ifindex: ifindex
            .ok_or_else(|| Refusal::bad("interface-index: the host interface must be named"))?,
        labels: model::labels::LabelSet::empty(),
        identity: None,
        named_ports: Vec::new(),
        service_account: None,
        skip_masquerade: model::endpoint::SkipMasquerade::default(),
        policy_revision: 0,
        life: LifeCycle::created(),
    })
}

fn addresses_of(request: &rest::EndpointChangeRequest) -> Result<IpPair, Refusal> {
    let pair = request.addressing.clone().unwrap_or_default();
    let mut ips = IpPair::default();
    let bad = |field: &str, text: &str| {
        Refusal::bad(format!(
            "addressing.{field}: {text:?} is not such an address"
        ))
    };
    if !pair.ipv4.is_empty() {
        ips.v4 = Some(pair.ipv4.parse().map_err(|_| bad("ipv4", &pair.ipv4))?);
    }
    if !pair.ipv6.is_empty() {
        ips.v6 = Some(pair.ipv6.parse().map_err(|_| bad("ipv6", &pair.ipv6))?);
    }
    if ips.is_empty() {
        return Err(Refusal::bad("addressing: an endpoint needs an address"));
    }
    Ok(ips)
}

#[allow(clippy::too_many_lines, reason = "one answer, field by field")]
pub(super) fn endpoint(api: &Api, view: &View, row: &EndpointRow) -> rest::Endpoint {
    let pod = row.pod.as_ref();
    let text = |address: Option<IpAddr>| address.map(|a| a.to_string()).unwrap_or_default();
    let pool = |address: Option<IpAddr>| {
        let pool = address.and_then(|address| api.addresses.pool_of(address));
        pool.map(|pool| pool.to_string()).unwrap_or_default()
    };
    // Nobody attached the health endpoint, and so nobody may collect it.
    let attachment = (!row.ends_with_agent())
        .then(|| format!("{}:{}", row.container_id, row.container_interface));
    let identifiers = rest::EndpointIdentifiers {
        cni_attachment_id: attachment.unwrap_or_default(),
        container_id: row.container_id.to_string(),
        pod_name: pod.map(ToString::to_string).unwrap_or_default(),
        k8s_pod_name: pod.map(|pod| pod.name.to_string()).unwrap_or_default(),
        k8s_namespace: pod.map(|pod| pod.namespace.to_string()).unwrap_or_default(),
        ..Default::default()
    };
    let networking = rest::EndpointNetworking {
        addressing: vec![local_api::ipam::AddressPair {
            ipv4: text(row.ips.v4.map(IpAddr::V4)),
            ipv4_pool_name: pool(row.ips.v4.map(IpAddr::V4)),
            ipv6: text(row.ips.v6.map(IpAddr::V6)),
            ipv6_pool_name: pool(row.ips.v6.map(IpAddr::V6)),
            ..Default::default()
        }],
        host_mac: row.host_mac.to_string(),
        mac: row.mac.to_string(),
        interface_name: row.ifname.to_string(),
        interface_index: row.ifindex.into(),
        container_interface_name: row.container_interface.to_string(),
        ..Default::default()
    };
    let identity = row.identity.map(|id| local_api::identity::Identity {
        id: id.0.into(),
        labels: row.labels.to_texts(),
        ..Default::default()
    });
    let policy = local_api::policy::EndpointPolicy {
        policy_revision: row.policy_revision as i64,
        id: row.identity.map(|id| id.0.into()).unwrap_or_default(),
        policy_enabled: Some(enforcement(view, row.id)),
        ..Default::default()
    };
    let ports = row.named_ports.iter().map(|port| local_api::policy::Port {
        protocol: port.protocol.to_string(),
        port: port.port,
        name: port.name.to_string(),
    });
    let status = rest::EndpointStatus {
        external_identifiers: Some(identifiers),
        identity,
        labels: Some(rest::LabelConfigurationStatus {
            security_relevant: row.labels.to_texts(),
            ..Default::default()
        }),
        networking: Some(networking),
        policy: Some(local_api::policy::EndpointPolicyStatus {
            spec: Some(policy.clone()),
            realized: Some(policy),
            ..Default::default()
        }),
        state: Some(state(row.state())),
        realized: Some(rest::EndpointConfigurationSpec::default()),
        health: Some(health_of(row)),
        named_ports: ports.collect(),
        ..Default::default()
    };
    rest::Endpoint {
        id: row.id.0.into(),
        spec: Some(rest::EndpointConfigurationSpec::default()),
        status: Some(status),
    }
}

pub(super) fn state(of: Life) -> rest::EndpointState {
    match of {
        Life::WaitingForIdentity => rest::EndpointState::WaitingForIdentity,
        Life::NotReady => rest::EndpointState::NotReady,
        Life::WaitingToRegenerate => rest::EndpointState::WaitingToRegenerate,
        Life::Regenerating => rest::EndpointState::Regenerating,
        Life::Restoring => rest::EndpointState::Restoring,
        Life::Ready => rest::EndpointState::Ready,
        Life::Disconnecting => rest::EndpointState::Disconnecting,
        Life::Disconnected => rest::EndpointState::Disconnected,
    }
}

fn enforcement(view: &View, id: EndpointId) -> local_api::policy::Enforcement {
    use local_api::policy::Enforcement;
    let enforced = |direction| {
        let key = view.policy.policy_of(SubjectId(id.0.into()), direction);
        key.is_some_and(|key| key.default != DefaultVerdict::Allow)
    };
    match (enforced(Direction::Ingress), enforced(Direction::Egress)) {
        (true, true) => Enforcement::Both,
        (true, false) => Enforcement::Ingress,
        (false, true) => Enforcement::Egress,
        (false, false) => Enforcement::None,
    }
}
