//! Everything else that is only read: nodes, identities, addresses, policies, services, tables.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Json, Response};
use ipnet::IpNet;
use local_api::identity as rest;
use local_api::node::{NodeAddressing, NodeAddressingElement, NodeElement};
use local_api::service as svc;
use model::identity::Identity;
use model::ipcache::{Location, Row};
use model::node::NodeRow;
use model::policy::{Peer, Subject};
use model::service::{BackendState, ClientScope, FrontendKind, Reach};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ask::{MaybeBody, Query};
use super::{Api, Refusal};
use crate::view::{Known, View};

fn element(address: Option<IpAddr>, ranges: &[String]) -> NodeAddressingElement {
    NodeAddressingElement {
        enabled: address.is_some(),
        ip: address.map(|a| a.to_string()).unwrap_or_default(),
        alloc_range: ranges.join(","),
        address_type: "InternalIP".to_owned(),
    }
}

fn only(address: IpAddr) -> NodeAddressingElement {
    NodeAddressingElement {
        enabled: true,
        ip: address.to_string(),
        ..NodeAddressingElement::default()
    }
}

fn node_element(row: &NodeRow) -> NodeElement {
    let v4: Vec<String> = row.pod_cidrs_v4.iter().map(ToString::to_string).collect();
    let v6: Vec<String> = row.pod_cidrs_v6.iter().map(ToString::to_string).collect();
    NodeElement {
        name: row.name.to_string(),
        primary_address: Some(NodeAddressing {
            ipv4: Some(element(row.ip.v4.map(IpAddr::V4), &v4)),
            ipv6: Some(element(row.ip.v6.map(IpAddr::V6), &v6)),
        }),
        health_endpoint_address: (!row.health.is_empty()).then(|| NodeAddressing {
            ipv4: row.health.v4.map(|v4| only(v4.into())),
            ipv6: row.health.v6.map(|v6| only(v6.into())),
        }),
        source: if row.locality == model::node::Locality::Local {
            "local"
        } else {
            "custom-resource"
        }
        .to_owned(),
        ..NodeElement::default()
    }
}

pub(super) fn node_elements(view: &View) -> Vec<NodeElement> {
    view.nodes.values().map(node_element).collect()
}

/// `GET /v1/cluster/nodes`.
pub(super) async fn nodes(State(api): State<Api>) -> Json<Value> {
    Json(
        json!({ "client-id": 0, "self": api.config.node, "nodes-added": node_elements(&api.view.get()) }),
    )
}

/// `GET /v1/node/ids`: this data plane knows nodes by address and gives them no numbers.
pub(super) async fn node_ids() -> Json<Vec<Value>> {
    Json(Vec::new())
}

/// A list, made item by item: all items of a large cluster at once would be many times the size of their text. `None` = it is empty.
fn list<T: Serialize>(items: impl Iterator<Item = T>) -> Result<Option<Response>, Refusal> {
    let mut text = Vec::new();
    for item in items {
        text.push(if text.is_empty() { b'[' } else { b',' });
        serde_json::to_writer(&mut text, &item)
            .map_err(|error| Refusal::failed(error.to_string()))?;
    }
    if text.is_empty() {
        return Ok(None);
    }
    text.push(b']');
    Ok(Some(
        ([(CONTENT_TYPE, "application/json")], text).into_response(),
    ))
}

fn empty_list() -> Response {
    Json(json!([])).into_response()
}

fn identity_of(view: &View, id: Identity) -> Option<rest::Identity> {
    let facts = view.policy.peer(Peer(id.0))?;
    Some(rest::Identity {
        id: id.0.into(),
        labels: facts.labels.to_texts(),
        ..rest::Identity::default()
    })
}

/// `GET /v1/identity`: all, or those with exactly the labels of the body.
pub(super) async fn identities(
    State(api): State<Api>,
    MaybeBody(labels): MaybeBody<Vec<String>>,
) -> Result<Response, Refusal> {
    let view = api.view.get();
    let wanted = labels.map(|mut labels| {
        labels.sort();
        labels
    });
    let all = view.policy.peers().map(|(peer, facts)| rest::Identity {
        id: peer.0.into(),
        labels: facts.labels.to_texts(),
        ..rest::Identity::default()
    });
    let found = all.filter(|of| wanted.as_ref().is_none_or(|wanted| of.labels == *wanted));
    match (list(found)?, &wanted) {
        (Some(found), _) => Ok(found),
        (None, None) => Ok(empty_list()),
        (None, Some(wanted)) => Err(Refusal::not_found(format!(
            "no identity with the labels {}",
            wanted.join(",")
        ))),
    }
}

