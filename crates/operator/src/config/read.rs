//! From texts to typed values.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::{Collection, Error, Given, Ipam, NodeDuties, UNSUPPORTED, Unmanaged};
use crate::ipam::Pool;
use crate::lease::Times;

/// Reads one key after the other with its type; stops at the first error.
pub(super) struct Reader<'a>(pub(super) &'a Given);

impl Reader<'_> {
    pub(super) fn text(&self, key: &str) -> &str {
        self.0.value(key)
    }

    pub(super) fn parse<T: std::str::FromStr>(
        &self,
        key: &str,
        expected: &str,
    ) -> Result<T, Error> {
        let value = self.text(key);
        value.parse().map_err(|_| invalid(key, value, expected))
    }

    pub(super) fn flag(&self, key: &str) -> Result<bool, Error> {
        match self.text(key).to_ascii_lowercase().as_str() {
            "true" | "1" | "t" => Ok(true),
            "false" | "0" | "f" | "" => Ok(false),
            other => Err(invalid(key, other, "true or false")),
        }
    }

    pub(super) fn path(&self, key: &str) -> Option<PathBuf> {
        Some(self.text(key))
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    }

    pub(super) fn list(&self, key: &str) -> Vec<String> {
        let parts = self.text(key).split([',', ' ']).map(str::trim);
        parts
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// Upstream writes some as a number of seconds.
    pub(super) fn duration(&self, key: &str) -> Result<Duration, Error> {
        let value = self.text(key);
        if let Ok(seconds) = value.parse() {
            return Ok(Duration::from_secs(seconds));
        }
        let span: jiff::SignedDuration = value
            .parse()
            .map_err(|_| invalid(key, value, "a duration like 5m or 30s"))?;
        Duration::try_from(span).map_err(|_| invalid(key, value, "a duration that is not negative"))
    }

    /// No duration is none.
    pub(super) fn interval(&self, key: &str) -> Result<Option<Duration>, Error> {
        Ok(Some(self.duration(key)?).filter(|interval| !interval.is_zero()))
    }

    pub(super) fn address(&self, key: &str) -> Result<SocketAddr, Error> {
        let value = self.text(key);
        let full = if value.starts_with(':') {
            format!("[::]{value}")
        } else {
            value.replace("localhost:", "127.0.0.1:")
        };
        full.parse()
            .map_err(|_| invalid(key, value, "ADDRESS:PORT or :PORT"))
    }
}

pub(super) fn invalid(key: &str, value: &str, expected: &str) -> Error {
    Error::Invalid {
        key: key.to_owned(),
        value: value.to_owned(),
        expected: expected.to_owned(),
    }
}

pub(super) fn refuse_unsupported(given: &Given) -> Result<(), Error> {
    for (key, off) in UNSUPPORTED {
        let Some(value) = given.explicit(key).filter(|value| !value.is_empty()) else {
            continue;
        };
        let mut accepted = off.split('|');
        if !accepted.any(|accepted| accepted.eq_ignore_ascii_case(value)) {
            return Err(Error::Unsupported {
                key: (*key).to_owned(),
                value: value.to_owned(),
                off: off.split('|').next().unwrap_or_default().to_owned(),
            });
        }
    }
    Ok(())
}

pub(super) fn lease(read: &Reader<'_>) -> Result<Times, Error> {
    let times = Times {
        lease: read.duration("leader-election-lease-duration")?,
        renew: read.duration("leader-election-renew-deadline")?,
        retry: read.duration("leader-election-retry-period")?,
    };
    if times.lease <= times.renew || times.renew <= times.retry || times.retry.is_zero() {
        return Err(Error::Conflict(
            "leader-election-lease-duration must be longer than leader-election-renew-deadline, and that longer than leader-election-retry-period".into(),
        ));
    }
    if times.lease.subsec_nanos() > 0 {
        return Err(invalid(
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
            .map_err(|_| invalid(&key, &text, "a prefix of the family"))?;
        if cidr.addr().is_ipv4() != (family == "ipv4") {
            return Err(invalid(&key, &text, "a prefix of the family"));
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
    let every = read.duration("identity-gc-rate-interval")?;
    let limit: u32 = read.parse("identity-gc-rate-limit", "a number")?;
    if every.is_zero() || limit == 0 {
        return Err(Error::Conflict(
            "identity-gc-rate-interval, identity-gc-rate-limit: must not be 0".into(),
        ));
    }
    let endpoints = !read.flag("disable-endpoint-crd")?;
    Ok(Collection {
        identities: read.interval("identity-gc-interval")?.filter(|_| endpoints),
        identity_timeout: read.duration("identity-heartbeat-timeout")?,
        identities_per_second: f64::from(limit) / every.as_secs_f64(),
        endpoints: read
            .interval("cilium-endpoint-gc-interval")?
            .filter(|_| endpoints),
        endpoints_once: endpoints,
        nodes: read.interval("nodes-gc-interval")?,
    })
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
    let every = read.interval("unmanaged-pod-watcher-interval")?;
    Ok(every
        .filter(|_| known && !selector.is_empty())
        .map(|every| Unmanaged { every, selector }))
}
