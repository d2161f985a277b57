//! Flags that filter flows, in the order in which they were typed: `--not` is about the flag after it.

mod lists;
mod values;

use anyhow::Context;
use api::hubble::flow::FlowFilter;
use clap::{Arg, ArgAction, ArgMatches, Command, error::Error};

use lists::Lists;

/// Which end of a flow a flag is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Source,
    Destination,
    /// One or the other.
    Either,
}

/// What of an end a flag asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Cluster,
    Fqdn,
    Ip,
    Pod,
    Namespace,
    AllNamespaces,
    Label,
    Service,
    Port,
    Workload,
    Identity,
}

/// What of the flow itself a flag asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Uuid,
    NodeName,
    NodeLabel,
    Protocol,
    TcpFlags,
    Type,
    Verdict,
    DropReason,
    HttpStatus,
    HttpMethod,
    HttpPath,
    HttpUrl,
    HttpHeader,
    TraceId,
    IpTraceId,
    SnatIp,
    IpVersion,
    TrafficDirection,
    Cel,
    Interface,
    Encrypted,
    Unencrypted,
}

/// What a flag is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    End(Kind, End),
    Event(Event),
    Not,
}

/// Whether a flag has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Required(&'static str),
    /// The value without one.
    Optional(&'static str),
}

struct Flag {
    name: &'static str,
    short: Option<char>,
    about: About,
    value: Value,
    help: &'static str,
}

macro_rules! flags {
    ($($name:literal $(as $short:literal)?, $about:expr, $value:expr, $help:literal;)+) => {
        &[$(Flag { name: $name, short: flags!(@short $($short)?), about: $about, value: $value, help: $help },)+]
    };
    (@short) => { None };
    (@short $short:literal) => { Some($short) };
}

use About::{End as E, Event as V, Not};
use End::{Destination, Either, Source};
use Value::{Optional, Required};

/// The flags; upstream's names.
const FLAGS: &[Flag] = flags! {
    "not", Not, Optional("true"), "Leave out the flows of the next filter";
    "uuid", V(Event::Uuid), Required("UUID"), "The flow with this id";
    "node-name", V(Event::NodeName), Required("PATTERN"), "Flows seen on these nodes ([cluster/]node, with *)";
    "node-label", V(Event::NodeLabel), Required("SELECTOR"), "Flows seen on nodes with these labels";
    "from-cluster", E(Kind::Cluster, Source), Required("NAME"), "Flows from this cluster";
    "cluster", E(Kind::Cluster, Either), Required("NAME"), "Flows from or to this cluster";
    "to-cluster", E(Kind::Cluster, Destination), Required("NAME"), "Flows to this cluster";
    "protocol", V(Event::Protocol), Required("NAME"), "Flows of this protocol (tcp, udp, icmp, sctp, http, dns, …)";
    "tcp-flags", V(Event::TcpFlags), Required("FLAGS"), "Flows with all these TCP flags (syn,ack)";
    "type" as 't', V(Event::Type), Required("TYPE[:SUBTYPE]"), "Flows of this event type (trace[:to-endpoint], drop[:133], policy-verdict, l7, capture, trace-sock)";
    "verdict", V(Event::Verdict), Required("VERDICT"), "Flows with this verdict (FORWARDED, DROPPED, AUDIT, REDIRECTED, ERROR, TRACED, TRANSLATED)";
    "drop-reason-desc", V(Event::DropReason), Required("REASON"), "Flows dropped for this reason (POLICY_DENIED, …)";
    "http-status", V(Event::HttpStatus), Required("STATUS"), "Responses with this status or beginning of one (404, 5+)";
    "http-method", V(Event::HttpMethod), Required("METHOD"), "Requests with this method";
    "http-path", V(Event::HttpPath), Required("REGEX"), "Requests whose path matches";
    "http-url", V(Event::HttpUrl), Required("REGEX"), "Requests whose URL matches";
    "http-header", V(Event::HttpHeader), Required("NAME:VALUE"), "Requests with this header";
    "trace-id", V(Event::TraceId), Required("ID"), "Flows of this trace";
    "ip-trace-id", V(Event::IpTraceId), Required("ID"), "Flows with this trace id in the IP options";
    "from-fqdn", E(Kind::Fqdn, Source), Required("PATTERN"), "Flows from this DNS name (with *)";
    "fqdn", E(Kind::Fqdn, Either), Required("PATTERN"), "Flows from or to this DNS name (with *)";
    "to-fqdn", E(Kind::Fqdn, Destination), Required("PATTERN"), "Flows to this DNS name (with *)";
    "from-ip", E(Kind::Ip, Source), Required("IP|CIDR"), "Flows from this address";
    "snat-ip", V(Event::SnatIp), Required("IP|CIDR"), "Flows whose source was translated to this address";
    "ip", E(Kind::Ip, Either), Required("IP|CIDR"), "Flows from or to this address";
    "to-ip", E(Kind::Ip, Destination), Required("IP|CIDR"), "Flows to this address";
    "ipv4" as '4', V(Event::IpVersion), Optional("v4"), "IPv4 flows";
    "ipv6" as '6', V(Event::IpVersion), Optional("v6"), "IPv6 flows";
    "ip-version", V(Event::IpVersion), Required("VERSION"), "Flows of this version (none, v4, v6)";
    "from-pod", E(Kind::Pod, Source), Required("POD"), "Flows from pods with this beginning of a name ([namespace/]pod)";
    "pod", E(Kind::Pod, Either), Required("POD"), "Flows from or to pods with this beginning of a name ([namespace/]pod)";
    "to-pod", E(Kind::Pod, Destination), Required("POD"), "Flows to pods with this beginning of a name ([namespace/]pod)";
    "from-namespace", E(Kind::Namespace, Source), Required("NAME"), "Flows from this namespace";
    "namespace" as 'n', E(Kind::Namespace, Either), Required("NAME"), "Flows from or to this namespace";
    "to-namespace", E(Kind::Namespace, Destination), Required("NAME"), "Flows to this namespace";
    "from-all-namespaces", E(Kind::AllNamespaces, Source), Optional("true"), "Flows from any namespace";
    "all-namespaces" as 'A', E(Kind::AllNamespaces, Either), Optional("true"), "Flows from or to any namespace";
    "to-all-namespaces", E(Kind::AllNamespaces, Destination), Optional("true"), "Flows to any namespace";
    "from-label", E(Kind::Label, Source), Required("SELECTOR"), "Flows from endpoints with these labels";
    "label" as 'l', E(Kind::Label, Either), Required("SELECTOR"), "Flows from or to endpoints with these labels";
    "to-label", E(Kind::Label, Destination), Required("SELECTOR"), "Flows to endpoints with these labels";
    "from-service", E(Kind::Service, Source), Required("SERVICE"), "Flows from services with this beginning of a name ([namespace/]service)";
    "service", E(Kind::Service, Either), Required("SERVICE"), "Flows from or to services with this beginning of a name ([namespace/]service)";
    "to-service", E(Kind::Service, Destination), Required("SERVICE"), "Flows to services with this beginning of a name ([namespace/]service)";
    "from-port", E(Kind::Port, Source), Required("PORT"), "Flows from this port";
    "port", E(Kind::Port, Either), Required("PORT"), "Flows from or to this port";
    "to-port", E(Kind::Port, Destination), Required("PORT"), "Flows to this port";
    "from-workload", E(Kind::Workload, Source), Required("[KIND/]NAME"), "Flows from this workload";
    "workload", E(Kind::Workload, Either), Required("[KIND/]NAME"), "Flows from or to this workload";
    "to-workload", E(Kind::Workload, Destination), Required("[KIND/]NAME"), "Flows to this workload";
    "from-identity", E(Kind::Identity, Source), Required("IDENTITY"), "Flows from this identity (a number, or host, world, …)";
    "identity", E(Kind::Identity, Either), Required("IDENTITY"), "Flows from or to this identity (a number, or host, world, …)";
    "to-identity", E(Kind::Identity, Destination), Required("IDENTITY"), "Flows to this identity (a number, or host, world, …)";
    "traffic-direction", V(Event::TrafficDirection), Required("DIRECTION"), "Flows of this direction (ingress, egress)";
    "cel-expression", V(Event::Cel), Required("CEL"), "Flows for which the expression about _flow is true (Common Expression Language)";
    "interface", V(Event::Interface), Required("NAME"), "Flows seen at this interface";
    "encrypted", V(Event::Encrypted), Optional("true"), "Encrypted flows";
    "unencrypted", V(Event::Unencrypted), Optional("true"), "Flows that are not encrypted";
};

