//! What an agent knows of endpoints where the operator puts them into slices.

use std::time::Duration;

use agent::inputs::{Announcements, Shared};
use axum::http::Method;
use reconcile::TaskGroup;
use serde_json::{Value, json};

use super::ENDPOINTS;
use super::stores::{Store, client, until};

const SLICES: &str = "/apis/cilium.io/v2alpha1/ciliumendpointslices";

fn addressing(number: u8) -> Value {
    json!({ "node": "172.30.0.99", "addressing": [{ "ipv4": format!("10.244.9.{number}") }] })
}

/// A slice of pods, each named by the last digit of its identity.
fn slice(ids: &[u8]) -> Value {
    let of = |id: &u8| json!({ "name": format!("pod{}", id % 10), "id": id, "networking": addressing(id % 10) });
    json!({ "apiVersion": "cilium.io/v2alpha1", "kind": "CiliumEndpointSlice", "metadata": { "name": "ces-a" },
        "namespace": "default", "endpoints": ids.iter().map(of).collect::<Vec<_>>() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_starts_before_there_are_slices_knows_all_endpoints_and_then_believes_slices_alone()
 {
    let store = Store::start(10, 13).await;
    for number in 1..=3 {
        let endpoint = json!({
            "apiVersion": "cilium.io/v2", "kind": "CiliumEndpoint",
            "metadata": { "name": format!("pod{number}"), "namespace": "default" },
            "status": { "identity": { "id": 70 + number }, "networking": addressing(number) },
        });
        store.send(Method::POST, ENDPOINTS, Some(&endpoint)).await;
    }
    let tasks = TaskGroup::new();
    let through = client(&store.url).await;
    let heard = Shared::objects(&through, &tasks, Announcements::Slices).endpoints;
    let known = || {
        let now = heard.snapshot();
        now.iter()
            .map(|(name, row)| (name.name.to_string(), row.identity.0))
            .collect::<Vec<_>>()
    };
    let wanted = |numbers: &[u32]| -> Vec<(String, u32)> {
        numbers
            .iter()
            .map(|id| (format!("pod{}", id % 10), *id))
            .collect()
    };
    let until_known = async |ids: &[u32]| {
        let ids = wanted(ids);
        until(&format!("{ids:?}"), || async {
            (known() == ids).then_some(())
        })
        .await;
    };
    heard.until_initialized().await;
    assert_eq!(known(), wanted(&[71, 72, 73]));
    store
        .send(Method::POST, SLICES, Some(&slice(&[81, 72])))
        .await;
    until_known(&[81, 72, 73]).await;
    let path = format!("{SLICES}/ces-a");
    let mut all = slice(&[81, 72, 73]);
    all["metadata"] = store.get(&path).await["metadata"].clone();
    store.send(Method::PUT, &path, Some(&all)).await;
    // As soon as slices have all, an endpoint's own object is nothing to agents.
    until("nobody follows CiliumEndpoints", || async {
        (!tasks.running().contains(&"endpoints before slices")).then_some(())
    })
    .await;
    store
        .send(Method::DELETE, &format!("{ENDPOINTS}/pod3"), None)
        .await;
    let mut fewer = slice(&[81, 73]);
    fewer["metadata"] = store.get(&path).await["metadata"].clone();
    store.send(Method::PUT, &path, Some(&fewer)).await;
    until_known(&[81, 73]).await;
    store.assert_that_requests_failed();
    assert!(!tasks.token().is_cancelled());
    tasks.shutdown(Duration::from_secs(2)).await;
}
