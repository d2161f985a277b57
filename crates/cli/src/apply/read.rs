//! Objects out of files: YAML with several documents, JSON, directories, lists.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::Value;

/// One object and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    /// File and number of the document, for messages.
    pub(super) origin: String,
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) object: Value,
}

/// All objects of the paths, in order; the first fault ends it, so that nothing is applied of a broken file.
pub(super) fn items(paths: &[PathBuf]) -> anyhow::Result<Vec<Item>> {
    let mut all = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("standard input")?;
            all.extend(parse("standard input", &text)?);
        } else if path.is_dir() {
            for file in files(path)? {
                all.extend(parse_file(&file)?);
            }
        } else {
            all.extend(parse_file(path)?);
        }
    }
    Ok(all)
}

fn files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let read = || directory.display().to_string();
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).with_context(read)? {
        let path = entry.with_context(read)?.path();
        let known = path
            .extension()
            .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|of| extension == *of));
        if known && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn parse_file(path: &Path) -> anyhow::Result<Vec<Item>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&path.display().to_string(), &text)
}

/// The objects of a text; JSON is YAML too.
pub(super) fn parse(origin: &str, text: &str) -> anyhow::Result<Vec<Item>> {
    let mut items = Vec::new();
    for (number, document) in serde_yaml_ng::Deserializer::from_str(text).enumerate() {
        let origin = format!("{origin}, document {}", number + 1);
        let object = Value::deserialize(document).with_context(|| origin.clone())?;
        match object.get("items").and_then(Value::as_array) {
            Some(listed)
                if object
                    .get("kind")
                    .and_then(Value::as_str)
                    .is_some_and(|kind| kind.ends_with("List")) =>
            {
                for (index, object) in listed.iter().enumerate() {
                    items.push(item(format!("{origin}, items[{index}]"), object.clone())?);
                }
            }
            // An empty document, as after a last `---`.
            _ if object.is_null() => {}
            _ => items.push(item(origin, object)?),
        }
    }
    Ok(items)
}

fn item(origin: String, object: Value) -> anyhow::Result<Item> {
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (api_version, kind, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
    ensure!(object.is_object(), "{origin}: it is not an object");
    for (field, value) in [
        ("apiVersion", &api_version),
        ("kind", &kind),
        ("metadata.name", &name),
    ] {
        ensure!(!value.is_empty(), "{origin}: {field} is missing");
    }
    Ok(Item {
        origin,
        api_version,
        kind,
        name,
        object,
    })
}

#[cfg(test)]
mod tests;
