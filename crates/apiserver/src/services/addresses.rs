//! Cluster addresses and the families they are of.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rand::Rng;
use serde_json::{Value, json};

use super::{Draft, Family, service_type, text, texts};
use crate::error::ApiError;
use crate::store::Transaction;

/// Addresses of a range that are considered; more would only make a full range slow to refuse.
const MOST: u128 = 1 << 20;

fn claim_of(address: IpAddr) -> String {
    format!("ip/{address}")
}

/// Claims of a stored service.
pub(super) fn claims(service: &Value) -> Vec<String> {
    let addresses = texts(service, "/spec/clusterIPs")
        .into_iter()
        .filter_map(|text| text.parse().ok());
    addresses.map(claim_of).collect()
}

/// Sets `clusterIP`, `clusterIPs`, `ipFamilies` and `ipFamilyPolicy`.
pub(super) fn assign(
    transaction: &mut Transaction<'_>,
    ranges: &[IpNet],
    draft: &mut Draft<'_>,
) -> Result<(), ApiError> {
    let held = draft.old.map(claims).unwrap_or_default();
    if service_type(draft.new) == "ExternalName" {
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            draft.spec(field, None);
        }
        for claim in &held {
            transaction.release(claim);
        }
        return Ok(());
    }
    let wanted = wanted(draft)?;
    let headless = wanted.first().is_some_and(|address| address == "None");
    let families = families(ranges, draft, &wanted)?;
    let mut given: Vec<String> = Vec::new();
    if headless {
        given.push("None".to_owned());
    } else {
        for (index, &family) in families.iter().enumerate() {
            let range = ranges
                .iter()
                .find(|range| Family::of(range.addr()) == family);
            let range = range.ok_or_else(|| not_configured(draft, index, family))?;
            let address = match wanted.get(index) {
                Some(asked) => take(transaction, range, draft, index, asked)?,
                None => pick(transaction, range, draft)?,
            };
            transaction.claim(&claim_of(address), &draft.owner);
            given.push(address.to_string());
        }
    }
    for claim in held {
        if !given.iter().any(|address| claim == format!("ip/{address}")) {
            transaction.release(&claim);
        }
    }
    draft.spec("clusterIP", Some(json!(given[0])));
    draft.spec("clusterIPs", Some(json!(given)));
    draft.spec(
        "ipFamilies",
        Some(families.iter().map(|family| family.text()).collect()),
    );
    Ok(())
}

/// The addresses the client asks for: written, or carried over from before.
fn wanted(draft: &Draft<'_>) -> Result<Vec<String>, ApiError> {
    let mut wanted = texts(draft.new, "/spec/clusterIPs");
    let primary = text(draft.new, "/spec/clusterIP");
    if wanted.is_empty() && !primary.is_empty() {
        wanted.push(primary.to_owned());
    }
    if !primary.is_empty() && wanted.first().is_some_and(|first| first != primary) {
        return Err(draft.refuse("spec.clusterIPs[0]", "must equal spec.clusterIP"));
    }
    if wanted.len() > 2 {
        return Err(draft.refuse(
            "spec.clusterIPs",
            "at most one address per family is possible",
        ));
    }
    if wanted.len() > 1 && wanted.iter().any(|address| address == "None") {
        return Err(draft.refuse("spec.clusterIPs", "None stands alone"));
    }
    let before = draft
        .old
        .map(|old| texts(old, "/spec/clusterIPs"))
        .unwrap_or_default();
    let Some(old_primary) = before.first() else {
        return Ok(wanted);
    };
    match wanted.first() {
        None => Ok(before),
        Some(new_primary) if new_primary != old_primary => Err(draft.refuse(
            "spec.clusterIPs[0]",
            "the field is immutable; may not change once set",
        )),
        Some(_) => Ok(wanted),
    }
}

/// Families in order; sets the policy.
fn families(
    ranges: &[IpNet],
    draft: &mut Draft<'_>,
    wanted: &[String],
) -> Result<Vec<Family>, ApiError> {
    let configured: Vec<Family> = ranges
        .iter()
        .map(|range| Family::of(range.addr()))
        .collect();
    let mut families = written_families(draft, &configured)?;
    for (index, address) in wanted
        .iter()
        .enumerate()
        .filter(|(_, address)| *address != "None")
    {
        let field = format!("spec.clusterIPs[{index}]");
        let parsed: IpAddr = address
            .parse()
            .map_err(|_| draft.refuse(&field, "is not an IP address"))?;
        match families.get(index) {
            None => families.push(Family::of(parsed)),
            Some(&family) if family == Family::of(parsed) => {}
            Some(_) => return Err(draft.refuse(&field, "is not of the family in spec.ipFamilies")),
        }
    }
    let policy = policy(draft, families.len())?;
    draft.spec("ipFamilyPolicy", Some(policy.clone().into()));
    if families.is_empty() {
        families.extend(configured.first());
    }
    if policy == "SingleStack" {
        families.truncate(1);
        return Ok(families);
    }
    families.extend(
        configured
            .iter()
            .find(|family| !families.contains(family))
            .filter(|_| families.len() == 1),
    );
    if policy == "RequireDualStack" && families.len() < 2 {
        return Err(draft.refuse(
            "spec.ipFamilyPolicy",
            "the server has a service range for one family only",
        ));
    }
    Ok(families)
}

