//! Policies come and go, and nothing is tried before every agent has in force what is there now.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::Value;

use super::lab::Lab;
use super::policies::{KINDS, MARK};
use crate::cluster::each;
use crate::cluster::pod::{Pod, list, number, text};

const AGAIN: Duration = Duration::from_millis(250);
/// An agent that is so late is broken.
const LATE: Duration = Duration::from_mins(2);

/// Collection of a kind of policy, and the object's own path.
fn collection(lab: &Lab, kind: &str) -> String {
    let known = KINDS.iter().find(|(name, _, _)| *name == kind);
    let (_, path, namespaced) = known.unwrap_or(&KINDS[0]);
    if !namespaced {
        return format!("/{path}");
    }
    let (group, plural) = path.rsplit_once('/').unwrap_or(("", path));
    format!("/{group}/namespaces/{}/{plural}", lab.namespace)
}

fn name_of(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// How an agent calls a policy in its list.
fn key(object: &Value) -> String {
    let namespace = text(object, "/metadata/namespace");
    format!("{} {namespace}/{}", text(object, "/kind"), name_of(object))
}

/// Removes every policy that is marked as ours, those of an interrupted run too; gives their keys.
pub(super) async fn remove_all(lab: &Lab) -> anyhow::Result<Vec<String>> {
    let mut gone = Vec::new();
    for (kind, _, namespaced) in KINDS {
        let collection = collection(lab, kind);
        let path = format!(
            "{collection}?labelSelector={}%3D{}",
            MARK.0.replace('/', "%2F"),
            MARK.1
        );
        let found = match lab.cluster.client.raw_list(&path).await {
            Err(error) if error.is_not_found() => continue,
            found => found?,
        };
        // Groups are of the whole cluster, and other namespaces have their own.
        let ours =
            |of: &&Value| namespaced || name_of(of).starts_with(&format!("{}-", lab.namespace));
        for object in found.iter().filter(ours) {
            let path = format!("{collection}/{}", name_of(object));
            match lab.cluster.client.raw(Method::DELETE, &path, None).await {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => {}
            }
            if namespaced {
                gone.push(format!("{kind} {}/{}", lab.namespace, name_of(object)));
            }
        }
    }
    Ok(gone)
}

/// Creates policies; gives the keys of those that agents list.
pub(super) async fn create(lab: &Lab, policies: &[Value]) -> anyhow::Result<Vec<String>> {
    let mut keys = Vec::new();
    for policy in policies {
        let kind = text(policy, "/kind");
        let collection = collection(lab, kind);
        let group = text(policy, "/metadata/namespace").is_empty();
        let before = if group {
            revisions(lab).await?
        } else {
            Vec::new()
        };
        lab.cluster
            .client
            .raw(Method::POST, &collection, Some(policy))
            .await?;
        if group {
            wait_beyond(lab, &before).await?;
        } else {
            keys.push(key(policy));
        }
    }
    Ok(keys)
}

/// The revision of each agent's policies.
async fn revisions(lab: &Lab) -> anyhow::Result<Vec<i64>> {
    let ask = |agent| {
        lab.cluster
            .agent_json(agent, &["policy", "get", "-o", "json"])
    };
    let answers = each(&lab.agents, ask).await.into_iter();
    answers
        .map(|answer| answer.map(|policy| number(&policy, "/revision")))
        .collect()
}

/// Groups of prefixes are in no list of an agent, but one that it takes in raises its revision.
async fn wait_beyond(lab: &Lab, before: &[i64]) -> anyhow::Result<()> {
    let deadline = Instant::now() + LATE;
    loop {
        let now = revisions(lab).await?;
        if now.iter().zip(before).all(|(now, before)| now > before) {
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "no agent takes in a group of prefixes"
        );
        tokio::time::sleep(AGAIN).await;
    }
}

/// Waits until all agents have `there` in force at the endpoints of the lab, and nothing of `gone`.
pub(super) async fn wait(lab: &Lab, there: &[String], gone: &[String]) -> anyhow::Result<()> {
    let deadline = Instant::now() + LATE;
    loop {
        let lacks = each(&lab.agents, |agent| lacks(lab, agent, there, gone)).await;
        let Some(lack) = lacks.into_iter().flatten().next() else {
            return Ok(());
        };
        anyhow::ensure!(
            Instant::now() < deadline,
            "policies are not in force after {LATE:?}: {lack}"
        );
        tokio::time::sleep(AGAIN).await;
    }
}

/// What an agent has not done yet.
async fn lacks(lab: &Lab, agent: &Pod, there: &[String], gone: &[String]) -> Option<String> {
    let policy = lab
        .cluster
        .agent_json(agent, &["policy", "get", "-o", "json"]);
    let endpoints = lab
        .cluster
        .agent_json(agent, &["endpoint", "list", "-o", "json"]);
    let lack = match tokio::try_join!(policy, endpoints) {
        Ok((policy, endpoints)) => lack(&lab.namespace, &policy, &endpoints, there, gone),
        Err(error) => Some(format!("{error:#}")),
    };
    lack.map(|lack| format!("agent on {}: {lack}", agent.node))
}

/// What is missing, by an agent's own words: its list of policies with its revision, and its endpoints with theirs.
fn lack(
    namespace: &str,
    policy: &Value,
    endpoints: &Value,
    there: &[String],
    gone: &[String],
) -> Option<String> {
    let known = text(policy, "/policy");
    // With its closing quote, or the name of one would be found in that of another.
    let has = |key: &String| known.contains(&format!("{key}\""));
    if let Some(missing) = there.iter().find(|key| !has(key)) {
        return Some(format!("{missing} is not known"));
    }
    if let Some(left) = gone.iter().find(|key| has(key) && !there.contains(key)) {
        return Some(format!("{left} is still there"));
    }
    let revision = number(policy, "/revision");
    let mut own = list(endpoints, "").iter().filter(|of| is_of(of, namespace));
    let late = own.find(|of| {
        number(of, "/status/policy/realized/policy-revision") < revision
            || text(of, "/status/state") != "ready"
    })?;
    let realized = number(late, "/status/policy/realized/policy-revision");
    let state = text(late, "/status/state");
    Some(format!(
        "{} is {state}, at revision {realized} of {revision}",
        text(late, "/status/external-identifiers/pod-name")
    ))
}

fn is_of(endpoint: &Value, namespace: &str) -> bool {
    let pod = text(endpoint, "/status/external-identifiers/pod-name");
    pod.split_once('/').is_some_and(|(of, _)| of == namespace)
}

#[cfg(test)]
mod tests;
