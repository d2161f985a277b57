//! `axoneme apply`: create or replace the objects of files in the API server.

mod discovery;
mod read;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use store::Client;

use crate::cluster::access::AccessArgs;
use crate::dbg::context::Outcome;
use discovery::{Kind, Kinds};
use read::{Item, items};

/// Arguments of the command.
#[derive(clap::Args, Debug)]
pub(crate) struct ApplyArgs {
    /// File, directory (its *.yaml, *.yml and *.json), or - for standard input; may be given several times
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    filename: Vec<PathBuf>,
    #[command(flatten)]
    access: AccessArgs,
    /// Namespace of objects that name none
    #[arg(short, long, default_value = "default")]
    namespace: String,
}

/// Runs the command: one line per object; goes on after one that was refused, and fails at the end.
pub(crate) fn run(args: &ApplyArgs, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let items = items(&args.filename)?;
    anyhow::ensure!(
        !items.is_empty(),
        "there is no object in {}",
        shown(&args.filename)
    );
    crate::program::block_on(async {
        let client = args.access.client().await?;
        let mut apply = Apply {
            kinds: Kinds::default(),
            client,
            namespace: &args.namespace,
        };
        let mut refused = 0;
        for item in &items {
            match apply.one(item).await {
                Ok(line) => writeln!(out, "{line}")?,
                Err(error) => {
                    refused += 1;
                    writeln!(out, "{}: {error:#}", item.origin)?;
                }
            }
            out.flush()?;
        }
        anyhow::ensure!(
            refused == 0,
            "{refused} of {} objects were refused",
            items.len()
        );
        Ok(Outcome::Good)
    })
}

fn shown(paths: &[PathBuf]) -> String {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

struct Apply<'a> {
    client: Client,
    kinds: Kinds,
    namespace: &'a str,
}

/// Conflicts in a row before an object is given up.
const TRIES: u32 = 5;

impl Apply<'_> {
    /// Creates or replaces one object and says what was done.
    async fn one(&mut self, item: &Item) -> anyhow::Result<String> {
        let kind = self
            .kinds
            .find(&self.client, &item.api_version, &item.kind)
            .await?;
        let mut object = item.object.clone();
        let collection = self.place(&kind, &mut object);
        let name = format!("{}/{}", kind.full_name(), item.name);
        match self
            .client
            .raw(http::Method::POST, &collection, Some(&object))
            .await
        {
            Ok(_) => return Ok(format!("{name} created")),
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(sentence(error)),
        }
        let path = format!("{collection}/{}", item.name);
        for _ in 0..TRIES {
            let now = self
                .client
                .raw(http::Method::GET, &path, None)
                .await
                .map_err(sentence)?;
            let version = now
                .pointer("/metadata/resourceVersion")
                .cloned()
                .unwrap_or_default();
            set(&mut object, "resourceVersion", version.clone());
            match self
                .client
                .raw(http::Method::PUT, &path, Some(&object))
                .await
            {
                Ok(new) if new.pointer("/metadata/resourceVersion") == Some(&version) => {
                    return Ok(format!("{name} unchanged"));
                }
                Ok(_) => return Ok(format!("{name} replaced")),
                Err(error) if error.is_conflict() => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(error) => return Err(sentence(error)),
            }
        }
        anyhow::bail!("{name} is changed by somebody else all the time; nothing was replaced")
    }

    /// The path of the object's collection; fills in the namespace.
    fn place(&self, kind: &Kind, object: &mut Value) -> String {
        if !kind.namespaced {
            return format!("{}/{}", kind.root, kind.plural);
        }
        let named = object
            .pointer("/metadata/namespace")
            .and_then(Value::as_str)
            .filter(|name| !name.is_empty());
        let namespace = named.unwrap_or(self.namespace).to_owned();
        set(object, "namespace", Value::String(namespace.clone()));
        format!("{}/namespaces/{namespace}/{}", kind.root, kind.plural)
    }
}

fn set(object: &mut Value, field: &str, value: Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert(field.to_owned(), value);
    }
}

/// The server's own sentence, without the path.
fn sentence(error: store::Error) -> anyhow::Error {
    match error {
        store::Error::Refused {
            status, message, ..
        } if !message.is_empty() => anyhow::anyhow!("{message} ({status})"),
        other => other.into(),
    }
}
