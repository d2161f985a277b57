//! `/v1/ipam`: addresses for the plugin.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Json;
use local_api::ipam::{AddressPair, IpamAddressResponse, IpamResponse};
use model::ipam::{DEFAULT_POOL, Family, IpamError, Lasting, Token};
use serde::Deserialize;

use super::ask::Query;
use super::{Api, Refusal, status};

#[derive(Deserialize, Default)]
pub(super) struct Parameters {
    #[serde(default)]
    family: String,
    #[serde(default)]
    owner: String,
    #[serde(default)]
    pool: String,
}

impl Parameters {
    fn check_pool(&self, api: &Api) -> Result<(), Refusal> {
        match self.pool.as_str() {
            "" | DEFAULT_POOL => Ok(()),
            _ if api.addresses.has_pools() => Ok(()),
            other => Err(Refusal::bad(format!(
                "pool: there is no pool {other:?}, only the node's own ranges (default)"
            ))),
        }
    }

    /// The pool that is named, or else the one that is chosen; none, where there is nothing to choose.
    async fn pool(&self, api: &Api, family: Family) -> Result<Option<Arc<str>>, Refusal> {
        let Some(pools) = &api.pools else {
            return Ok(None);
        };
        if !self.pool.is_empty() {
            return Ok(Some(self.pool.as_str().into()));
        }
        let chosen = pools.choose(&self.owner, family).await;
        let pool = chosen.map_err(|error| Refusal::unavailable(error.to_string()))?;
        Ok(Some(pool))
    }

    fn check_owner(&self) -> Result<(), Refusal> {
        if self.owner.is_empty() {
            return Err(Refusal::bad("owner: whose address it is must be said"));
        }
        Ok(())
    }
}

/// `POST /v1/ipam`: one address of the family, or one of each.
#[allow(clippy::too_many_lines, reason = "one answer, field by field")]
pub(super) async fn allocate(
    State(api): State<Api>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<IpamResponse>), Refusal> {
    parameters.check_pool(&api)?;
    parameters.check_owner()?;
    let on = api.config.datapath.families;
    let families = match parameters.family.as_str() {
        "ipv4" => vec![Family::Ipv4],
        "ipv6" => vec![Family::Ipv6],
        "" => [(on.ipv4, Family::Ipv4), (on.ipv6, Family::Ipv6)]
            .into_iter()
            .filter_map(|(on, family)| on.then_some(family))
            .collect(),
        other => {
            return Err(Refusal::bad(format!(
                "family: {other:?} is neither ipv4 nor ipv6"
            )));
        }
    };
    let expires = headers
        .get("expiration")
        .is_some_and(|value| value == "true");
    let lasting = if expires {
        Lasting::UntilConfirmed
    } else {
        Lasting::UntilReleased
    };
    let mut response = IpamResponse {
        host_addressing: Some(status::addressing(&api)),
        ..IpamResponse::default()
    };
    let mut pair = AddressPair::default();
    for family in families {
        let (address, token) = match give(&api, &parameters, family, lasting).await {
            Ok(given) => given,
            Err(refusal) => {
                for given in [&pair.ipv4, &pair.ipv6]
                    .into_iter()
                    .filter_map(|text| text.parse().ok())
                {
                    let _ = api.addresses.release(given, &parameters.owner);
                }
                return Err(refusal);
            }
        };
        let pool = api.addresses.pool_of(address);
        let pool = pool.map(|pool| pool.to_string()).unwrap_or_default();
        let token = token.map(|token| token.0.to_string()).unwrap_or_default();
        let gateway = api
            .addressing
            .routers()
            .find(|router| router.is_ipv4() == address.is_ipv4());
        let answer = IpamAddressResponse {
            ip: address.to_string(),
            gateway: gateway.map(|router| router.to_string()).unwrap_or_default(),
            expiration_uuid: token.clone(),
            skip_masquerade: skips_masquerade(&api, address),
            ..IpamAddressResponse::default()
        };
        if family == Family::Ipv4 {
            (pair.ipv4, pair.ipv4_expiration_uuid, response.ipv4) =
                (address.to_string(), token, Some(answer));
            pair.ipv4_pool_name = pool;
        } else {
            (pair.ipv6, pair.ipv6_expiration_uuid, response.ipv6) =
                (address.to_string(), token, Some(answer));
            pair.ipv6_pool_name = pool;
        }
    }
    response.address = Some(pair);
    Ok((StatusCode::CREATED, Json(response)))
}

/// An address for the request. Where ranges come and go, one that cannot be given may be given soon.
async fn give(
    api: &Api,
    of: &Parameters,
    family: Family,
    lasting: Lasting,
) -> Result<(IpAddr, Option<Token>), Refusal> {
    let pool = of.pool(api, family).await?;
    let given = api
        .addresses
        .allocate(pool.as_ref(), family, &of.owner, lasting);
    given.map_err(|error| match (&api.pools, pool) {
        (Some(pools), Some(pool)) if pools.is_missing(&pool) => {
            Refusal::unavailable(format!("there is no pool {pool}"))
        }
        (Some(_), _) => Refusal::unavailable(api.addresses.refusal(&error)),
        (None, _) => Refusal::no_address(error.to_string()),
    })
}

/// Whether the pool of this address says that it is kept on the way out of the cluster.
pub(super) fn skips_masquerade(api: &Api, address: IpAddr) -> bool {
    let pool = api.addresses.pool_of(address);
    api.pools
        .as_ref()
        .zip(pool)
        .is_some_and(|(pools, pool)| pools.skips_masquerade(&pool))
}

fn parse(ip: &str) -> Result<IpAddr, Refusal> {
    ip.parse()
        .map_err(|_| Refusal::bad(format!("ip: {ip:?} is not an address")))
}

/// `POST /v1/ipam/{ip}`: that address.
pub(super) async fn allocate_at(
    State(api): State<Api>,
    Path(ip): Path<String>,
    Query(of): Query<Parameters>,
) -> Result<(), Refusal> {
    let address = parse(&ip)?;
    of.check_pool(&api)?;
    of.check_owner()?;
    match api.addresses.allocate_at(address, &of.owner) {
        Ok(()) => Ok(()),
        Err(error @ IpamError::Taken { .. }) => Err(Refusal::conflict(error.to_string())),
        Err(error) => Err(Refusal::bad(format!("ip: {error}"))),
    }
}

/// `DELETE /v1/ipam/{ip}`; an address that an endpoint uses stays.
pub(super) async fn release(
    State(api): State<Api>,
    Path(ip): Path<String>,
    Query(of): Query<Parameters>,
) -> Result<(), Refusal> {
    let address = parse(&ip)?;
    of.check_pool(&api)?;
    if let Some(row) = api
        .view
        .get()
        .endpoints
        .iter()
        .find(|row| row.ips.iter().any(|own| own == address))
    {
        return Err(Refusal::conflict(format!(
            "{address} is in use by endpoint {}",
            row.id
        )));
    }
    match api.addresses.release(address, &of.owner) {
        Ok(()) | Err(IpamError::NotInUse { .. }) => Ok(()),
        Err(error) => Err(Refusal::conflict(error.to_string())),
    }
}
