//! Deletions that the plugin left behind while the agent was away.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use local_api::endpoint::EndpointBatchDeleteRequest;
use tokio_util::sync::CancellationToken;

use crate::local_api::Api;

const DIRECTORY: &str = "deleteQueue";
const EXTENSION: &str = "delete";
const LOCK: &str = "lockfile";
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);
const EVERY: Duration = Duration::from_secs(5);
/// Whoever writes a file for so long was killed.
const UNFINISHED: Duration = Duration::from_mins(1);

/// Keeps the plugin from adding while it is held: taken before the agent listens and let go after, so that a plugin which
/// found nobody either gets its file replayed or finds the agent at its second try.
pub async fn lock(state_dir: &Path) -> std::io::Result<File> {
    let directory = state_dir.join(DIRECTORY);
    std::fs::create_dir_all(&directory)?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(directory.join(LOCK))?;
    let end = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < end => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Carries out those that plugins add because a running agent failed, until `stop`.
pub async fn replay(api: Api, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        replay_once(&api).await;
    }
}

/// Carries out those that wait now.
pub async fn replay_once(api: &Api) {
    let directory = api.config.state_dir.join(DIRECTORY);
    drop_unfinished(&directory);
    for (path, request) in waiting(&directory) {
        match crate::local_api::delete_attachments(api, &request).await {
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
}

/// Removes what plugins that were killed left half-written; their calls failed, and come again.
fn drop_unfinished(directory: &Path) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let unfinished = name.to_string_lossy().contains(".delete.");
        let age = entry.metadata().and_then(|of| of.modified());
        let age = age.ok().and_then(|written| written.elapsed().ok());
        if unfinished && age.is_some_and(|age| age > UNFINISHED) {
            let _ = std::fs::remove_file(path);
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

#[cfg(test)]
mod tests;
