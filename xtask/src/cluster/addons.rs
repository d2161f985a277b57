//! What every cluster has beside its nodes: names, by CoreDNS.

use std::fs;

use anyhow::Result;

use super::control::kubectl;
use super::images::COREDNS;
use super::layout::Layout;

/// Objects of CoreDNS; address and image are filled in.
const MANIFEST: &str = include_str!("addons/coredns.yaml");

/// Applies them.
pub(super) fn apply(layout: &Layout) -> Result<()> {
    let file = layout.run.join("coredns.yaml");
    fs::write(&file, manifest(layout.families.dns()))?;
    kubectl(
        layout,
        &["apply", "--filename", &file.display().to_string()],
    )
    .map(drop)
}

fn manifest(dns: &str) -> String {
    MANIFEST
        .replace("ADDRESS", &format!("'{dns}'"))
        .replace("IMAGE", COREDNS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_manifest_is_left_to_fill_in() {
        let text = manifest("fd00:10:96::a");
        assert!(text.contains("clusterIP: 'fd00:10:96::a'\n"));
        assert!(text.contains("image: axoneme.test/coredns:1\n"));
        assert!(!text.contains("ADDRESS") && !text.contains("IMAGE"));
    }
}
