//! Filters put together from flags. A flag about either end makes two filters: one for the source, one for the
//! destination, each with all that the other flags ask for.

use anyhow::bail;
use api::hubble::flow::FlowFilter;

use super::{About, End, Event, Kind, values};

/// Namespaces asked for at one end; the empty one is any.
type Namespaces = Vec<String>;

/// One list of filters in the making.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// The filter for the source of flags about either end.
    left: FlowFilter,
    /// The filter for the destination of flags about either end.
    right: FlowFilter,
    source: Namespaces,
    destination: Namespaces,
    either: Namespaces,
    used: Vec<(&'static str, About)>,
}

impl Lists {
    /// Adds what a flag asks for.
    pub(super) fn add(
        &mut self,
        flag: &'static str,
        about: About,
        value: &str,
    ) -> anyhow::Result<()> {
        if let Some((other, _)) = self.used.iter().find(|(_, used)| exclude(*used, about)) {
            bail!("filters --{other} and --{flag} cannot be combined");
        }
        self.used.push((flag, about));
        match about {
            About::Not => Ok(()),
            About::Event(event) => {
                values::event(event, value, &mut self.left)?;
                values::event(event, value, &mut self.right)
            }
            About::End(Kind::Namespace, end) => {
                self.namespaces(end).push(value.to_owned());
                Ok(())
            }
            About::End(Kind::AllNamespaces, end) => {
                self.namespaces(end).push(String::new());
                Ok(())
            }
            About::End(kind, end) => {
                let (left, right) = match end {
                    End::Source => (End::Source, End::Source),
                    End::Destination => (End::Destination, End::Destination),
                    End::Either => (End::Source, End::Destination),
                };
                values::end(kind, left, value, &mut self.left)?;
                values::end(kind, right, value, &mut self.right)
            }
        }
    }

    fn namespaces(&mut self, end: End) -> &mut Namespaces {
        match end {
            End::Source => &mut self.source,
            End::Destination => &mut self.destination,
            End::Either => &mut self.either,
        }
    }

    /// The filters; none if no flag asked for anything.
    pub(super) fn filters(mut self) -> anyhow::Result<Vec<FlowFilter>> {
        if self.used.is_empty() {
            return Ok(Vec::new());
        }
        for filter in [&mut self.left, &mut self.right] {
            in_namespaces(
                &mut filter.source_pod,
                &mut filter.source_service,
                &self.source,
            )?;
            in_namespaces(
                &mut filter.destination_pod,
                &mut filter.destination_service,
                &self.destination,
            )?;
        }
        let (left, right) = (&mut self.left, &mut self.right);
        in_namespaces(&mut left.source_pod, &mut left.source_service, &self.either)?;
        in_namespaces(
            &mut right.destination_pod,
            &mut right.destination_service,
            &self.either,
        )?;
        Ok(if self.left == self.right {
            vec![self.left]
        } else {
            vec![self.left, self.right]
        })
    }
}

/// Puts names into namespaces; without names, the whole namespaces are asked for.
fn in_namespaces(
    pods: &mut Vec<String>,
    services: &mut Vec<String>,
    namespaces: &[String],
) -> anyhow::Result<()> {
    if namespaces.is_empty() {
        return Ok(());
    }
    for name in pods.iter().chain(services.iter()) {
        if let Some((of, _)) = name.split_once('/')
            && let Some(other) = namespaces.iter().find(|namespace| *namespace != of)
        {
            bail!("namespace conflict: {other:?} does not contain {name:?}");
        }
    }
    for names in [&mut *pods, &mut *services] {
        *names = names
            .iter()
            .flat_map(|name| {
                if name.contains('/') {
                    vec![name.clone()]
                } else {
                    namespaces.iter().map(|of| format!("{of}/{name}")).collect()
                }
            })
            .collect();
    }
    if pods.is_empty() && services.is_empty() {
        pods.extend(namespaces.iter().map(|namespace| format!("{namespace}/")));
    }
    Ok(())
}

/// Whether two flags of one list contradict each other.
fn exclude(one: About, other: About) -> bool {
    match (one, other) {
        (About::Event(Event::Encrypted), About::Event(Event::Unencrypted))
        | (About::Event(Event::Unencrypted), About::Event(Event::Encrypted)) => true,
        (About::End(a, end_a), About::End(b, end_b)) => {
            let overlap = end_a == end_b || end_a == End::Either || end_b == End::Either;
            let mixed = overlap && end_a != end_b;
            match (way(a), way(b)) {
                // Clusters may be mixed: which flows stay in one cluster is a question people ask.
                _ if a == b => mixed && a != Kind::Cluster,
                (Some(Way::Name), Some(Way::Name)) => match (a, b) {
                    (Kind::Namespace, Kind::AllNamespaces)
                    | (Kind::AllNamespaces, Kind::Namespace) => overlap,
                    (Kind::Pod, Kind::AllNamespaces) | (Kind::AllNamespaces, Kind::Pod) => mixed,
                    _ => false,
                },
                (Some(a), Some(b)) => overlap && a != b,
                _ => false,
            }
        }
        _ => false,
    }
}

/// Ways to name an end, of which a filter takes one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Dns,
    Address,
    Name,
}

fn way(kind: Kind) -> Option<Way> {
    match kind {
        Kind::Fqdn => Some(Way::Dns),
        Kind::Ip => Some(Way::Address),
        Kind::Pod | Kind::Namespace | Kind::AllNamespaces => Some(Way::Name),
        Kind::Cluster
        | Kind::Label
        | Kind::Service
        | Kind::Port
        | Kind::Workload
        | Kind::Identity => None,
    }
}
