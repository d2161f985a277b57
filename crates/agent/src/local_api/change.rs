//! What clients may ask to change while the agent runs: nothing that is in force comes from them, so a request that asks for
//! what is there already succeeds, and any other is refused with its field and the way to change it.

use axum::extract::{Path, State};
use axum::response::Json;
use local_api::config::{DaemonConfiguration, DaemonConfigurationSpec};
use local_api::endpoint as rest;
use local_api::ipam::AddressPair;
use model::endpoint::EndpointRow;
use serde_json::Value;
use std::collections::BTreeMap;

use super::ask::Body;
use super::endpoint::find;
use super::{Api, Refusal, status};

/// Fields of a change that say how it is to be done, or what nobody keeps.
const NOT_KEPT: [&str; 4] = [
    "state",
    "sync-build-endpoint",
    "disable-legacy-identifiers",
    "datapath-map-id",
];

/// `PATCH /v1/config`.
pub(super) async fn config(
    State(api): State<Api>,
    Body(asked): Body<DaemonConfigurationSpec>,
) -> Result<Json<DaemonConfiguration>, Refusal> {
    let at_start = |field: &str, key: &str, value: &str| {
        Refusal::bad(format!(
            "{field}: cannot be changed while the agent runs; start it with {key}={value}"
        ))
    };
    if let Some(enforcement) = asked.policy_enforcement
        && enforcement != status::enforcement(&api)
    {
        let word = format!("{enforcement:?}").to_lowercase();
        return Err(at_start("policy-enforcement", "enable-policy", &word));
    }
    let options: BTreeMap<&str, &str> = api
        .config
        .effective
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    for (name, value) in &asked.options {
        match options.get(name.as_str()) {
            Some(now) if now == value => {}
            Some(_) => return Err(at_start(&format!("options.{name}"), name, value)),
            None => return Err(unknown_option(name)),
        }
    }
    Ok(status::config(State(api)).await)
}

fn unknown_option(name: &str) -> Refusal {
    Refusal::bad(format!("options.{name}: there is no such option"))
}

/// `PATCH /v1/endpoint/{id}`.
pub(super) async fn endpoint(
    State(api): State<Api>,
    Path(id): Path<String>,
    Body(asked): Body<rest::EndpointChangeRequest>,
) -> Result<(), Refusal> {
    let view = api.view.get();
    let now = fields(&of_row(find(&view, &id)?));
    for (field, value) in fields(&asked) {
        if !NOT_KEPT.contains(&field.as_str()) && now.get(&field) != Some(&value) {
            return Err(Refusal::bad(format!(
                "{field}: cannot be changed, it is what the endpoint was made with; make it anew"
            )));
        }
    }
    Ok(())
}

/// The fields that are set.
fn fields(of: &rest::EndpointChangeRequest) -> serde_json::Map<String, Value> {
    match serde_json::to_value(of) {
        Ok(Value::Object(fields)) => fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .collect(),
        _ => serde_json::Map::new(),
    }
}

/// An endpoint as the request that would make it.
fn of_row(row: &EndpointRow) -> rest::EndpointChangeRequest {
    let pod = row.pod.clone();
    let text = |address: Option<String>| address.unwrap_or_default();
    rest::EndpointChangeRequest {
        id: row.id.0.into(),
        container_id: row.container_id.to_string(),
        container_netns_path: row.netns.to_string(),
        container_interface_name: row.container_interface.to_string(),
        interface_name: row.ifname.to_string(),
        interface_index: row.ifindex.into(),
        mac: row.mac.to_string(),
        host_mac: row.host_mac.to_string(),
        addressing: Some(AddressPair {
            ipv4: text(row.ips.v4.map(|of| of.to_string())),
            ipv6: text(row.ips.v6.map(|of| of.to_string())),
            ..AddressPair::default()
        }),
        k8s_pod_name: text(pod.as_ref().map(|pod| pod.name.to_string())),
        k8s_namespace: text(pod.map(|pod| pod.namespace.to_string())),
        k8s_uid: text(row.pod_uid.as_ref().map(ToString::to_string)),
        netns_cookie: row.netns_cookie.to_string(),
        labels: row.labels.to_texts(),
        ..rest::EndpointChangeRequest::default()
    }
}

/// What upstream's clients know as options of an endpoint, as it holds for all endpoints here.
fn options(api: &Api) -> BTreeMap<String, String> {
    let word = |on: bool| if on { "Enabled" } else { "Disabled" }.to_owned();
    let (flows, audit) = (api.flows.is_some(), api.config.policy.audit);
    [
        ("ConntrackAccounting", true),
        ("DropNotification", flows),
        ("PolicyVerdictNotification", flows),
        ("TraceNotification", flows),
        ("PolicyAuditMode", audit),
    ]
    .into_iter()
    .map(|(name, on)| (name.to_owned(), word(on)))
    .collect()
}

/// `GET /v1/endpoint/{id}/config`.
pub(super) async fn endpoint_config(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<rest::EndpointConfigurationStatus>, Refusal> {
    find(&api.view.get(), &id)?;
    Ok(Json(rest::EndpointConfigurationStatus {
        realized: Some(rest::EndpointConfigurationSpec::default()),
        immutable: options(&api),
        error: String::new(),
    }))
}

/// `PATCH /v1/endpoint/{id}/config`.
pub(super) async fn set_endpoint_config(
    State(api): State<Api>,
    Path(id): Path<String>,
    Body(asked): Body<rest::EndpointConfigurationSpec>,
) -> Result<(), Refusal> {
    find(&api.view.get(), &id)?;
    let now = options(&api);
    for (name, value) in &asked.options {
        match now.get(name) {
            Some(now) if now == value => {}
            Some(now) => {
                return Err(Refusal::bad(format!(
                    "options.{name}: is {now} for all endpoints and cannot be changed for one"
                )));
            }
            None => return Err(unknown_option(name)),
        }
    }
    match asked.label_configuration {
        Some(of) => refuse_labels("label-configuration.user", &of),
        None => Ok(()),
    }
}

/// `PATCH /v1/endpoint/{id}/labels`.
pub(super) async fn endpoint_labels(
    State(api): State<Api>,
    Path(id): Path<String>,
    Body(asked): Body<rest::LabelConfigurationSpec>,
) -> Result<(), Refusal> {
    find(&api.view.get(), &id)?;
    refuse_labels("user", &asked)
}

fn refuse_labels(field: &str, asked: &rest::LabelConfigurationSpec) -> Result<(), Refusal> {
    if asked.user.is_empty() {
        return Ok(());
    }
    Err(Refusal::bad(format!(
        "{field}: an endpoint has the labels of its pod and of its namespace; label those"
    )))
}
