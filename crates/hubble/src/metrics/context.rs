//! Labels of a series that say who sent and who received: chosen by options, taken from a flow.

use api::hubble::flow::{Endpoint, Flow, TrafficDirection};

use super::{
    options::ContextOption,
    series::{Label, OfPod, Tie, Values},
};

/// How one end of a flow is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identifier {
    Identity,
    Namespace,
    Pod,
    PodName,
    Dns,
    Ip,
    ReservedIdentity,
    Workload,
    WorkloadName,
    App,
}

const IDENTIFIERS: [(&str, Identifier); 10] = [
    ("identity", Identifier::Identity),
    ("namespace", Identifier::Namespace),
    ("pod", Identifier::Pod),
    ("pod-name", Identifier::PodName),
    ("dns", Identifier::Dns),
    ("ip", Identifier::Ip),
    ("reserved-identity", Identifier::ReservedIdentity),
    ("workload", Identifier::Workload),
    ("workload-name", Identifier::WorkloadName),
    ("app", Identifier::App),
];

/// What `labelsContext` can choose of an end, besides which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Ip,
    Pod,
    Namespace,
    Workload,
    WorkloadKind,
    App,
}

/// A label that `labelsContext` can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Source(Part),
    Destination(Part),
    Direction,
}

const CHOICES: [(&str, Choice); 13] = [
    ("source_ip", Choice::Source(Part::Ip)),
    ("source_pod", Choice::Source(Part::Pod)),
    ("source_namespace", Choice::Source(Part::Namespace)),
    ("source_workload", Choice::Source(Part::Workload)),
    ("source_workload_kind", Choice::Source(Part::WorkloadKind)),
    ("source_app", Choice::Source(Part::App)),
    ("destination_ip", Choice::Destination(Part::Ip)),
    ("destination_pod", Choice::Destination(Part::Pod)),
    (
        "destination_namespace",
        Choice::Destination(Part::Namespace),
    ),
    ("destination_workload", Choice::Destination(Part::Workload)),
    (
        "destination_workload_kind",
        Choice::Destination(Part::WorkloadKind),
    ),
    ("destination_app", Choice::Destination(Part::App)),
    ("traffic_direction", Choice::Direction),
];

/// Identifiers of one end: the first one that gives something is the label's value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Side {
    always: Vec<Identifier>,
    egress: Vec<Identifier>,
    ingress: Vec<Identifier>,
}

impl Side {
    fn is_chosen(&self) -> bool {
        !(self.always.is_empty() && self.egress.is_empty() && self.ingress.is_empty())
    }

    /// Those for flows of this direction.
    fn of(&self, direction: i32) -> &[Identifier] {
        let own = match TrafficDirection::try_from(direction) {
            Ok(TrafficDirection::Egress) => &self.egress,
            Ok(TrafficDirection::Ingress) => &self.ingress,
            _ => &self.always,
        };
        if own.is_empty() { &self.always } else { own }
    }

    fn names_pods(&self) -> bool {
        let all = [&self.always, &self.egress, &self.ingress];
        all.into_iter().flatten().any(|id| *id == Identifier::Pod)
    }
}

/// Whether the ends are taken as they are, or the other way round: a response tells of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    AsSeen,
    Inverted,
}

/// The chosen labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Context {
    choices: Vec<(&'static str, Choice)>,
    source: Side,
    destination: Side,
}

impl Context {
    /// Takes an option if it is about labels; whether it was. The error is a sentence.
    pub(super) fn take(&mut self, option: &ContextOption) -> Result<bool, String> {
        let identifiers = match option.name.to_lowercase().as_str() {
            "labelscontext" => {
                self.choices = choices(&option.values)?;
                return Ok(true);
            }
            "sourcecontext" => &mut self.source.always,
            "sourceegresscontext" => &mut self.source.egress,
            "sourceingresscontext" => &mut self.source.ingress,
            "destinationcontext" => &mut self.destination.always,
            "destinationegresscontext" => &mut self.destination.egress,
            "destinationingresscontext" => &mut self.destination.ingress,
            _ => return Ok(false),
        };
        if option.values.is_empty() {
            return Err(format!("{} needs a value", option.name));
        }
        *identifiers = option
            .values
            .iter()
            .map(|value| identifier(value))
            .collect::<Result<_, _>>()?;
        Ok(true)
    }

