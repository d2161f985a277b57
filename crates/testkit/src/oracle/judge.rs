//! One question at a time: may this packet open a connection, and who says so?

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value;

use super::matching::{NamedPort, icmp_means, inside_but, port_means};
use super::ordered::climb;
use super::selectors::{Dialect, Tag, keys, selects};
use super::worlds::{Mode, Party, World};

/// Which side of a connection is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The destination.
    In,
    /// The source.
    Out,
}

/// A packet that opens a connection, and whose policy is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// Whose policy.
    pub subject: Party,
    /// Which side the subject is.
    pub way: Way,
    /// The other side.
    pub other: Party,
    /// Address family of the packet is that of the other side's address.
    pub protocol: u8,
    /// Destination port, or ICMP type.
    pub port: u16,
}

/// The answer, with all who could be named for it: `Kind namespace/name path` for rules, `Kind namespace/name` for
/// policies with default deny. Empty where the node itself or nobody decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It may.
    Allowed(BTreeSet<String>),
    /// A rule says that it may not.
    Denied(BTreeSet<String>),
    /// Nobody says that it may.
    NotAllowed(BTreeSet<String>),
}

/// What is the same for all rules of one question.
struct Asked<'a> {
    world: &'a World,
    subject: Vec<Tag>,
    other: Vec<Tag>,
    address: IpAddr,
    owner: Owner,
    ports: Vec<NamedPort>,
    destination: (u8, u16),
    ingress: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    World,
    Node,
    Managed,
}

fn has(tags: &[Tag], source: &str, key: &str) -> bool {
    tags.iter().any(|tag| tag.0 == source && tag.1 == key)
}

/// Judges one packet.
pub fn judge(world: &World, question: &Question) -> Answer {
    let subject = world.tags(&question.subject);
    let other = world.tags(&question.other);
    let nobody = BTreeSet::new;
    if world.mode == Mode::Never {
        return Answer::Allowed(nobody());
    }
    let ingress = question.way == Way::In;
    let reserved = |name: &str| has(&other, "reserved", name);
    let host_policy = has(&subject, "reserved", "host");
    if ingress && !host_policy && world.localhost_always && reserved("host") {
        return Answer::Allowed(nobody());
    }
    let health = has(&subject, "reserved", "health");
    if health && (reserved("host") || reserved("remote-node") || reserved("health")) {
        return Answer::Allowed(nobody());
    }
    let owner = match &question.other {
        Party::World(_) => Owner::World,
        Party::Reserved(name, _)
            if ["host", "remote-node", "kube-apiserver"].contains(&name.as_str()) =>
        {
            Owner::Node
        }
        _ => Owner::Managed,
    };
    let destination = if ingress {
        &question.subject
    } else {
        &question.other
    };
    let asked = Asked {
        world,
        other,
        address: question.other.address(world),
        owner,
        ports: world.named_ports(destination),
        destination: (question.protocol, question.port),
        ingress,
        subject,
    };
    let (mut allows, mut denies, mut defaults) = (nobody(), nobody(), nobody());
    for object in &world.objects {
        asked.consult(object, &mut allows, &mut denies, &mut defaults);
    }
    let init = has(&asked.subject, "reserved", "init");
    let always = world.mode == Mode::Always && !host_policy && !health;
    let by_default = (!defaults.is_empty() || init || always).then_some(defaults);
    let ordered = world.ordered.iter().filter(|rule| {
        rule.matches(
            question.way,
            &asked.subject,
            &asked.other,
            asked.destination,
        )
    });
    climb(&ordered.collect::<Vec<_>>(), &allows, &denies, by_default)
}

pub(super) type Names = BTreeSet<String>;

