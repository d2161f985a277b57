//! Axoneme on the cluster, installed by its chart as a user would.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::arguments::Store;
use super::control::{client, store_url};
use super::families::{Families, Family};
use super::images;
use super::layout::{API_PORT, Layout};
use super::network::output;
use crate::image::digest_of;
use crate::place::Place;
use crate::ship::{self, Build};

/// The image that was built last; one of the test profile, if there is none.
pub(super) fn image(place: &Place) -> Result<()> {
    if !place.cache.join(ship::ARCHIVE).exists() {
        ship::make(place, Build::Dev)?;
    }
    Ok(())
}

/// Installs or upgrades the release, unless chart, values and image are those that were installed last.
pub(super) fn axoneme(place: &Place, layout: &Layout, store: Store, set: &[String]) -> Result<()> {
    let chart = place.repo.join("deploy/chart");
    let stamp = images::stamp(&place.cache.join(ship::ARCHIVE))?;
    let mut values = values(layout.families, &digest_of(stamp.as_bytes()));
    if store == Store::Etcd {
        let url = store_url(layout)?;
        let etcd = format!("etcd: {{enabled: true, endpoints: ['{url}']}}");
        values.extend(["identityAllocationMode: kvstore\n", &etcd, "\n"]);
    }
    let file = layout.run.join("values.yaml");
    fs::write(&file, &values)?;
    let state = state(&chart, &format!("{values}{set:?}"))?;
    let note = layout.run.join("installed");
    if fs::read_to_string(&note).ok().as_ref() == Some(&state) {
        return Ok(());
    }
    output(
        client(layout, "helm")
            .args(["upgrade", "--install", "cilium"])
            .arg(&chart)
            .args(["--namespace", "kube-system", "--values"])
            .arg(&file)
            .args(set.iter().flat_map(|value| ["--set", value])),
    )?;
    fs::write(note, state)?;
    Ok(())
}

/// What this cluster needs to be told: where the API is while there are no services, that images are there, where cgroups are. An
/// image that was built anew has the old name, so that pods have to be told.
fn values(families: Families, image: &str) -> String {
    format!(
        "\
k8sServiceHost: '{}'
k8sServicePort: {API_PORT}
ipv4: {{enabled: {}}}
ipv6: {{enabled: {}}}
kubeProxyReplacement: true
image: {{pullPolicy: Never}}
podAnnotations: {{axoneme.test/image: '{image}'}}
operator:
  replicas: 1
  podAnnotations: {{axoneme.test/image: '{image}'}}
  image: {{pullPolicy: Never}}
hubble:
  relay:
    enabled: true
    podAnnotations: {{axoneme.test/image: '{image}'}}
    image: {{pullPolicy: Never}}
ipam: {{mode: kubernetes}}
cgroup:
  autoMount: {{enabled: false}}
  hostRoot: {}
",
        families.api(),
        families.has(Family::V4),
        families.has(Family::V6),
        cgroup_root(Path::new("/sys/fs/cgroup/unified"))
    )
}

/// Version 2 lies in a folder of its own on the hybrid layout.
fn cgroup_root(unified: &Path) -> String {
    let root = if unified.exists() {
        unified
    } else {
        Path::new("/sys/fs/cgroup")
    };
    root.display().to_string()
}

/// A digest of all files of the chart, and of the values.
fn state(chart: &Path, values: &str) -> Result<String> {
    let mut all = values.as_bytes().to_vec();
    add(chart, &mut all)?;
    Ok(digest_of(&all))
}

fn add(path: &Path, all: &mut Vec<u8>) -> Result<()> {
    all.extend(path.as_os_str().as_encoded_bytes());
    if path.is_dir() {
        let mut paths: Vec<_> = fs::read_dir(path)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        paths.sort();
        return paths.iter().try_for_each(|path| add(path, all));
    }
    all.extend(fs::read(path)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_anywhere_in_the_chart_or_in_the_values_is_installed() {
        let chart = std::env::temp_dir().join(format!("axoneme-chart-{}", std::process::id()));
        fs::create_dir_all(chart.join("templates")).unwrap();
        fs::write(chart.join("templates/one.yaml"), "a: 1\n").unwrap();
        let first = state(&chart, "x: 1\n").unwrap();
        assert_eq!(first, state(&chart, "x: 1\n").unwrap());
        assert_ne!(first, state(&chart, "x: 2\n").unwrap());
        fs::write(chart.join("templates/one.yaml"), "a: 2\n").unwrap();
        assert_ne!(first, state(&chart, "x: 1\n").unwrap());
        fs::remove_dir_all(chart).unwrap();
    }
}
