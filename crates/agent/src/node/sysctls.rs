//! Sysctls of the node's namespace, and what they were before.

use std::collections::BTreeMap;
use std::path::Path;

use netlink::sysctl;

use super::Error;
use crate::config::Families;

/// Values of before, by name.
pub type Before = BTreeMap<String, String>;

const FILE: &str = "sysctls-before.json";

/// What has to hold, with these devices of ours.
fn wanted(families: Families, devices: &[&str]) -> Vec<(String, &'static str)> {
    let mut settings = Vec::new();
    if families.ipv4 {
        settings.push(("net/ipv4/ip_forward".to_owned(), "1"));
        // The effective value of a device is the maximum of its own and that of `all`.
        settings.push(("net/ipv4/conf/all/rp_filter".to_owned(), "0"));
        for device in devices {
            settings.push((format!("net/ipv4/conf/{device}/rp_filter"), "0"));
            settings.push((format!("net/ipv4/conf/{device}/send_redirects"), "0"));
        }
    }
    if families.ipv6 {
        for device in devices {
            // With forwarding on, a device that accepts router advertisements (1) stops unless told to go on (2).
            let accepts = format!("net/ipv6/conf/{device}/accept_ra");
            if sysctl::read(&accepts).is_ok_and(|value| value == "1") {
                settings.push((accepts, "2"));
            }
        }
        settings.push(("net/ipv6/conf/all/forwarding".to_owned(), "1"));
    }
    settings
}

/// Writes what has to hold, after noting down what was there; a value noted once is not noted again.
pub fn apply_sysctls(families: Families, devices: &[&str], state: &Path) -> Result<(), Error> {
    let path = state.join(FILE);
    let mut before = read(&path);
    let known = before.len();
    let mut changes = Vec::new();
    for (name, value) in wanted(families, devices) {
        let now = sysctl::read(&name)?;
        if now != value {
            before.entry(name.clone()).or_insert(now);
            changes.push((name, value));
        }
    }
    if before.len() != known {
        write(&path, &before).map_err(|error| Error::Remember {
            path: path.clone(),
            error,
        })?;
    }
    for (name, value) in changes {
        sysctl::write(&name, value)?;
    }
    Ok(())
}

/// Puts back what was noted down; a device that is gone is not missed.
pub fn restore_sysctls(state: &Path) -> Result<Before, Error> {
    let path = state.join(FILE);
    let before = read(&path);
    for (name, value) in &before {
        match sysctl::write(name, value) {
            Err(error) if !error.is_not_found() => return Err(error.into()),
            _ => {}
        }
    }
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Remember { path, error })
        }
        _ => Ok(before),
    }
}

fn read(path: &Path) -> Before {
    std::fs::read(path)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

fn write(path: &Path, before: &Before) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    std::fs::write(&temporary, serde_json::to_vec_pretty(before)?)?;
    std::fs::rename(temporary, path)
}
