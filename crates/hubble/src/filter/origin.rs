//! Fields about who talks: pods, services, labels, workloads, identities, names.

use api::hubble::flow::{Endpoint, Flow, FlowFilter, Service, Workload};

use super::{FieldError, Selector, Test, any_of, compile, pattern::DnsName};

/// One end of a flow, and the fields of the filter that ask for it.
struct End<'a> {
    endpoint: fn(&Flow) -> Option<&Endpoint>,
    service: fn(&Flow) -> Option<&Service>,
    names: fn(&Flow) -> &[String],
    pods: (&'static str, &'a [String]),
    services: (&'static str, &'a [String]),
    fqdns: (&'static str, &'a [String]),
    labels: (&'static str, &'a [String]),
    clusters: (&'static str, &'a [String]),
    workloads: &'a [Workload],
    identities: &'a [u32],
}

pub(super) fn tests(filter: &FlowFilter, tests: &mut Vec<Test>) -> Result<(), FieldError> {
    end(
        &End {
            endpoint: |flow| flow.source.as_ref(),
            service: |flow| flow.source_service.as_ref(),
            names: |flow| &flow.source_names,
            pods: ("source_pod", &filter.source_pod),
            services: ("source_service", &filter.source_service),
            fqdns: ("source_fqdn", &filter.source_fqdn),
            labels: ("source_label", &filter.source_label),
            clusters: ("source_cluster_name", &filter.source_cluster_name),
            workloads: &filter.source_workload,
            identities: &filter.source_identity,
        },
        tests,
    )?;
    end(
        &End {
            endpoint: |flow| flow.destination.as_ref(),
            service: |flow| flow.destination_service.as_ref(),
            names: |flow| &flow.destination_names,
            pods: ("destination_pod", &filter.destination_pod),
            services: ("destination_service", &filter.destination_service),
            fqdns: ("destination_fqdn", &filter.destination_fqdn),
            labels: ("destination_label", &filter.destination_label),
            clusters: ("destination_cluster_name", &filter.destination_cluster_name),
            workloads: &filter.destination_workload,
            identities: &filter.destination_identity,
        },
        tests,
    )
}

fn end(end: &End<'_>, tests: &mut Vec<Test>) -> Result<(), FieldError> {
    let End {
        endpoint,
        service,
        names,
        ..
    } = *end;
    let pods = compile(end.pods.0, end.pods.1, Named::parse)?;
    any_of(tests, pods, move |wanted, flow| {
        endpoint(flow).is_some_and(|seen| wanted.matches(&seen.namespace, &seen.pod_name))
    });
    let services = compile(end.services.0, end.services.1, Named::parse)?;
    any_of(tests, services, move |wanted, flow| {
        service(flow).is_some_and(|seen| wanted.matches(&seen.namespace, &seen.name))
    });
    let fqdns = compile(end.fqdns.0, end.fqdns.1, DnsName::parse)?;
    any_of(tests, fqdns, move |wanted, flow| {
        names(flow).iter().any(|name| wanted.matches(name))
    });
    let labels = compile(end.labels.0, end.labels.1, Selector::parse)?;
    any_of(tests, labels, move |wanted, flow| {
        wanted.matches(endpoint(flow).map_or(&[], |seen| &seen.labels))
    });
    let clusters = compile(end.clusters.0, end.clusters.1, not_empty)?;
    any_of(tests, clusters, move |wanted, flow| {
        endpoint(flow).is_some_and(|seen| seen.cluster_name == *wanted)
    });
    any_of(tests, end.workloads.to_vec(), move |wanted, flow| {
        endpoint(flow).is_some_and(|seen| seen.workloads.iter().any(|w| workload(wanted, w)))
    });
    any_of(tests, end.identities.to_vec(), move |wanted, flow| {
        endpoint(flow).is_some_and(|seen| seen.identity == *wanted)
    });
    Ok(())
}

fn workload(wanted: &Workload, seen: &Workload) -> bool {
    (wanted.name.is_empty() || wanted.name == seen.name)
        && (wanted.kind.is_empty() || wanted.kind == seen.kind)
}

fn not_empty(text: &str) -> Result<String, String> {
    match text {
        "" => Err("the name is empty".into()),
        name => Ok(name.to_owned()),
    }
}

/// `namespace/prefix` of a pod's or service's name; no namespace means any.
struct Named {
    namespace: Option<String>,
    prefix: String,
}

impl Named {
    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            _ if text.is_empty() => Err("the name is empty".into()),
            None => Ok(Self {
                namespace: Some("default".into()),
                prefix: text.into(),
            }),
            Some(("", prefix)) => Ok(Self {
                namespace: None,
                prefix: prefix.into(),
            }),
            Some((namespace, prefix)) => Ok(Self {
                namespace: Some(namespace.into()),
                prefix: prefix.into(),
            }),
        }
    }

    fn matches(&self, namespace: &str, name: &str) -> bool {
        !(namespace.is_empty() && name.is_empty())
            && self
                .namespace
                .as_ref()
                .is_none_or(|wanted| wanted == namespace)
            && name.starts_with(&self.prefix)
    }
}
