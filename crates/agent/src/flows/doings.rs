//! What the agent did between two states, as events for those who observe it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use api::hubble::flow::{
    AgentEvent, AgentEventType, AgentEventUnknown, EndpointRegenNotification,
    EndpointUpdateNotification, IpCacheNotification, PolicyUpdateNotification, TimeNotification,
    agent_event::Notification,
};
use imbl::ordmap::DiffItem;
use ipnet::IpNet;
use model::endpoint::{EndpointId, EndpointRow, PodName, State};
use model::identity::Identity;
use model::ipcache::Location;
use model::policy::{ObjectKey, PolicyObject};

use crate::view::{Known, View};

/// Policies, and addresses, that one difference tells of.
const MOST: usize = 256;

/// That it began, now.
pub fn started() -> AgentEvent {
    let time = Some(std::time::SystemTime::now().into());
    event(
        AgentEventType::AgentStarted,
        Notification::AgentStart(TimeNotification { time }),
    )
}

/// Endpoints that came and went, or have another policy in force; policies and addresses that came, changed and went. What
/// only changed its numbers is no event.
///
/// Addresses are compared from the first complete state on: those that are there when the agent starts are no news, and
/// there may be ten thousand of them, more than the ring of flows has room for. For the same reason one difference tells of
/// [`MOST`] policies and [`MOST`] addresses, and how many there were beside.
pub fn between(
    old: &View,
    new: &View,
    pod_at: impl Fn(IpAddr) -> Option<PodName>,
) -> Vec<AgentEvent> {
    let mut events = endpoint_events(old, new);
    if old.revision != new.revision {
        let (before, now) = (objects(old), objects(new));
        let gone = before.iter().filter(|(key, _)| !now.contains_key(*key));
        let is_new = |(key, object): &(&&ObjectKey, &&Arc<PolicyObject>)| {
            before.get(*key).is_none_or(|old| !Arc::ptr_eq(old, object))
        };
        let updated = now.iter().filter(is_new);
        let gone = gone.map(|(_, object)| (AgentEventType::PolicyDeleted, object));
        let updated = updated.map(|(_, object)| (AgentEventType::PolicyUpdated, object));
        most(
            &mut events,
            "policies",
            gone.chain(updated),
            |(kind, object)| policy(kind, object, new),
        );
    }
    if old.waiting_for.is_empty() {
        // States share what they have in common, so this looks at little more than what changed.
        let changed = old.addresses.diff(&new.addresses).filter(|of| match of {
            DiffItem::Update { old, new } => meaning(old.1) != meaning(new.1),
            DiffItem::Add(..) | DiffItem::Remove(..) => true,
        });
        most(&mut events, "addresses", changed, |item| {
            address(&item, old, new, &pod_at)
        });
    }
    events
}

/// Adds an event of each, up to [`MOST`], and one that counts the others.
fn most<T>(
    events: &mut Vec<AgentEvent>,
    what: &str,
    mut of: impl Iterator<Item = T>,
    tell: impl Fn(T) -> AgentEvent,
) {
    events.extend(of.by_ref().take(MOST).map(tell));
    let others = of.count();
    if others > 0 {
        let notification = AgentEventUnknown {
            r#type: what.to_owned(),
            notification: format!("{others} more {what} changed at once"),
        };
        events.push(event(
            AgentEventType::AgentEventUnknown,
            Notification::Unknown(notification),
        ));
    }
}

fn endpoint_events(old: &View, new: &View) -> Vec<AgentEvent> {
    let (before, now) = (endpoints(old), endpoints(new));
    let gone = before.iter().filter(|(id, _)| !now.contains_key(*id));
    let came = now.iter().filter(|(id, _)| !before.contains_key(*id));
    let gone = gone.map(|(_, row)| endpoint(AgentEventType::EndpointDeleted, row));
    let came = came.map(|(_, row)| endpoint(AgentEventType::EndpointCreated, row));
    let built = now.values().filter_map(|row| {
        let before = before.get(&row.id).and_then(|row| build(old, row));
        let now = build(new, row)?;
        (before.as_ref() != Some(&now)).then(|| regenerated(row, now))
    });
    gone.chain(came).chain(built).collect()
}

/// How far an endpoint's policy got.
#[derive(PartialEq, Eq)]
enum Build {
    /// The policy of this revision is in force for this identity.
    InForce(u64, Option<Identity>),
    /// It is not, for this reason.
    Failed(String),
}

