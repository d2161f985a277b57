//! What does not leave a cluster: keys, tokens and passwords, wherever they are met.
//!
//! Secrets are never read. What others wrote into pods, annotations, logs and flows is taken out by its shape, and rather
//! too much of it than too little.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex, Replacer};
use serde_json::Value;

/// In place of what was there.
const GONE: &str = "<redacted>";

/// Takes out of an object what may hold anything: values of environments, what was applied last, contents of Secrets.
pub(super) fn prune(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    let secret = object.get("kind").and_then(Value::as_str) == Some("Secret");
    for field in ["data", "stringData"] {
        if let Some(data) = object.get_mut(field).filter(|_| secret) {
            *data = Value::from(GONE);
        }
    }
    walk(object);
}

fn walk(value: &mut Value) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(walk),
        Value::Object(fields) => {
            fields.remove("kubectl.kubernetes.io/last-applied-configuration");
            for (name, value) in fields.iter_mut() {
                if name == "env" {
                    environment(value);
                } else if is_secret(name) && value.is_string() {
                    *value = Value::from(GONE);
                } else {
                    walk(value);
                }
            }
        }
        _ => {}
    }
}

/// Names stay: which variables are set is worth knowing.
fn environment(variables: &mut Value) {
    for variable in variables.as_array_mut().into_iter().flatten() {
        if let Some(value) = variable.get_mut("value") {
            *value = Value::from(GONE);
        }
    }
}

/// Whether a value of this name is a secret, and not the name of one or the path to it.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace(['-', '_', '.'], "");
    let words = [
        "password",
        "passwd",
        "secret",
        "token",
        "apikey",
        "accesskey",
        "privatekey",
        "credential",
    ];
    let harmless = [
        "name",
        "namespace",
        "ref",
        "path",
        "file",
        "dir",
        "mount",
        "sync",
        "enabled",
        "seconds",
        "interval",
    ];
    words.iter().any(|word| name.contains(word)) && !harmless.iter().any(|end| name.ends_with(end))
}

struct Shapes {
    key: Regex,
    web_token: Regex,
    scheme: Regex,
    address: Regex,
    header: Regex,
    named: Regex,
}

impl Shapes {
    fn new() -> Option<Self> {
        Some(Self {
            // One that is cut off is one as well.
            key: Regex::new(r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)").ok()?,
            web_token: Regex::new(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*)?").ok()?,
            scheme: Regex::new(r"(?i)\b(bearer|basic)(\s+)[A-Za-z0-9._~+/=-]{6,}").ok()?,
            address: Regex::new(r"://[^\s/@:]*:[^\s/@]+@").ok()?,
            header: Regex::new(r#"(?i)("key"\s*:\s*"(?:authorization|proxy-authorization|cookie|set-cookie|x-api-key|x-auth-token)"\s*,\s*"value"\s*:\s*")(?:[^"\\]|\\.)*"#).ok()?,
            named: Regex::new(r#"(?i)([a-z0-9_.-]*(?:password|passwd|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|credential)[a-z0-9_.-]*)(\\*["']?\s*[:=]\s*\\*["']?)([^\s"'\\,;&{}\[\]]+)"#).ok()?,
        })
    }
}

static SHAPES: LazyLock<Option<Shapes>> = LazyLock::new(Shapes::new);

/// A text without what looks like a secret. If that cannot be told, nothing is left of it.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    let Some(shapes) = SHAPES.as_ref() else {
        return Cow::Borrowed(GONE);
    };
    let mut clean = Cow::Borrowed(text);
    let gone = GONE.to_owned();
    replace(&mut clean, &shapes.key, gone.as_str());
    replace(&mut clean, &shapes.web_token, gone.as_str());
    replace(&mut clean, &shapes.scheme, "${1}${2}<redacted>");
    replace(&mut clean, &shapes.address, "://<redacted>@");
    replace(&mut clean, &shapes.header, "${1}<redacted>");
    replace(&mut clean, &shapes.named, |found: &Captures<'_>| {
        let part = |index| found.get(index).map_or("", |part| part.as_str());
        let value = part(3);
        if is_secret(part(1)) && !matches!(value, "true" | "false" | "null") {
            format!("{}{}{GONE}", part(1), part(2))
        } else {
            part(0).to_owned()
        }
    });
    clean
}

fn replace(text: &mut Cow<'_, str>, shape: &Regex, by: impl Replacer) {
    if let Cow::Owned(changed) = shape.replace_all(text, by) {
        *text = Cow::Owned(changed);
    }
}

#[cfg(test)]
mod tests;
