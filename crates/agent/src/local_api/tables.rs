//! `/v1/map`: the tables that the agent keeps in the kernel.

use std::fmt::Debug;

use axum::extract::{Path, State};
use axum::response::Json;
use datapath::abi::Plain;
use kernel::{Map, MapError, Maps};
use local_api::map::{BpfMap, BpfMapEntry, DesiredAction};
use serde_json::{Value, json};

use super::{Api, Refusal};

/// `GET /v1/map`: how many entries they have; entries of one are at its own path.
pub(super) async fn list(State(api): State<Api>) -> Json<Value> {
    let maps: Vec<Value> = api
        .view
        .get()
        .plan
        .iter()
        .map(|plan| json!({ "path": plan.table, "entries": plan.entries }))
        .collect();
    Json(json!({ "maps": maps }))
}

/// `GET /v1/map/{name}`: what the kernel has now.
pub(super) async fn get(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<BpfMap>, Refusal> {
    let (maps, table) = (api.maps.clone(), name.clone());
    let dumped = tokio::task::spawn_blocking(move || entries(&maps, &table)).await;
    let failed = |error: &dyn std::fmt::Display| Refusal::failed(format!("{name}: {error}"));
    let found = dumped.map_err(|error| failed(&error))?;
    let cache = found
        .map_err(|error| failed(&error))?
        .ok_or_else(|| unknown(&name))?;
    Ok(Json(BpfMap { path: name, cache }))
}

/// `GET /v1/map/{name}/events`: as of an agent that was not told to keep the events of any map.
pub(super) async fn events(Path(name): Path<String>) -> Refusal {
    if !NAMES.contains(&&*name) {
        return unknown(&name);
    }
    Refusal::not_found(format!(
        "no events of map {name:?}: the agent keeps no history of its tables"
    ))
}

fn unknown(name: &str) -> Refusal {
    let names = NAMES.join(", ");
    Refusal::not_found(format!("no map {name:?}; the agent keeps {names}"))
}

/// Entries as text, sorted. In an array those that are all zero say nothing.
fn shown<K: Plain + Debug, V: Plain + Debug + Default + PartialEq>(
    map: &Map<K, V>,
) -> Result<Vec<BpfMapEntry>, MapError> {
    let rows = map.dump()?.into_iter();
    let mut entries: Vec<BpfMapEntry> = rows
        .filter(|(_, value)| *value != V::default())
        .map(|(key, value)| BpfMapEntry {
            key: format!("{key:?}"),
            value: format!("{value:?}"),
            desired_action: Some(DesiredAction::Ok),
            last_error: String::new(),
        })
        .collect();
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(entries)
}

macro_rules! tables {
    ($($name:ident)+) => {
        const NAMES: &[&str] = &[$(stringify!($name)),+];

        /// Nothing for a name that none of them has.
        fn entries(maps: &Maps, name: &str) -> Result<Option<Vec<BpfMapEntry>>, MapError> {
            $(if name == stringify!($name) {
                return shown(&maps.$name).map(Some);
            })+
            Ok(None)
        }
    };
}

tables! {
    policies policy_peers policy_ports known_identities hops endpoints backends service_slots frontends
    masquerade_spare addresses cidrs generations
}