    /// The labels, in the order in which [`Self::values`] gives their values.
    pub(super) fn labels(&self) -> Vec<Label> {
        let choices = self.choices.iter().map(|(name, choice)| match choice {
            Choice::Direction => Label::few(name),
            Choice::Source(_) | Choice::Destination(_) => Label::open(name),
        });
        let sides = [("source", &self.source), ("destination", &self.destination)];
        let sides = sides.into_iter().filter(|(_, side)| side.is_chosen());
        choices
            .chain(sides.map(|(name, _)| Label::open(name)))
            .collect()
    }

    /// Which labels name a pod.
    pub(super) fn ties(&self) -> Vec<Tie> {
        let mut ties = Vec::new();
        for (name, side) in [("source", &self.source), ("destination", &self.destination)] {
            if side.names_pods() {
                ties.push(vec![(name, OfPod::Path)]);
            }
        }
        for [pod, namespace] in [
            ["source_pod", "source_namespace"],
            ["destination_pod", "destination_namespace"],
        ] {
            let chosen = |wanted| self.choices.iter().any(|(name, _)| *name == wanted);
            if chosen(pod) && chosen(namespace) {
                ties.push(vec![(pod, OfPod::Name), (namespace, OfPod::Namespace)]);
            }
        }
        ties
    }

    /// Appends the values that a flow has.
    pub(super) fn values(&self, flow: &Flow, turn: Turn, values: &mut Values) {
        let ends = [source(flow), destination(flow)];
        let turned = match turn {
            Turn::AsSeen => ends,
            Turn::Inverted => [ends[1], ends[0]],
        };
        for (_, choice) in &self.choices {
            match choice {
                Choice::Source(part) => turned[0].part(*part, values),
                Choice::Destination(part) => turned[1].part(*part, values),
                Choice::Direction => values.push(direction(flow)),
            }
        }
        // Turned, the identifiers go with the end that they were chosen for.
        let sides = [
            (self.source.is_chosen(), &self.source, ends[0]),
            (self.destination.is_chosen(), &self.destination, ends[1]),
        ];
        let named = match turn {
            Turn::AsSeen => [(sides[0].0, sides[0]), (sides[1].0, sides[1])],
            Turn::Inverted => [(sides[0].0, sides[1]), (sides[1].0, sides[0])],
        };
        for (chosen, (_, side, end)) in named {
            if chosen {
                end.name(side.of(flow.traffic_direction), values);
            }
        }
    }
}

fn identifier(value: &str) -> Result<Identifier, String> {
    IDENTIFIERS
        .iter()
        .find(|(name, _)| value.eq_ignore_ascii_case(name))
        .map(|(_, identifier)| *identifier)
        .ok_or_else(|| {
            let known = IDENTIFIERS.map(|(name, _)| name).join(", ");
            format!("{value:?} is none of {known}")
        })
}

/// The chosen labels, always in the same order.
fn choices(wanted: &[String]) -> Result<Vec<(&'static str, Choice)>, String> {
    let is_known = |value: &&String| CHOICES.iter().any(|(name, _)| name == value);
    if let Some(unknown) = wanted.iter().find(|value| !is_known(value)) {
        let known = CHOICES.map(|(name, _)| name).join(", ");
        return Err(format!("{unknown:?} is none of {known}"));
    }
    let is_wanted = |(name, _): &(&str, Choice)| wanted.iter().any(|value| value == name);
    Ok(CHOICES.into_iter().filter(is_wanted).collect())
}

/// `ingress`, `egress` or `unknown`.
fn direction(flow: &Flow) -> &'static str {
    match TrafficDirection::try_from(flow.traffic_direction) {
        Ok(TrafficDirection::Ingress) => "ingress",
        Ok(TrafficDirection::Egress) => "egress",
        _ => "unknown",
    }
}

