//! The CNI configuration of this node: written once the agent is ready, so that no pod is asked for before; put back when it
//! is changed or removed; and the only one, where that is asked for.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::view::ViewReader;

/// Pause between two looks at the directory.
const PAUSE: Duration = Duration::from_secs(10);
/// What the name of another's configuration gets appended; upstream's, so that what looks for it finds it.
const SET_ASIDE: &str = "cilium_bak";
/// A name that agents used to write; a runtime would take it before ours.
const FORMER: &str = "05-cilium.conf";

/// What is configured about the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cni {
    /// Where to write it; nothing: somebody else does.
    pub path: Option<PathBuf>,
    /// Configurations of others are set aside.
    pub exclusive: bool,
    /// Where the plugin logs.
    pub log_file: Option<PathBuf>,
}

/// Keeps the configuration until `stop`. What lies there when the agent stops stays: the plugin waits for the next agent.
pub async fn keep(config: Arc<Config>, mut view: ViewReader, stop: CancellationToken) {
    let Some(path) = &config.cni.path else {
        return stop.cancelled().await;
    };
    while !view.get().is_ready() {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = view.changed() => if !changed { return },
        }
    }
    let text = text(&config);
    loop {
        match ensure(path, &text, config.cni.exclusive) {
            Ok(done) => done.iter().for_each(|what| tracing::info!("{what}")),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "write-cni-conf-when-ready");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// The list of one plugin, told where its agent is.
fn text(config: &Config) -> String {
    let mut plugin = json!({
        "type": "cilium-cni", "agent-socket": config.socket, "state-dir": config.state_dir,
        "enable-debug": config.debug,
    });
    if let Some(file) = &config.cni.log_file {
        plugin["log-file"] = json!(file);
    }
    json!({
        // A runtime that does not know the list takes the one version, which every runtime of today can.
        "cniVersion": "1.0.0", "cniVersions": ["0.4.0", "1.0.0", "1.1.0"], "name": "cilium",
        "plugins": [plugin],
    })
    .to_string()
}

/// Makes the directory be as it should; what was done, in words.
fn ensure(path: &Path, text: &str, exclusive: bool) -> io::Result<Vec<String>> {
    let mut done = Vec::new();
    if !std::fs::read_to_string(path).is_ok_and(|there| there == text) {
        let temporary = path.with_extension("new");
        std::fs::write(&temporary, text)?;
        std::fs::rename(&temporary, path)?;
        done.push(format!(
            "{}: the CNI configuration is written",
            path.display()
        ));
    }
    let directory = path.parent().unwrap_or(Path::new("/"));
    let former = directory.join(FORMER);
    if former != path && former.exists() {
        std::fs::remove_file(&former)?;
        done.push(format!("{}: removed, a former version's", former.display()));
    }
    if exclusive {
        for other in others(directory, path)? {
            let mut aside = other.clone().into_os_string();
            aside.push(format!(".{SET_ASIDE}"));
            std::fs::rename(&other, &aside)?;
            done.push(format!("{}: set aside (cni-exclusive)", other.display()));
        }
    }
    Ok(done)
}

/// What a runtime would take for a configuration, and is not ours.
fn others(directory: &Path, ours: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let kind = path.extension().and_then(OsStr::to_str);
        if matches!(kind, Some("conf" | "conflist" | "json")) && path != ours && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests;
