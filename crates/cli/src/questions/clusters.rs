//! Names of clusters in tables and pictures, where several are asked for: `west:shop/api`.

use api::hubble::answers::{Edge, Party, Row};

use super::ask::Answer;

/// Puts the cluster before the names of all that have one.
pub(super) fn name(answer: &mut Answer) {
    match answer {
        Answer::Map(of) => name_rows(&mut of.edges),
        Answer::Failing(of) => edges(of.failures.iter_mut().map(|of| &mut of.edge)),
        Answer::Exposed(of) => {
            for exposure in &mut of.exposures {
                service(&mut exposure.service, exposure.destination.as_ref());
                party(&mut exposure.destination);
            }
        }
        Answer::Http(of) => {
            for requests in &mut of.requests {
                service(&mut requests.service, requests.destination.as_ref());
                party(&mut requests.destination);
                for caller in &mut requests.callers {
                    party(&mut caller.party);
                }
            }
            for unread in &mut of.unread {
                service(&mut unread.service, unread.destination.as_ref());
                party(&mut unread.destination);
            }
        }
        Answer::Dns(of) => edges(of.lookups.iter_mut().map(|of| &mut of.edge)),
        Answer::Kafka(of) => edges(of.topics.iter_mut().map(|of| &mut of.edge)),
        Answer::Resolved(of) => {
            for resolution in &mut of.resolutions {
                party(&mut resolution.source);
            }
        }
    }
}

/// The same of the rows of a map.
pub(super) fn name_rows(rows: &mut [Row]) {
    edges(rows.iter_mut().map(|row| &mut row.edge));
}

fn edges<'a>(all: impl Iterator<Item = &'a mut Option<Edge>>) {
    for edge in all.flatten() {
        service(&mut edge.service, edge.destination.as_ref());
        party(&mut edge.source);
        party(&mut edge.destination);
    }
}

/// A service is of the cluster of whom it led to.
fn service(service: &mut String, destination: Option<&Party>) {
    let cluster = destination.map_or("", |of| of.cluster.as_str());
    if !service.is_empty() {
        before(service, cluster);
    }
}

fn party(party: &mut Option<Party>) {
    if let Some(party) = party {
        // The part that is written first.
        let part = if party.namespace.is_empty() {
            &mut party.name
        } else {
            &mut party.namespace
        };
        before(part, &party.cluster);
    }
}

fn before(text: &mut String, cluster: &str) {
    if !cluster.is_empty() {
        text.insert_str(0, &format!("{cluster}:"));
    }
}

#[cfg(test)]
mod tests;
