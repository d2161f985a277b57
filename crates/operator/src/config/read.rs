//! From texts to typed values.

use std::num::NonZeroUsize;
use std::time::Duration;

use daemon::settings::{Error, Reader};
use ipnet::IpNet;

use super::{Collection, Ipam, NodeDuties, Unmanaged};
use crate::ipam::{Pool, read_pools};
use crate::lease::Times;
use crate::slices::{Rates, Slicing};

/// No duration is none.
fn interval(read: &Reader<'_>, key: &str) -> Result<Option<Duration>, Error> {
    let interval = read.duration_or_seconds(key)?;
    Ok(Some(interval).filter(|interval| !interval.is_zero()))
}

pub(super) fn lease(read: &Reader<'_>) -> Result<Times, Error> {
    let times = Times {
        lease: read.duration_or_seconds("leader-election-lease-duration")?,
        renew: read.duration_or_seconds("leader-election-renew-deadline")?,
        retry: read.duration_or_seconds("leader-election-retry-period")?,
    };
    if times.lease <= times.renew || times.renew <= times.retry || times.retry.is_zero() {
        return Err(Error::Conflict(
            "leader-election-lease-duration must be longer than leader-election-renew-deadline, and that longer than leader-election-retry-period".into(),
        ));
    }
    if times.lease.subsec_nanos() > 0 {
        return Err(Error::invalid(
            "leader-election-lease-duration",
            read.text("leader-election-lease-duration"),
            "a whole number of seconds",
        ));
    }
    Ok(times)
}

pub(super) fn ipam(read: &Reader<'_>) -> Result<Ipam, Error> {
    if read.text("ipam") == "kubernetes" {
        return Ok(Ipam::Kubernetes);
    }
    if read.text("ipam") == "multi-pool" {
        let key = "auto-create-cilium-pod-ip-pools";
        let pools = read_pools(read.text(key));
        return pools
            .map(Ipam::MultiPool)
            .map_err(|error| Error::Conflict(format!("{key}: {error}")));
    }
    let mut pools = Vec::new();
    for family in ["ipv4", "ipv6"] {
        if read.flag(&format!("enable-{family}"))? {
            pools.push(pool(read, family)?);
        }
    }
    if pools.is_empty() {
        return Err(Error::Conflict(
            "enable-ipv4, enable-ipv6: at least one must be true".into(),
        ));
    }
    Ok(Ipam::ClusterPool(pools))
}

fn pool(read: &Reader<'_>, family: &str) -> Result<Pool, Error> {
    let key = format!("cluster-pool-{family}-cidr");
    let mut cidrs: Vec<IpNet> = Vec::new();
    for text in read.list(&key) {
        let cidr: IpNet = text
            .parse()
            .map_err(|_| Error::invalid(&key, &text, "a prefix of the family"))?;
        if cidr.addr().is_ipv4() != (family == "ipv4") {
            return Err(Error::invalid(&key, &text, "a prefix of the family"));
        }
        cidrs.push(cidr);
    }
    let mask = read.parse(
        &format!("cluster-pool-{family}-mask-size"),
        "a length of a prefix",
    )?;
    Pool::new(&cidrs, mask).map_err(|error| Error::Conflict(format!("{key}: {error}")))
}

pub(super) fn collection(read: &Reader<'_>) -> Result<Collection, Error> {
    let every = read.duration_or_seconds("identity-gc-rate-interval")?;
    let limit: u32 = read.parse("identity-gc-rate-limit", "a number")?;
    if every.is_zero() || limit == 0 {
        return Err(Error::Conflict(
            "identity-gc-rate-interval, identity-gc-rate-limit: must not be 0".into(),
        ));
    }
    let endpoints = !read.flag("disable-endpoint-crd")?;
    Ok(Collection {
        identities: interval(read, "identity-gc-interval")?.filter(|_| endpoints),
        identity_timeout: read.duration_or_seconds("identity-heartbeat-timeout")?,
        identities_per_second: f64::from(limit) / every.as_secs_f64(),
        endpoints: interval(read, "cilium-endpoint-gc-interval")?.filter(|_| endpoints),
        endpoints_once: endpoints,
        nodes: interval(read, "nodes-gc-interval")?,
    })
}

pub(super) fn slices(read: &Reader<'_>) -> Result<Option<Slicing>, Error> {
    if !read.flag("enable-cilium-endpoint-slice")? {
        return Ok(None);
    }
    if read.flag("disable-endpoint-crd")? {
        return Err(Error::Conflict(
            "enable-cilium-endpoint-slice: slices are made of CiliumEndpoints, which disable-endpoint-crd leaves out".into(),
        ));
    }
    let (largest, rates) = ("ces-max-ciliumendpoints-per-ces", "ces-rate-limits");
    let text = read.text(rates);
    let number: NonZeroUsize = read.parse(largest, "a number above 0")?;
    Ok(Some(Slicing {
        largest: number.get(),
        rates: Rates::read(text).ok_or_else(|| {
            Error::invalid(
                rates,
                text,
                r#"a list like [{"nodes":0,"limit":10,"burst":20}]"#,
            )
        })?,
    }))
}

pub(super) fn node_duties(read: &Reader<'_>, namespace: &str) -> Result<NodeDuties, Error> {
    let given = read.text("cilium-pod-namespace");
    let remove_taint = read.flag("remove-cilium-node-taints")?;
    Ok(NodeDuties {
        namespace: if given.is_empty() { namespace } else { given }.to_owned(),
        labels: read.text("cilium-pod-labels").to_owned(),
        taint: read.text("agent-not-ready-taint-key").to_owned(),
        remove_taint,
        set_taint: remove_taint && read.flag("set-cilium-node-taints")?,
        set_condition: read.flag("set-cilium-is-up-condition")?,
    })
}

pub(super) fn unmanaged(read: &Reader<'_>) -> Result<Option<Unmanaged>, Error> {
    let selector = read.text("pod-restart-selector").to_owned();
    // Without endpoints in the store every pod would look unmanaged.
    let known = !read.flag("disable-endpoint-crd")?;
    let every = interval(read, "unmanaged-pod-watcher-interval")?;
    Ok(every
        .filter(|_| known && !selector.is_empty())
        .map(|every| Unmanaged { every, selector }))
}

pub(super) fn secrets(read: &Reader<'_>) -> Result<Option<String>, Error> {
    let key = "policy-secrets-namespace";
    match (read.flag("enable-policy-secrets-sync")?, read.text(key)) {
        (false, _) => Ok(None),
        (true, "") => Err(read.invalid(key, "the name of a namespace")),
        (true, namespace) => Ok(Some(namespace.to_owned())),
    }
}
