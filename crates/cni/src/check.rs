//! CHECK: is everything there as ADD returned it, and in force?

use ipnet::IpNet;
use local_api::endpoint::{EndpointHealthStatus, EndpointState};
use netlink::{AdminState, Family, Handle, Link};

use crate::add::open_pod;
use crate::agent::Agent;
use crate::error::{Code, Error};
use crate::input::{Arguments, Chaining, Config};
use crate::result::Success;

pub(crate) fn run(arguments: &Arguments, config: &Config, agent: &Agent) -> Result<(), Error> {
    let Some(previous) = &config.previous else {
        return Err(Error::new(
            Code::InvalidConfig,
            "prevResult is missing: CHECK compares with the result of ADD",
        ));
    };
    let in_pod = Handle::open_in(&open_pod(arguments.netns()?)?)?;
    let interface = arguments.attachment.interface.as_str();
    let link = in_pod
        .find_link(interface)?
        .ok_or_else(|| failed(format!("interface {interface} is not in the pod")))?;
    check_interface(&in_pod, &link, previous)?;
    if config.chaining == Chaining::Alone {
        check_host_link(&arguments.attachment.host_link(), &link)?;
    }
    check_endpoint(arguments, agent)
}

fn failed(text: impl Into<String>) -> Error {
    Error::new(Code::CheckFailed, text)
}

fn check_interface(in_pod: &Handle, link: &Link, previous: &Success) -> Result<(), Error> {
    let name = &link.name;
    if link.state() == AdminState::Down {
        return Err(failed(format!("interface {name} is down")));
    }
    let Some((position, wanted)) = previous.pod_interface(name) else {
        return Err(failed(format!(
            "prevResult.interfaces has no {name} with a sandbox"
        )));
    };
    let mac = link.mac.map(|mac| mac.to_string()).unwrap_or_default();
    if !wanted.mac.is_empty() && !wanted.mac.eq_ignore_ascii_case(&mac) {
        return Err(failed(format!(
            "interface {name} has MAC {mac}, ADD returned {}",
            wanted.mac
        )));
    }
    let present: Vec<IpNet> = in_pod
        .addresses(Some(link.index))?
        .iter()
        .map(|a| a.address)
        .collect();
    for address in previous
        .addresses
        .iter()
        .filter(|a| a.interface.is_none_or(|of| of == position))
    {
        if !present.contains(&address.address) {
            return Err(failed(format!(
                "address {} is not on interface {name}",
                address.address
            )));
        }
    }
    check_routes(in_pod, link, previous)
}

fn check_routes(in_pod: &Handle, link: &Link, previous: &Success) -> Result<(), Error> {
    let mut present = in_pod.routes(Family::V4, None)?;
    present.extend(in_pod.routes(Family::V6, None)?);
    for wanted in &previous.routes {
        let found = present.iter().any(|route| {
            route.destination == wanted.destination
                && (wanted.gateway.is_none() || route.gateway == wanted.gateway)
        });
        if !found {
            return Err(failed(format!(
                "route to {} is not in the pod of interface {}",
                wanted.destination, link.name
            )));
        }
    }
    Ok(())
}

fn check_host_link(name: &str, inner: &Link) -> Result<(), Error> {
    let outer = Handle::open()?
        .find_link(name)?
        .ok_or_else(|| failed(format!("host end {name} is missing")))?;
    if inner.peer != Some(outer.index) {
        return Err(failed(format!(
            "host end {name} is not the peer of {}",
            inner.name
        )));
    }
    if outer.state() == AdminState::Down {
        return Err(failed(format!("host end {name} is down")));
    }
    Ok(())
}

fn check_endpoint(arguments: &Arguments, agent: &Agent) -> Result<(), Error> {
    let attachment = &arguments.attachment;
    let endpoint = agent.endpoint(attachment).map_err(|error| {
        if error.is_not_found() {
            Error::new(
                Code::UnknownContainer,
                format!("the agent has no endpoint for attachment {attachment}"),
            )
        } else {
            error.into()
        }
    })?;
    let state = endpoint.status.and_then(|status| status.state);
    let usable = matches!(
        state,
        Some(
            EndpointState::Ready | EndpointState::Regenerating | EndpointState::WaitingToRegenerate
        )
    );
    if !usable {
        return Err(failed(format!(
            "endpoint {} is in state {state:?}",
            endpoint.id
        )));
    }
    let health = agent.endpoint_health(attachment)?.overall_health;
    match health {
        Some(EndpointHealthStatus::Failure | EndpointHealthStatus::Bootstrap) => Err(failed(
            format!("endpoint {} has health {health:?}", endpoint.id),
        )),
        _ => Ok(()),
    }
}
