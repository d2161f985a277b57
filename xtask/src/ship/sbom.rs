//! The bill of materials (CycloneDX 1.5): each crate that is compiled into a program, and what comes from elsewhere.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::cargo;
use crate::place::Place;
use crate::process::{answer, typed};

/// The bill as JSON, of the programs of these packages (`--package NAME …`).
pub(super) fn of(place: &Place, packages: &[&str], version: &str) -> Result<String> {
    let mut command = cargo::cargo(place);
    command
        .args([
            "tree",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--no-dedupe",
        ])
        .args(["--format", "{p}|{l}"])
        .args(packages);
    let output = command.output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("'{}' failed ({})", typed(&command), output.status);
    }
    let lock = std::fs::read_to_string(place.repo.join("Cargo.lock"))?;
    let mut components = crates(&String::from_utf8_lossy(&output.stdout), &checksums(&lock)?);
    components.push(busybox()?);
    let bill = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": { "component": { "type": "container", "name": "axoneme", "version": version } },
        "components": components,
    });
    Ok(format!("{bill:#}\n"))
}

/// The lines `name vVERSION (where)|LICENCE` of `cargo tree`, each crate once; those with a path are our own.
pub(super) fn crates(tree: &str, checksums: &BTreeMap<String, String>) -> Vec<Value> {
    let mut found = BTreeMap::new();
    for line in tree.lines() {
        let Some((package, licence)) = line.split_once('|') else {
            continue;
        };
        let mut words = package.split(' ');
        let (Some(name), Some(version)) = (words.next(), words.next()) else {
            continue;
        };
        let version = version.trim_start_matches('v');
        let mut component = json!({
            "type": "library", "name": name, "version": version,
            "licenses": [{ "expression": licence.replace('/', " OR ") }],
        });
        if let Some(sum) = checksums.get(&format!("{name} {version}")) {
            component["purl"] = format!("pkg:cargo/{name}@{version}").into();
            component["hashes"] = json!([{ "alg": "SHA-256", "content": sum }]);
        }
        found.insert((name.to_owned(), version.to_owned()), component);
    }
    found.into_values().collect()
}

/// `name version` → checksum, of the packages that come from a registry.
pub(super) fn checksums(lock: &str) -> Result<BTreeMap<String, String>> {
    let lock: toml::Table = lock.parse().context("Cargo.lock")?;
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let text = |package: &toml::Value, key: &str| Some(package.get(key)?.as_str()?.to_owned());
    let sums = packages.into_iter().flatten().filter_map(|package| {
        let name = format!("{} {}", text(package, "name")?, text(package, "version")?);
        Some((name, text(package, "checksum")?))
    });
    Ok(sums.collect())
}

fn busybox() -> Result<Value> {
    let version = answer("dpkg-query", &["-Wf", "${Version}", "busybox-static"])
        .context("the version of busybox-static is not known")?;
    Ok(json!({
        "type": "application", "name": "busybox-static", "version": version,
        "purl": format!("pkg:deb/debian/busybox-static@{version}"),
        "licenses": [{ "expression": "GPL-2.0-only" }],
    }))
}
