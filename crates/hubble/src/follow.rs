//! A file of settings that may change: read every few seconds, because a mounted `ConfigMap` changes by links that no watch of the
//! file sees.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

/// How often it is read.
const EVERY: Duration = Duration::from_secs(5);

/// The text of a file, whenever it changes.
pub struct Followed {
    path: PathBuf,
    last: Option<String>,
    /// What was last said of a file that cannot be read, so that it is logged once.
    error: Option<String>,
    first: bool,
}

impl Followed {
    /// Nothing is read yet.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            last: None,
            error: None,
            first: true,
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next text that differs from the last one, the first time the one that is there; none after `stop`.
    pub async fn changed(&mut self, stop: &CancellationToken) -> Option<String> {
        loop {
            if !std::mem::take(&mut self.first) {
                tokio::select! {
                    () = stop.cancelled() => return None,
                    () = tokio::time::sleep(EVERY) => {}
                }
            }
            match tokio::fs::read_to_string(&self.path).await {
                Ok(text) => {
                    self.error = None;
                    if self.last.as_ref() != Some(&text) {
                        self.last = Some(text.clone());
                        return Some(text);
                    }
                }
                Err(error) => self.unreadable(&error.to_string()),
            }
        }
    }

    fn unreadable(&mut self, error: &str) {
        if self.error.as_deref() != Some(error) {
            let path = self.path.display();
            tracing::warn!(error, %path, "settings cannot be read, the former stay in force");
            self.error = Some(error.to_owned());
        }
    }
}

#[cfg(test)]
mod tests;