impl Asked<'_> {
    fn consult(
        &self,
        object: &Value,
        allows: &mut Names,
        denies: &mut Names,
        defaults: &mut Names,
    ) {
        let kind = object["kind"].as_str().unwrap_or("");
        let name = object["metadata"]["name"].as_str().unwrap_or("");
        let namespace = object["metadata"]["namespace"].as_str();
        let title = match namespace {
            Some(namespace) => format!("{kind} {namespace}/{name}"),
            None => format!("{kind} {name}"),
        };
        if kind == "NetworkPolicy" {
            return self.consult_kubernetes(
                &object["spec"],
                namespace.unwrap_or(""),
                &title,
                allows,
                defaults,
            );
        }
        let mut sections = Vec::new();
        if !object["spec"].is_null() {
            sections.push(("spec".to_owned(), &object["spec"]));
        }
        for (at, section) in object["specs"].as_array().into_iter().flatten().enumerate() {
            sections.push((format!("specs[{at}]"), section));
        }
        for (path, section) in sections {
            if self.is_subject(section, namespace) {
                self.consult_section(
                    section,
                    namespace,
                    &format!("{title} {path}"),
                    allows,
                    denies,
                );
                let (own, deny) = if self.ingress {
                    ("ingress", "ingressDeny")
                } else {
                    ("egress", "egressDeny")
                };
                let count = |list: &str| section[list].as_array().map_or(0, Vec::len);
                let implied = count(own) + count(deny) > 0;
                if section["enableDefaultDeny"][own]
                    .as_bool()
                    .unwrap_or(implied)
                {
                    defaults.insert(title.clone());
                }
            }
        }
    }

    fn is_subject(&self, section: &Value, namespace: Option<&str>) -> bool {
        let host = has(&self.subject, "reserved", "host");
        if !section["nodeSelector"].is_null() {
            return host && selects(&section["nodeSelector"], &self.subject, Dialect::Cilium);
        }
        if host {
            return false;
        }
        let mut selector = section["endpointSelector"].clone();
        let Some(namespace) = namespace else {
            return selects(&selector, &self.subject, Dialect::Cilium);
        };
        // A namespaced policy cannot choose another namespace.
        if let Some(pairs) = selector["matchLabels"].as_object_mut() {
            for key in [
                "io.kubernetes.pod.namespace",
                "k8s:io.kubernetes.pod.namespace",
                "any:io.kubernetes.pod.namespace",
            ] {
                pairs.remove(key);
            }
        }
        self.subject
            .contains(&tag("io.kubernetes.pod.namespace", namespace))
            && selects(&selector, &self.subject, Dialect::Cilium)
    }

    fn consult_section(
        &self,
        section: &Value,
        namespace: Option<&str>,
        path: &str,
        allows: &mut Names,
        denies: &mut Names,
    ) {
        let (own, deny) = if self.ingress {
            ("ingress", "ingressDeny")
        } else {
            ("egress", "egressDeny")
        };
        let chosen = &section["endpointSelector"];
        let for_init = chosen["matchLabels"]
            .as_object()
            .is_some_and(|pairs| pairs.contains_key("reserved:init"))
            || chosen["matchExpressions"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|e| {
                    e["key"] == "reserved:init"
                        && (e["operator"] == "Exists" || e["operator"] == "In")
                });
        for (list, names) in [(own, allows), (deny, denies)] {
            for (at, entry) in section[list].as_array().into_iter().flatten().enumerate() {
                if self.entry_matches(entry, namespace, for_init) {
                    names.insert(format!("{path}.{list}[{at}]"));
                }
            }
        }
    }

    fn entry_matches(&self, entry: &Value, namespace: Option<&str>, for_init: bool) -> bool {
        let prefix = if self.ingress { "from" } else { "to" };
        let list = |name: &str| entry[format!("{prefix}{name}")].as_array();
        let peers = [
            list("Endpoints"),
            list("CIDR"),
            list("CIDRSet"),
            list("Entities"),
        ];
        let ports = entry["toPorts"].as_array();
        let icmps = entry["icmps"].as_array();
        if peers.iter().all(Option::is_none) && ports.is_none() && icmps.is_none() {
            return false;
        }
        let peer = peers.iter().all(Option::is_none)
            || list("Endpoints")
                .into_iter()
                .flatten()
                .any(|s| self.is_endpoint(s, namespace, for_init))
            || list("CIDR")
                .into_iter()
                .flatten()
                .any(|cidr| self.in_cilium_cidr(cidr, &Value::Null))
            || list("CIDRSet")
                .into_iter()
                .flatten()
                .any(|item| self.in_cidr_set(item))
            || list("Entities")
                .into_iter()
                .flatten()
                .any(|entity| self.is_entity(entity.as_str().unwrap_or("")));
        let any_port = ports.is_none() && icmps.is_none();
        let port = any_port
            || ports
                .into_iter()
                .flatten()
                .flat_map(|rule| rule["ports"].as_array().into_iter().flatten())
                .any(|item| {
                    let any = ["TCP", "UDP", "SCTP"];
                    let named = [item["protocol"].as_str().unwrap_or("ANY")];
                    let protocols: &[&str] = if named == ["ANY"] { &any } else { &named };
                    port_means(
                        &item["port"],
                        &item["endPort"],
                        protocols,
                        &self.ports,
                        self.destination,
                    )
                })
            || icmps
                .into_iter()
                .flatten()
                .flat_map(|rule| rule["fields"].as_array().into_iter().flatten())
                .any(|field| icmp_means(field, self.destination));
        peer && port
    }

    fn is_endpoint(&self, selector: &Value, namespace: Option<&str>, for_init: bool) -> bool {
        if !selects(selector, &self.other, Dialect::Cilium) {
            return false;
        }
        let keys = keys(selector);
        if keys.iter().any(|key| key.starts_with("reserved:")) {
            return true;
        }
        let bare: Vec<&str> = keys
            .iter()
            .map(|key| {
                key.strip_prefix("k8s:")
                    .or(key.strip_prefix("any:"))
                    .unwrap_or(key)
            })
            .collect();
        let names_namespace = bare.contains(&"io.kubernetes.pod.namespace");
        let names_label = bare
            .iter()
            .any(|key| key.starts_with("io.cilium.k8s.namespace.labels."));
        let in_some = has(&self.other, "k8s", "io.kubernetes.pod.namespace");
        let placed = match namespace {
            _ if names_namespace => true,
            Some(_) if names_label => in_some,
            Some(own) => self
                .other
                .contains(&tag("io.kubernetes.pod.namespace", own)),
            None => in_some || for_init,
        };
        let names_cluster = bare.contains(&"io.cilium.k8s.policy.cluster");
        placed && (names_cluster || !self.world.default_local || self.is_local())
    }

    fn is_local(&self) -> bool {
        self.other
            .contains(&tag("io.cilium.k8s.policy.cluster", &self.world.cluster))
    }

    fn is_entity(&self, entity: &str) -> bool {
        let reserved = |name: &str| has(&self.other, "reserved", name);
        match entity {
            "all" => true,
            "world" => reserved("world") || reserved("world-ipv4") || reserved("world-ipv6"),
            "cluster" => {
                self.is_local()
                    || [
                        "host",
                        "remote-node",
                        "init",
                        "ingress",
                        "health",
                        "unmanaged",
                        "kube-apiserver",
                    ]
                    .into_iter()
                    .any(reserved)
            }
            name => reserved(name),
        }
    }

    fn in_cilium_cidr(&self, cidr: &Value, except: &Value) -> bool {
        let reached = match self.owner {
            Owner::World => true,
            Owner::Node => self.world.cidr_matches_nodes,
            Owner::Managed => false,
        };
        reached && inside_but(cidr.as_str().unwrap_or(""), except, self.address)
    }

    fn in_cidr_set(&self, item: &Value) -> bool {
        if !item["cidr"].is_null() {
            return self.in_cilium_cidr(&item["cidr"], &item["except"]);
        }
        let chosen = self.world.groups.iter().filter(|group| {
            if let Some(name) = item["cidrGroupRef"].as_str() {
                return group["metadata"]["name"] == name;
            }
            let labels = group["metadata"]["labels"]
                .as_object()
                .into_iter()
                .flatten();
            let mut tags: Vec<Tag> = labels
                .map(|(key, value)| {
                    (
                        "cidrgroup".to_owned(),
                        key.clone(),
                        value.as_str().unwrap_or("").to_owned(),
                    )
                })
                .collect();
            let name = group["metadata"]["name"].as_str().unwrap_or("");
            let by_name = format!("io.cilium.policy.cidrgroupname/{name}");
            tags.push(("cidrgroup".to_owned(), by_name, String::new()));
            selects(&item["cidrGroupSelector"], &tags, Dialect::Group)
        });
        let mut members = chosen.flat_map(|group| {
            group["spec"]["externalCIDRs"]
                .as_array()
                .into_iter()
                .flatten()
        });
        members.any(|member| self.in_cilium_cidr(member, &item["except"]))
    }

    fn consult_kubernetes(
        &self,
        spec: &Value,
        namespace: &str,
        title: &str,
        allows: &mut Names,
        defaults: &mut Names,
    ) {
        let own = self
            .subject
            .contains(&tag("io.kubernetes.pod.namespace", namespace));
        if !own || !selects(&spec["podSelector"], &self.subject, Dialect::Pod) {
            return;
        }
        let (list, peers, kind) = if self.ingress {
            ("ingress", "from", "Ingress")
        } else {
            ("egress", "to", "Egress")
        };
        let entries = spec[list].as_array().cloned().unwrap_or_default();
        let in_force = match spec["policyTypes"].as_array() {
            Some(types) if !types.is_empty() => types.iter().any(|name| name == kind),
            _ => self.ingress || !entries.is_empty(),
        };
        if !in_force {
            return;
        }
        defaults.insert(title.to_owned());
        for (at, entry) in entries.iter().enumerate() {
            let from = entry[peers].as_array().cloned().unwrap_or_default();
            let ports = entry["ports"].as_array().cloned().unwrap_or_default();
            let peer = from.is_empty()
                || from
                    .iter()
                    .any(|peer| self.is_kubernetes_peer(peer, namespace));
            let port = ports.is_empty()
                || ports.iter().any(|item| {
                    let protocol = [item["protocol"].as_str().unwrap_or("TCP")];
                    port_means(
                        &item["port"],
                        &item["endPort"],
                        &protocol,
                        &self.ports,
                        self.destination,
                    )
                });
            if peer && port {
                allows.insert(format!("{title} spec.{list}[{at}]"));
            }
        }
    }

    fn is_kubernetes_peer(&self, peer: &Value, namespace: &str) -> bool {
        if !peer["ipBlock"].is_null() {
            let block = &peer["ipBlock"];
            return inside_but(
                block["cidr"].as_str().unwrap_or(""),
                &block["except"],
                self.address,
            );
        }
        let placed = if peer["namespaceSelector"].is_null() {
            self.other
                .contains(&tag("io.kubernetes.pod.namespace", namespace))
        } else {
            has(&self.other, "k8s", "io.kubernetes.pod.namespace")
                && selects(&peer["namespaceSelector"], &self.other, Dialect::Namespace)
        };
        placed
            && selects(&peer["podSelector"], &self.other, Dialect::Pod)
            && (!self.world.default_local || self.is_local())
    }
}

fn tag(key: &str, value: &str) -> Tag {
    ("k8s".to_owned(), key.to_owned(), value.to_owned())
}
