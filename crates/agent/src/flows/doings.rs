//! What the agent did between two states, as events for those who observe it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::hubble::flow::{
    AgentEvent, AgentEventType, EndpointUpdateNotification, PolicyUpdateNotification,
    TimeNotification, agent_event::Notification,
};
use model::endpoint::{EndpointId, EndpointRow};
use model::policy::{ObjectKey, PolicyObject};

use crate::view::View;

/// That it began, now.
pub fn started() -> AgentEvent {
    let time = Some(std::time::SystemTime::now().into());
    event(
        AgentEventType::AgentStarted,
        Notification::AgentStart(TimeNotification { time }),
    )
}

/// Endpoints that came and went, and policies that came into force, changed and went. What only changed its numbers is no event.
pub fn between(old: &View, new: &View) -> Vec<AgentEvent> {
    let mut events = Vec::new();
    let (before, now) = (endpoints(old), endpoints(new));
    let gone = before.iter().filter(|(id, _)| !now.contains_key(*id));
    let came = now.iter().filter(|(id, _)| !before.contains_key(*id));
    events.extend(gone.map(|(_, row)| endpoint(AgentEventType::EndpointDeleted, row)));
    events.extend(came.map(|(_, row)| endpoint(AgentEventType::EndpointCreated, row)));
    if old.revision != new.revision {
        let (before, now) = (objects(old), objects(new));
        let gone = before.iter().filter(|(key, _)| !now.contains_key(*key));
        let is_new = |(key, object): &(&&ObjectKey, &&Arc<PolicyObject>)| {
            before.get(*key).is_none_or(|old| !Arc::ptr_eq(old, object))
        };
        events.extend(gone.map(|(_, object)| policy(AgentEventType::PolicyDeleted, object, new)));
        let updated = now.iter().filter(is_new);
        events
            .extend(updated.map(|(_, object)| policy(AgentEventType::PolicyUpdated, object, new)));
    }
    events
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
