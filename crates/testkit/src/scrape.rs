//! A page of metrics, and whether what PromQL asks for is on it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, ensure};
use netlink::Namespace;
use regex::Regex;
use serde_json::Value;

/// Labels that scraping adds.
const SCRAPED: &[&str] = &["io_cilium_app", "k8s_app", "node", "pod"];

/// The answer to a scrape from that namespace, its head included.
pub fn fetch(from: &Namespace, address: IpAddr, port: u16) -> anyhow::Result<String> {
    let answer = from.run(|| -> anyhow::Result<String> {
        let mut stream = TcpStream::connect((address, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    })??;
    ensure!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    Ok(answer)
}

/// Families with the names of their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page(BTreeMap<String, BTreeSet<String>>);

impl Page {
    /// Reads the text format of Prometheus.
    pub fn read(text: &str) -> Self {
        let mut families: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for line in text.lines() {
            if let Some((family, _)) = line
                .strip_prefix("# TYPE ")
                .and_then(|rest| rest.split_once(' '))
            {
                families.entry(family.to_owned()).or_default();
            } else if let Some((name, labels)) = line
                // Values may have braces of their own.
                .rsplit_once("} ")
                .and_then(|(series, _)| series.split_once('{'))
                && let Some(known) = families.get_mut(base(name))
            {
                let names = labels.split("\",").filter_map(|one| one.split_once('='));
                known.extend(names.map(|(name, _)| name.to_owned()));
            }
        }
        Self(families)
    }

    /// Names of all families.
    pub fn families(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What an expression asks for and the page has not: families, labels of selectors, labels to sum by. A family that is here
    /// and has no series yet has no labels either, which is a fault.
    pub fn faults(&self, expression: &str) -> anyhow::Result<Vec<String>> {
        let selector = Regex::new(r"\b((?:cilium|hubble)_[a-z0-9_]+)(?:\{([^}]*)\})?")?;
        let label = Regex::new(r#"([a-z0-9_]+)\s*(?:=~|!~|!=|=)\s*""#)?;
        let grouping = Regex::new(r"\bby \(([^)]*)\)")?;
        let (mut faults, mut all) = (Vec::new(), BTreeSet::new());
        let known = |labels: &BTreeSet<String>, name: &str| {
            SCRAPED.contains(&name) || labels.contains(name)
        };
        for found in selector.captures_iter(expression) {
            let name = found.get(1).map_or("", |name| name.as_str());
            let Some(labels) = self.0.get(base(name)) else {
                faults.push(format!("no family {name}"));
                continue;
            };
            all.extend(labels.iter().cloned());
            let matchers = found.get(2).map_or("", |matchers| matchers.as_str());
            let asked = label.captures_iter(matchers);
            for asked in asked.filter_map(|asked| asked.get(1)) {
                if !known(labels, asked.as_str()) {
                    faults.push(format!("{name} has no label {}", asked.as_str()));
                }
            }
        }
        for by in grouping.captures_iter(expression) {
            let by = by.get(1).map_or("", |by| by.as_str()).split(',');
            let unknown = by.map(str::trim).filter(|by| !known(&all, by));
            faults.extend(unknown.map(|by| format!("nothing to sum by {by}")));
        }
        Ok(faults)
    }
}

/// The family of a series of a histogram.
fn base(name: &str) -> &str {
    let mut ends = ["_bucket", "_sum", "_count"].iter();
    // `cilium_drop_count_total` is no histogram's.
    ends.find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

/// Title and expression of each query of a Grafana dashboard.
pub fn queries(dashboard: &str) -> anyhow::Result<Vec<(String, String)>> {
    let dashboard: Value = serde_json::from_str(dashboard).context("read the dashboard")?;
    let list = |of: &Value, name: &str| of.get(name).and_then(Value::as_array).cloned();
    let text = |of: &Value, name: &str| Some(of.get(name)?.as_str()?.to_owned());
    let mut queries = Vec::new();
    for panel in list(&dashboard, "panels").context("a dashboard without panels")? {
        let inner = list(&panel, "panels").unwrap_or_default();
        for panel in inner.iter().chain([&panel]) {
            let title = text(panel, "title").unwrap_or_default();
            let targets = list(panel, "targets").unwrap_or_default();
            let expressions = targets.iter().filter_map(|target| text(target, "expr"));
            queries.extend(expressions.map(|expression| (title.clone(), expression)));
        }
    }
    Ok(queries)
}

#[cfg(test)]
mod tests;
