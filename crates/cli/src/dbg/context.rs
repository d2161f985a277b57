//! What every command of the node client works with: the agent, the maps, and where to write.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use kernel::{Maps, PinDirectory};
use local_api::{Client, Method, Request};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::output::{Format, Paint, Table};

/// Whether a command found what it looked at in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Exit code 0.
    Good,
    /// Exit code 1, without a further message.
    Bad,
}

/// What a command works with.
pub(crate) struct Context<'a> {
    pub(crate) client: Client,
    pub(crate) bpf_root: PathBuf,
    pub(crate) flows: String,
    pub(crate) paint: Paint,
    pub(crate) out: &'a mut dyn Write,
}

/// An answer as it came, and as its type says.
pub(crate) struct Answer<T> {
    pub(crate) raw: Value,
    pub(crate) typed: T,
}

/// What to do when the agent did not do as asked.
pub(crate) fn agent_error(error: local_api::Error) -> anyhow::Error {
    match &error {
        local_api::Error::Connect { socket, source, .. } => anyhow!(
            "cannot reach the agent at {}: {source}; is it running on this node? Its socket is named with --host or AXONEME_SOCK",
            socket.display()
        ),
        local_api::Error::Status {
            status: 400 | 404,
            message,
            ..
        } if !message.is_empty() => anyhow!("{message}"),
        _ => error.into(),
    }
}

impl Context<'_> {
    /// Reads a path.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Answer<T>> {
        self.call(&Request::new(Method::Get, path))
    }

    /// Sends a request.
    pub(crate) fn call<T: DeserializeOwned>(&self, request: &Request) -> anyhow::Result<Answer<T>> {
        let response = self.client.send(request).map_err(agent_error)?;
        let raw: Value =
            serde_json::from_slice(&response.body).context("the agent's answer is not JSON")?;
        let typed = serde_json::from_value(raw.clone())
            .context("the agent's answer has an unexpected shape")?;
        Ok(Answer { raw, typed })
    }

    /// Writes `value` in the format asked for; says whether one was.
    pub(crate) fn formatted(
        &mut self,
        format: Option<&Format>,
        value: &Value,
    ) -> anyhow::Result<bool> {
        match format {
            Some(format) => format.write(self.out, value).map(|()| true),
            None => Ok(false),
        }
    }

    /// Writes a table, or `value` in the format asked for.
    pub(crate) fn table(
        &mut self,
        format: Option<&Format>,
        value: &Value,
        table: impl FnOnce() -> Table,
    ) -> anyhow::Result<Outcome> {
        if !self.formatted(format, value)? {
            table().write(self.out)?;
        }
        Ok(Outcome::Good)
    }

    /// Opens the pinned maps.
    pub(crate) fn maps(&self) -> anyhow::Result<Maps> {
        let pins = PinDirectory::new(&self.bpf_root);
        Maps::open_any_capacity(&pins).with_context(|| {
            format!(
                "cannot open the eBPF maps under {}; this needs root, and an agent that has run here (--bpf-root names another place)",
                self.bpf_root.display()
            )
        })
    }
}
