//! The relay as browsers and Prometheus' clients ask it.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use testkit::cluster::{Cluster, relay_web};

/// Something that was counted, and the query that counts the same.
pub(super) struct Figure {
    pub(super) what: String,
    pub(super) count: u64,
    pub(super) query: String,
}

/// A figure of the series that a selector chooses.
pub(super) fn figure(what: &str, count: u64, query: impl Into<String>) -> Figure {
    Figure {
        what: what.to_owned(),
        count,
        query: query.into(),
    }
}

/// A sum over series of an edge.
pub(super) fn of_edge(name: &str, from: &str, to: &str, port: u16, more: &str) -> String {
    format!(
        r#"sum({name}{{source="shop/{from}",destination="{}",port="{port}"{more}}})"#,
        destination(to)
    )
}

/// Who is outside has no namespace.
fn destination(to: &str) -> String {
    if to.contains('.') {
        to.to_owned()
    } else {
        format!("shop/{to}")
    }
}

/// What a path of the web listener answers.
pub(super) fn get(cluster: &Cluster, path: &str) -> anyhow::Result<Value> {
    let address = relay_web();
    let answer = cluster.control().namespace().run(|| {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let head = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer)
    })??;
    ensure!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
    let (_, body) = answer.split_once("\r\n\r\n").context("a head")?;
    serde_json::from_str(body).with_context(|| format!("{path}: {body}"))
}

/// A path with parameters.
pub(super) fn path<'a>(
    path: &str,
    parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    let mut text = path.to_owned();
    let mut mark = '?';
    for (name, value) in parameters {
        let _ = write!(text, "{mark}{name}=");
        mark = '&';
        for octet in value.bytes() {
            if octet.is_ascii_alphanumeric() {
                text.push(char::from(octet));
            } else {
                let _ = write!(text, "%{octet:02X}");
            }
        }
    }
    text
}

/// The value of a query that has one; nothing of no series is 0.
pub(super) fn value(cluster: &Cluster, query: &str) -> anyhow::Result<f64> {
    let answer = get(cluster, &path("/api/v1/query", [("query", query)]))?;
    let result = answer["data"]["result"].as_array().context("a result")?;
    ensure!(result.len() <= 1, "{query}: {answer}");
    let Some(first) = result.first() else {
        return Ok(0.0);
    };
    let text = first["value"][1].as_str().context("a value")?;
    Ok(text.parse()?)
}

#[allow(clippy::cast_precision_loss, reason = "small counts")]
pub(super) fn agrees(cluster: &Cluster, of: &Figure) -> anyhow::Result<()> {
    let found = value(cluster, &of.query)?;
    ensure!(
        (found - of.count as f64).abs() < 1e-6,
        "{}: {} here, {found} by {}",
        of.what,
        of.count,
        of.query
    );
    Ok(())
}