/// One end of a flow.
#[derive(Clone, Copy)]
struct End<'a> {
    endpoint: Option<&'a Endpoint>,
    address: &'a str,
    names: &'a [String],
}

fn source(flow: &Flow) -> End<'_> {
    End {
        endpoint: flow.source.as_ref(),
        address: flow.ip.as_ref().map_or("", |ip| &ip.source),
        names: &flow.source_names,
    }
}

fn destination(flow: &Flow) -> End<'_> {
    End {
        endpoint: flow.destination.as_ref(),
        address: flow.ip.as_ref().map_or("", |ip| &ip.destination),
        names: &flow.destination_names,
    }
}

impl<'a> End<'a> {
    fn labels(self) -> &'a [String] {
        self.endpoint.map_or(&[], |endpoint| &endpoint.labels)
    }

    fn namespace(self) -> &'a str {
        self.endpoint.map_or("", |endpoint| &endpoint.namespace)
    }

    fn pod(self) -> &'a str {
        self.endpoint.map_or("", |endpoint| &endpoint.pod_name)
    }

    /// Name and kind of its first workload.
    fn workload(self) -> (&'a str, &'a str) {
        let first = self.endpoint.and_then(|end| end.workloads.first());
        first.map_or(("", ""), |workload| (&workload.name, &workload.kind))
    }

    fn part(self, part: Part, values: &mut Values) {
        values.push(match part {
            Part::Ip => self.address,
            Part::Pod => self.pod(),
            Part::Namespace => self.namespace(),
            Part::Workload => self.workload().0,
            Part::WorkloadKind => self.workload().1,
            Part::App => app(self.labels()),
        });
    }

    /// Appends what the first identifier gives that gives anything.
    fn name(self, identifiers: &[Identifier], values: &mut Values) {
        let mark = values.mark();
        for identifier in identifiers {
            values.back(mark);
            self.identify(*identifier, values);
            if !values.is_blank(mark) {
                return;
            }
        }
        if identifiers.is_empty() {
            values.push("");
        }
    }

    fn identify(self, identifier: Identifier, values: &mut Values) {
        let path = |name, values: &mut Values| match self.namespace() {
            "" => values.push(name),
            namespace => values.write([namespace, "/", name]),
        };
        match identifier {
            Identifier::Identity => joined(self.labels(), values),
            Identifier::Namespace => values.push(self.namespace()),
            Identifier::Pod => path(self.pod(), values),
            Identifier::PodName => values.push(self.pod()),
            Identifier::Dns => joined(self.names, values),
            Identifier::Ip => values.push(self.address),
            Identifier::ReservedIdentity => values.push(reserved(self.labels())),
            Identifier::Workload => match self.workload().0 {
                "" => values.push(""),
                name => path(name, values),
            },
            Identifier::WorkloadName => values.push(self.workload().0),
            Identifier::App => values.push(app(self.labels())),
        }
    }
}

fn joined(words: &[String], values: &mut Values) {
    let pieces = words.iter().enumerate();
    values.write(pieces.flat_map(|(index, word)| [if index == 0 { "" } else { "," }, word]));
}

/// `reserved:kube-apiserver`, else the first reserved label.
fn reserved(labels: &[String]) -> &str {
    const API_SERVER: &str = "reserved:kube-apiserver";
    if labels.iter().any(|label| label == API_SERVER) {
        return API_SERVER;
    }
    let first = labels.iter().find(|label| label.starts_with("reserved:"));
    first.map_or("", String::as_str)
}

/// The value of the first label that names an application.
fn app(labels: &[String]) -> &str {
    const KEYS: [&str; 3] = ["k8s:app.kubernetes.io/name", "k8s:k8s-app", "k8s:app"];
    labels
        .iter()
        .filter_map(|label| label.split_once('='))
        .find(|(key, value)| KEYS.contains(key) && !value.is_empty())
        .map_or("", |(_, value)| value)
}