fn written_families(draft: &Draft<'_>, configured: &[Family]) -> Result<Vec<Family>, ApiError> {
    let mut written = texts(draft.new, "/spec/ipFamilies");
    if written.is_empty() {
        written = draft
            .old
            .map(|old| texts(old, "/spec/ipFamilies"))
            .unwrap_or_default();
    }
    let mut families = Vec::new();
    for (index, name) in written.iter().enumerate() {
        let field = format!("spec.ipFamilies[{index}]");
        let family =
            Family::parse(name).ok_or_else(|| draft.refuse(&field, "must be IPv4 or IPv6"))?;
        if families.contains(&family) {
            return Err(draft.refuse(&field, "is there twice"));
        }
        if !configured.contains(&family) {
            return Err(not_configured(draft, index, family));
        }
        families.push(family);
    }
    Ok(families)
}

fn policy(draft: &Draft<'_>, families: usize) -> Result<String, ApiError> {
    let written = text(draft.new, "/spec/ipFamilyPolicy");
    let before = draft
        .old
        .map(|old| text(old, "/spec/ipFamilyPolicy"))
        .unwrap_or_default();
    match (written, before) {
        ("", "") if families > 1 => Ok("RequireDualStack".to_owned()),
        ("", "") => Ok("SingleStack".to_owned()),
        ("", before) => Ok(before.to_owned()),
        ("SingleStack" | "PreferDualStack" | "RequireDualStack", _) => Ok(written.to_owned()),
        _ => Err(draft.refuse(
            "spec.ipFamilyPolicy",
            "must be SingleStack, PreferDualStack or RequireDualStack",
        )),
    }
}

fn not_configured(draft: &Draft<'_>, index: usize, family: Family) -> ApiError {
    let message = format!("the server has no service range for {}", family.text());
    draft.refuse(&format!("spec.ipFamilies[{index}]"), &message)
}

/// An address the client asks for by number.
fn take(
    transaction: &Transaction<'_>,
    range: &IpNet,
    draft: &Draft<'_>,
    index: usize,
    asked: &str,
) -> Result<IpAddr, ApiError> {
    let field = format!("spec.clusterIPs[{index}]");
    let address: IpAddr = asked
        .parse()
        .map_err(|_| draft.refuse(&field, "is not an IP address"))?;
    if !range.contains(&address) {
        return Err(draft.refuse(
            &field,
            &format!("{address} is not in the service range {range}"),
        ));
    }
    match transaction.claimed_by(&claim_of(address))? {
        Some(owner) if owner != draft.owner => Err(draft.refuse(
            &field,
            &format!("{address} is already allocated to {owner}"),
        )),
        _ => Ok(address),
    }
}

/// A free address, from a random start so that a freed one is not given out again at once. The lowest sixteenth
/// (16 to 256 addresses) is kept for those who ask by number, and used only when the rest is full.
fn pick(
    transaction: &Transaction<'_>,
    range: &IpNet,
    draft: &Draft<'_>,
) -> Result<IpAddr, ApiError> {
    let host_bits = u32::from(range.max_prefix_len() - range.prefix_len());
    let size = 1_u128.checked_shl(host_bits).unwrap_or(MOST).min(MOST);
    // First and last of an IPv4 range mean network and broadcast; the first of an IPv6 range is the routers'.
    let last = if range.addr().is_ipv4() {
        size - 1
    } else {
        size
    };
    let by_number = (size / 16).clamp(16, 256).min(last - 1);
    let base = match range.network() {
        IpAddr::V4(base) => u128::from(u32::from(base)),
        IpAddr::V6(base) => u128::from(base),
    };
    for band in [by_number..last, 1..by_number] {
        let length = band.end.saturating_sub(band.start);
        if length == 0 {
            continue;
        }
        let start = rand::rng().random_range(0..length);
        for step in 0..length {
            let number = base + band.start + (start + step) % length;
            let address = match range.addr() {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(number as u32)),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(number)),
            };
            if transaction.claimed_by(&claim_of(address))?.is_none() {
                return Ok(address);
            }
        }
    }
    Err(draft.refuse(
        "spec.clusterIPs",
        &format!("the service range {range} is full"),
    ))
}