/// `GET /v1/identity/{id}`.
pub(super) async fn identity(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<rest::Identity>, Refusal> {
    let number = id
        .parse()
        .map_err(|_| Refusal::bad(format!("id: {id:?} is not a number")))?;
    identity_of(&api.view.get(), Identity(number))
        .map(Json)
        .ok_or_else(|| Refusal::not_found(format!("no identity {id}")))
}

/// `GET /v1/identity/endpoints`.
pub(super) async fn identity_endpoints(
    State(api): State<Api>,
) -> Json<Vec<rest::IdentityEndpoints>> {
    let view = api.view.get();
    let mut counts: BTreeMap<Identity, i64> = BTreeMap::new();
    for id in view.endpoints.iter().filter_map(|row| row.identity) {
        *counts.entry(id).or_default() += 1;
    }
    let all = counts
        .into_iter()
        .map(|(id, count)| rest::IdentityEndpoints {
            identity: identity_of(&view, id),
            ref_count: count,
        });
    Json(all.collect())
}

#[derive(Deserialize, Default)]
pub(super) struct AddressQuery {
    #[serde(default)]
    cidr: String,
}

/// `GET /v1/ip`: all, or the address or prefix that is asked for.
pub(super) async fn addresses(
    State(api): State<Api>,
    Query(query): Query<AddressQuery>,
) -> Result<Response, Refusal> {
    let view = api.view.get();
    let wanted = match query.cidr.as_str() {
        "" => None,
        text => Some(prefix(text)?),
    };
    let host = |row: &Row| match row.location {
        Location::RemoteEndpoint { node } => node.to_string(),
        _ => String::new(),
    };
    let entries = view
        .addresses
        .iter()
        .filter(|(net, _)| wanted.is_none_or(|wanted| **net == wanted));
    let entries = entries.map(|(net, Known { row, .. })| rest::IpListEntry {
        cidr: net.to_string(),
        identity: row.identity.0.into(),
        host_ip: host(row),
        encrypt_key: row.encryption_key.into(),
        metadata: Some(metadata(&view, net.addr(), row)),
    });
    match (list(entries)?, wanted) {
        (Some(found), _) => Ok(found),
        (None, None) => Ok(empty_list()),
        (None, Some(wanted)) => Err(Refusal::not_found(format!("nothing is known of {wanted}"))),
    }
}

/// A prefix, or an address as a prefix of full length.
fn prefix(text: &str) -> Result<IpNet, Refusal> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse()
        .map(|net: IpNet| net.trunc())
        .or_else(|_| address())
        .map_err(|_| Refusal::bad(format!("cidr: {text:?} is neither a prefix nor an address")))
}

fn metadata(view: &View, address: IpAddr, row: &Row) -> rest::IpListEntryMetadata {
    let pod = view
        .endpoints
        .iter()
        .find(|of| of.ips.iter().any(|own| own == address))
        .and_then(|of| of.pod.clone());
    rest::IpListEntryMetadata {
        source: format!("{:?}", row.source).to_ascii_lowercase(),
        namespace: pod
            .as_ref()
            .map(|pod| pod.namespace.to_string())
            .unwrap_or_default(),
        name: pod.map(|pod| pod.name.to_string()).unwrap_or_default(),
    }
}

/// `GET /v1/policy`: the policies in force, and those that are refused with the reason.
pub(super) async fn policy(State(api): State<Api>) -> Json<local_api::policy::Policy> {
    let view = api.view.get();
    let objects = view.policy.objects().map(|object| {
        let sections = object.sections.iter().map(|section| {
            let rules = section.rules.iter().map(|rule| {
                json!({ "path": &*rule.path, "direction": rule.direction.to_string(), "action": rule.action.to_string() })
            });
            json!({ "path": &*section.path, "description": &*section.description, "rules": rules.collect::<Vec<_>>() })
        });
        json!({ "policy": object.key.to_string(), "sections": sections.collect::<Vec<_>>(), "warnings": object.warnings })
    });
    let refused = view
        .faults
        .iter()
        .map(|(key, reason)| json!({ "policy": key.to_string(), "refused": reason }));
    let all: Vec<Value> = objects.chain(refused).collect();
    let text = serde_json::to_string_pretty(&all).unwrap_or_default();
    Json(local_api::policy::Policy {
        revision: view.revision as i64,
        policy: text,
    })
}

/// `GET /v1/policy/selectors`: the label selectors of peers, and whom they select.
pub(super) async fn selectors(
    State(api): State<Api>,
) -> Json<Vec<local_api::policy::SelectorIdentityMapping>> {
    let view = api.view.get();
    let all = view.policy.selectors().iter().map(|(_, selector, users)| {
        let selected = view
            .policy
            .peers()
            .filter(|(_, facts)| selector.matches(&facts.labels));
        local_api::policy::SelectorIdentityMapping {
            selector: selector.to_string(),
            users: users as i64,
            identities: selected.map(|(Peer(number), _)| number.into()).collect(),
            ..Default::default()
        }
    });
    Json(all.collect())
}

