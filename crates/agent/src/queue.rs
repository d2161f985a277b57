//! Deletions that the plugin left behind while the agent was away.

use std::path::Path;
use std::time::Duration;

use local_api::endpoint::EndpointBatchDeleteRequest;
use tokio_util::sync::CancellationToken;

use crate::local_api::Api;

const DIRECTORY: &str = "deleteQueue";
const EXTENSION: &str = "delete";
const EVERY: Duration = Duration::from_secs(5);

/// Carries them out, at the start and whenever there are new ones, until `stop`.
pub async fn replay(api: Api, stop: CancellationToken) {
    let directory = api.config.state_dir.join(DIRECTORY);
    loop {
        for (path, request) in waiting(&directory) {
            match crate::local_api::delete_attachments(&api, &request).await {
                Ok(count) => {
                    tracing::info!(
                        container = request.container_id,
                        endpoints = count,
                        "a deferred deletion is done"
                    );
                    let _ = std::fs::remove_file(path);
                }
                Err(error) => tracing::warn!(
                    container = request.container_id,
                    ?error,
                    "a deferred deletion is not done yet"
                ),
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

fn waiting(directory: &Path) -> Vec<(std::path::PathBuf, EndpointBatchDeleteRequest)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path
            .extension()
            .is_none_or(|extension| extension != EXTENSION)
        {
            continue;
        }
        match std::fs::read(&path)
            .map_err(|e| e.to_string())
            .and_then(|bytes| serde_json::from_slice(&bytes).map_err(|e| e.to_string()))
        {
            Ok(request) => all.push((path, request)),
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "a deferred deletion cannot be read");
            }
        }
    }
    all.sort_by(|a: &(std::path::PathBuf, _), b| a.0.cmp(&b.0));
    all
}