/// The filter flags as they were typed.
#[derive(Clone, Debug, Default)]
pub(super) struct FilterArgs {
    typed: Vec<(&'static str, About, String)>,
}

impl FilterArgs {
    /// Allow list and deny list.
    pub(super) fn lists(&self) -> anyhow::Result<(Vec<FlowFilter>, Vec<FlowFilter>)> {
        let (mut allow, mut deny) = (Lists::default(), Lists::default());
        let mut negated = false;
        for (flag, about, value) in &self.typed {
            if *about == Not {
                negated = true;
                continue;
            }
            let list = if std::mem::take(&mut negated) {
                &mut deny
            } else {
                &mut allow
            };
            list.add(flag, *about, value)
                .with_context(|| format!("--{flag} {value}"))?;
        }
        Ok((allow.filters()?, deny.filters()?))
    }
}

impl clap::Args for FilterArgs {
    fn augment_args(command: Command) -> Command {
        FLAGS
            .iter()
            .fold(command.next_help_heading("Filters"), |command, flag| {
                let arg = Arg::new(flag.name)
                    .long(flag.name)
                    .action(ArgAction::Append)
                    .help(flag.help);
                let arg = match flag.short {
                    Some(short) => arg.short(short),
                    None => arg,
                };
                command.arg(match flag.value {
                    Required(name) => arg.value_name(name),
                    Optional(value) => arg
                        .num_args(0..=1)
                        .require_equals(true)
                        .default_missing_value(value)
                        .hide_possible_values(true),
                })
            })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for FilterArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut typed = Vec::new();
        for flag in FLAGS {
            let values = matches.get_many::<String>(flag.name).into_iter().flatten();
            let places = matches.indices_of(flag.name).into_iter().flatten();
            typed.extend(
                places
                    .zip(values)
                    .map(|(place, value)| (place, flag, value.clone())),
            );
        }
        typed.sort_by_key(|(place, ..)| *place);
        let typed = typed
            .into_iter()
            .map(|(_, flag, value)| (flag.name, flag.about, value));
        Ok(Self {
            typed: typed.collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