/// Nothing while it is not known yet.
fn build(view: &View, row: &EndpointRow) -> Option<Build> {
    if let Some(reason) = view.refused.get(&row.id) {
        return Some(Build::Failed(reason.clone()));
    }
    match row.state() {
        State::Ready => Some(Build::InForce(row.policy_revision, row.identity)),
        State::NotReady => Some(Build::Failed(view.error.clone().unwrap_or_default())),
        _ => None,
    }
}

fn endpoints(view: &View) -> BTreeMap<EndpointId, &EndpointRow> {
    view.endpoints.iter().map(|row| (row.id, row)).collect()
}

fn objects(view: &View) -> BTreeMap<&ObjectKey, &Arc<PolicyObject>> {
    let objects = view.policy.objects();
    objects.map(|object| (&object.key, object)).collect()
}

fn event(kind: AgentEventType, notification: Notification) -> AgentEvent {
    AgentEvent {
        r#type: kind.into(),
        notification: Some(notification),
    }
}

fn endpoint(kind: AgentEventType, row: &EndpointRow) -> AgentEvent {
    let pod = row.pod.as_ref();
    event(
        kind,
        Notification::EndpointUpdate(EndpointUpdateNotification {
            id: row.id.0.into(),
            labels: row.labels.to_texts(),
            error: String::new(),
            pod_name: pod.map(|pod| pod.name.to_string()).unwrap_or_default(),
            namespace: pod.map(|pod| pod.namespace.to_string()).unwrap_or_default(),
        }),
    )
}

fn regenerated(row: &EndpointRow, build: Build) -> AgentEvent {
    let (kind, error) = match build {
        Build::InForce(..) => (AgentEventType::EndpointRegenerateSuccess, String::new()),
        Build::Failed(reason) => (AgentEventType::EndpointRegenerateFailure, reason),
    };
    event(
        kind,
        Notification::EndpointRegenerate(EndpointRegenNotification {
            id: row.id.0.into(),
            labels: row.labels.to_texts(),
            error,
        }),
    )
}

/// What an address is to others. By which numbers the kernel knows it is nobody's business.
fn meaning(of: &Known) -> (Identity, Location, u8) {
    (of.row.identity, of.row.location, of.row.encryption_key)
}

/// The node behind which a pod of another node is.
fn host(of: &Known) -> String {
    match of.row.location {
        Location::RemoteEndpoint { node } => node.to_string(),
        _ => String::new(),
    }
}

fn address(
    item: &DiffItem<'_, '_, IpNet, Known>,
    old: &View,
    new: &View,
    pod_at: impl Fn(IpAddr) -> Option<PodName>,
) -> AgentEvent {
    use AgentEventType::{IpcacheDeleted, IpcacheUpserted};
    let (kind, net, known, before, view) = match *item {
        DiffItem::Add(net, known) => (IpcacheUpserted, net, known, None, new),
        DiffItem::Update {
            old,
            new: (net, known),
        } => (IpcacheUpserted, net, known, Some(old.1), new),
        DiffItem::Remove(net, known) => (IpcacheDeleted, net, known, None, old),
    };
    let pod = match known.row.location {
        Location::LocalEndpoint { id, .. } => view.endpoint(id).and_then(|row| row.pod.clone()),
        Location::RemoteEndpoint { .. } => pod_at(net.addr()),
        _ => None,
    };
    let (namespace, pod_name) = pod
        .map(|pod| (pod.namespace.to_string(), pod.name.to_string()))
        .unwrap_or_default();
    event(
        kind,
        Notification::IpcacheUpdate(IpCacheNotification {
            cidr: net.to_string(),
            identity: known.row.identity.0,
            old_identity: before.map(|of| of.row.identity.0.into()),
            host_ip: host(known),
            old_host_ip: before.map(host).unwrap_or_default(),
            encrypt_key: known.row.encryption_key.into(),
            namespace,
            pod_name,
        }),
    )
}

/// With the labels of its rules, by which upstream names them; each of its parts counts as a rule.
fn policy(kind: AgentEventType, object: &PolicyObject, now: &View) -> AgentEvent {
    let sections = object.sections.iter();
    let labels: BTreeSet<String> = sections
        .flat_map(|section| section.labels.iter())
        .map(ToString::to_string)
        .collect();
    event(
        kind,
        Notification::PolicyUpdate(PolicyUpdateNotification {
            labels: labels.into_iter().collect(),
            revision: now.revision,
            rule_count: i64::try_from(object.sections.len()).unwrap_or(i64::MAX),
        }),
    )
}

#[cfg(test)]
mod tests;
