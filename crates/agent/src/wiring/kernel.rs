//! The packet path: what this kernel can do, the object, and the devices that run it.

use anyhow::{Context, bail};
use datapath::abi::node::Features;
use kernel::{Hook, Kernel, attach};

use crate::config::{Config, Routing};
use crate::node::Devices;

pub(super) fn report_features(
    features: Vec<kernel::probe::Feature>,
) -> anyhow::Result<Vec<kernel::probe::Feature>> {
    let mut required = Vec::new();
    for feature in features.iter().filter(|feature| feature.missing.is_some()) {
        let why = feature.missing.as_deref().unwrap_or_default();
        tracing::warn!(
            feature = feature.name,
            why,
            lost = feature.lost,
            "the kernel lacks a feature"
        );
        if feature.need == kernel::probe::Need::Required {
            required.push(format!("{} ({why}; {})", feature.name, feature.lost));
        }
    }
    if required.is_empty() {
        Ok(features)
    } else {
        bail!(
            "this kernel lacks what the agent cannot do without: {}",
            required.join(", ")
        )
    }
}

pub(super) fn table_sizes(config: &Config) -> kernel::Config {
    kernel::Config {
        connections: config.datapath.connections,
        ..kernel::Config::default()
    }
}

pub(super) fn check_pins(config: &Config) -> anyhow::Result<()> {
    let root = &config.datapath.bpf_root;
    kernel::resize::check(root, &table_sizes(config)).context("take over what is pinned")
}

pub(super) fn load(config: &Config, hz: u32) -> anyhow::Result<Kernel> {
    let datapath = &config.datapath;
    let bit = u8::from;
    let features = Features {
        hz,
        ipv4: bit(datapath.families.ipv4),
        ipv6: bit(datapath.families.ipv6),
        tunnel: bit(datapath.routing == Routing::Tunnel),
        masquerade_ipv4: bit(datapath.masquerade.ipv4),
        masquerade_ipv6: bit(datapath.masquerade.ipv6),
        allow_localhost: bit(config.policy.allow_localhost),
        services: bit(config.services.enabled),
        reject_no_backend: bit(config.services.reject_no_backend),
        events: bit(config.hubble.enabled),
        capture: bit(config.hubble.enabled && config.hubble.capture),
        nodeport_min: config.services.nodeport.0,
        nodeport_max: config.services.nodeport.1,
        snat_min: config.services.nodeport.1.saturating_add(1),
        snat_max: u16::MAX,
        ..Features::default()
    };
    Kernel::load(&datapath.bpf_root, &table_sizes(config), features).context("load the packet path")
}

pub(super) fn attach_devices(
    kernel: &Kernel,
    devices: &Devices,
    config: &Config,
) -> anyhow::Result<()> {
    for uplink in &devices.uplinks {
        for hook in [Hook::FromNetdev, Hook::ToNetdev] {
            attach::attach_device(kernel, &uplink.name, uplink.index, hook)
                .with_context(|| format!("devices: {}", uplink.name))?;
        }
    }
    if let Some(overlay) = &devices.overlay {
        attach::attach_device(kernel, &overlay.name, overlay.index, Hook::FromOverlay)?;
    }
    attach::attach_device(
        kernel,
        &devices.host.name,
        devices.host.index,
        Hook::FromHost,
    )?;
    if config.services.sockets && kernel.programs.get(attach::SOCKET_PROGRAMS[0]).is_ok() {
        let cgroup = &config.datapath.cgroup_root;
        attach::attach_cgroup(kernel, cgroup)
            .with_context(|| format!("cgroup-root {}", cgroup.display()))?;
    }
    note_round_trips(kernel, config);
    Ok(())
}

/// What sockets measure is told of, not needed: a node without it goes on.
fn note_round_trips(kernel: &Kernel, config: &Config) {
    let done = if config.hubble.enabled && config.hubble.capture {
        attach::attach_round_trips(kernel, &config.datapath.cgroup_root)
    } else {
        attach::detach_round_trips(&kernel.pins)
    };
    if let Err(error) = done {
        tracing::warn!(%error, "round trips of open connections are not told");
    }
}

#[cfg(test)]
mod tests {
    use kernel::probe::{Feature, Need};

    use super::*;

    fn missing(name: &'static str, need: Need) -> Feature {
        Feature {
            name,
            need,
            lost: "something",
            missing: Some("Operation not supported".to_owned()),
        }
    }

    #[test]
    fn a_feature_that_is_needed_stops_the_start_by_name_with_what_is_lost_and_another_does_not() {
        let optional = vec![missing("peer names", Need::Optional)];
        assert_eq!(report_features(optional.clone()).unwrap(), optional);
        let both = vec![
            missing("peer names", Need::Optional),
            missing("ring buffer", Need::Required),
            missing("tcx links", Need::Required),
        ];
        let refusal = report_features(both).unwrap_err().to_string();
        let expected = "this kernel lacks what the agent cannot do without: \
            ring buffer (Operation not supported; something), tcx links (Operation not supported; something)";
        assert_eq!(refusal, expected);
    }
}
