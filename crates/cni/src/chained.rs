//! ADD behind another plugin: its veth pair and addresses are adopted, its result passed on.

use local_api::endpoint::EndpointDatapathConfiguration;
use local_api::ipam::AddressPair;
use netlink::{Handle, Namespace};

use crate::add::describe;
use crate::agent::{Agent, delete_body};
use crate::error::{Code, Error};
use crate::input::{Arguments, Config};
use crate::result::Success;

/// Scope of addresses that others can reach (`RT_SCOPE_UNIVERSE`).
const GLOBAL: u8 = 0;

pub(crate) fn add(
    arguments: &Arguments,
    config: &Config,
    agent: &Agent,
    pod: &Namespace,
) -> Result<Success, Error> {
    let Some(previous) = &config.previous else {
        return Err(Error::new(
            Code::InvalidConfig,
            "prevResult is missing: chaining-mode needs the result of the plugin before",
        ));
    };
    let in_pod = Handle::open_in(pod)?;
    let interface = &arguments.attachment.interface;
    let inner = in_pod.link(interface.as_str())?;
    let host_index = inner.peer.filter(|_| inner.kind == "veth").ok_or_else(|| {
        let text = format!(
            "CNI_IFNAME {interface} is a {:?}, chaining needs one end of a veth pair",
            inner.kind
        );
        Error::new(Code::InvalidConfig, text)
    })?;
    let outer = Handle::open()?.link(host_index)?;
    let mut pair = AddressPair::default();
    for address in in_pod
        .addresses(Some(inner.index))?
        .iter()
        .filter(|a| a.scope == GLOBAL)
    {
        let ip = address.address.addr();
        let slot = if ip.is_ipv4() {
            &mut pair.ipv4
        } else {
            &mut pair.ipv6
        };
        if slot.is_empty() {
            *slot = ip.to_string();
        }
    }
    if pair == AddressPair::default() {
        return Err(Error::new(
            Code::InvalidConfig,
            format!("CNI_IFNAME {interface} has no address to adopt"),
        ));
    }
    let text = |mac: Option<netlink::Mac>| mac.map(|mac| mac.to_string()).unwrap_or_default();
    let mut request = describe(arguments)?;
    request.interface_name = outer.name;
    request.interface_index = i64::from(outer.index);
    request.mac = text(inner.mac);
    request.host_mac = text(outer.mac);
    request.netns_cookie = in_pod.namespace_cookie()?.to_string();
    request.addressing = Some(pair);
    request.datapath_configuration = Some(EndpointDatapathConfiguration {
        external_ipam: true,
        ..EndpointDatapathConfiguration::default()
    });
    if let Err(error) = agent.create(&request) {
        if error.is_unreachable() {
            // Its fate is unknown; the runtime's DEL asks again.
            let _ = agent.delete(&delete_body(&arguments.attachment));
        }
        return Err(error.into());
    }
    Ok(previous.clone())
}
