//! The kubeconfig that reaches this server.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

/// A kubeconfig for `url`, with what must be trusted and presented. JSON, which every reader of YAML takes.
pub(crate) fn kubeconfig(url: &str, ca_pem: Option<&str>, token: Option<&str>) -> String {
    let mut cluster = json!({"server": url});
    if let Some(ca) = ca_pem {
        cluster["certificate-authority-data"] = json!(STANDARD.encode(ca));
    }
    let user = token.map_or_else(|| json!({}), |token| json!({"token": token}));
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "preferences": {}, "current-context": "axoneme",
        "clusters": [{"name": "axoneme", "cluster": cluster}],
        "users": [{"name": "axoneme", "user": user}],
        "contexts": [{"name": "axoneme", "context": {"cluster": "axoneme", "user": "axoneme", "namespace": "default"}}],
    });
    format!("{config:#}\n")
}
