//! Removal of the CNI configuration: without it the runtime calls the plugin no more, and the node is not ready.

use std::io::{ErrorKind, Write};

use anyhow::Context as _;

use super::RemoveConf;
use crate::dbg::context::Outcome;

/// Names that the configuration of the agent has, or had in former versions.
const NAMES: [&str; 2] = ["05-cilium.conflist", "05-cilium.conf"];

pub(super) fn remove(args: &RemoveConf, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let asked = std::fs::read_to_string(args.config_dir.join("cni-uninstall"))
        .is_ok_and(|text| text.trim() == "true");
    if !asked {
        writeln!(
            out,
            "cni-uninstall is not true: the CNI configuration stays for the next agent"
        )?;
        return Ok(Outcome::Good);
    }
    for name in NAMES {
        let path = args.conf_dir.join(name);
        match std::fs::remove_file(&path) {
            Ok(()) => writeln!(out, "removed {}", path.display())?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).with_context(|| format!("remove {}", path.display()));
            }
        }
    }
    Ok(Outcome::Good)
}