/// `GET /v1/policy/subject-selectors`: whom policies are about, and the endpoints of this node among them.
pub(super) async fn subject_selectors(
    State(api): State<Api>,
) -> Json<Vec<local_api::policy::SelectorIdentityMapping>> {
    let view = api.view.get();
    let mut users: BTreeMap<String, (&Subject, i64)> = BTreeMap::new();
    let sections = view.policy.objects().flat_map(|object| &object.sections);
    for section in sections {
        let (Subject::Endpoints(selector) | Subject::Nodes(selector)) = &section.subject;
        let entry = users.entry(selector.to_string());
        entry.or_insert((&section.subject, 0)).1 += 1;
    }
    let all = users.into_iter().map(|(selector, (subject, users))| {
        let selected = view
            .endpoints
            .iter()
            .filter(|row| subject.matches(&row.labels));
        let identities: BTreeSet<i64> = selected
            .filter_map(|row| row.identity)
            .map(|id| id.0.into())
            .collect();
        local_api::policy::SelectorIdentityMapping {
            selector,
            users,
            identities: identities.into_iter().collect(),
            ..Default::default()
        }
    });
    Json(all.collect())
}

/// `GET /v1/service`.
pub(super) async fn services(State(api): State<Api>) -> Json<Vec<svc::Service>> {
    let view = api.view.get();
    let mut all = Vec::new();
    for (key, (id, row)) in &view.services {
        let backends: Vec<svc::BackendAddress> = row
            .backends
            .iter()
            .map(|backend| svc::BackendAddress {
                ip: backend.address.address.to_string(),
                protocol: backend.address.protocol.to_string(),
                port: backend.address.port,
                state: Some(match backend.state {
                    BackendState::Active => svc::BackendState::Active,
                    BackendState::Terminating => svc::BackendState::Terminating,
                }),
                ..Default::default()
            })
            .collect();
        for frontend in &row.frontends {
            let spec = svc::ServiceSpec {
                id: (*id).into(),
                frontend_address: Some(svc::FrontendAddress {
                    ip: frontend.address.address.to_string(),
                    protocol: frontend.address.protocol.to_string(),
                    scope: Some(match frontend.address.scope {
                        ClientScope::Everybody => svc::FrontendScope::External,
                        ClientScope::Inside => svc::FrontendScope::Internal,
                    }),
                    port: frontend.address.port,
                }),
                backend_addresses: backends.clone(),
                flags: Some(svc::ServiceFlags {
                    kind: kind(frontend.kind).to_owned(),
                    traffic_policy: traffic_policy(key.reach).to_owned(),
                    ext_traffic_policy: match frontend.kind {
                        FrontendKind::ClusterIp => String::new(),
                        _ => traffic_policy(key.reach).to_owned(),
                    },
                    int_traffic_policy: match frontend.kind {
                        FrontendKind::ClusterIp => traffic_policy(key.reach).to_owned(),
                        _ => String::new(),
                    },
                    nat_policy: "None".to_owned(),
                    name: key.service.name.to_string(),
                    namespace: key.service.namespace.to_string(),
                    ..Default::default()
                }),
                ..Default::default()
            };
            all.push(svc::Service {
                spec: Some(spec.clone()),
                status: Some(svc::ServiceStatus {
                    realized: Some(spec),
                }),
            });
        }
    }
    Json(all)
}

fn traffic_policy(of: Reach) -> &'static str {
    match of {
        Reach::ThisNode => "Local",
        Reach::All => "Cluster",
    }
}

fn kind(of: FrontendKind) -> &'static str {
    match of {
        FrontendKind::ClusterIp => "ClusterIP",
        FrontendKind::NodePort => "NodePort",
        FrontendKind::ExternalIp => "ExternalIPs",
        FrontendKind::LoadBalancer => "LoadBalancer",
    }
}

/// `GET /v1/axoneme/reconcile`: what is left to do; nothing, when the kernel is as desired.
pub(super) async fn reconcile(State(api): State<Api>) -> Json<Value> {
    let view = api.view.get();
    let pending: usize = view.plan.iter().map(|plan| plan.write + plan.remove).sum();
    Json(json!({
        "settled": pending == 0 && view.is_ready(),
        "waiting-for": view.waiting_for,
        "error": view.error,
        "last-commit": view.last_commit,
        "tables": view.plan,
    }))
}

/// `GET /v1/axoneme/features`: what this kernel lacks, and what is lost by that.
pub(super) async fn features(State(api): State<Api>) -> Json<Vec<Value>> {
    let all = api.features.iter().map(
        |feature| json!({ "name": feature.name, "missing": feature.missing, "lost": feature.lost }),
    );
    Json(all.collect())
}

#[derive(Deserialize)]
pub(super) struct ExplainQuery {
    from: u32,
    to: u32,
    #[serde(default)]
    port: u16,
    #[serde(default)]
    protocol: String,
}

/// `GET /v1/axoneme/explain`: for two identities and a port, what every local endpoint's policy says.
pub(super) async fn explain(
    State(api): State<Api>,
    Query(query): Query<ExplainQuery>,
) -> Result<Json<Value>, Refusal> {
    crate::explain::explain(
        &api.view.get(),
        query.from,
        query.to,
        &query.protocol,
        query.port,
    )
    .map(Json)
    .map_err(Refusal::bad)
}
