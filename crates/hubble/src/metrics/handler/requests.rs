//! Metrics of requests and responses: dns, http, httpV2, kafka.

use api::hubble::flow::{Flow, L7FlowType, Layer7, Verdict, layer7::Record};
use prometheus_client::metrics::counter::Counter;

use super::{
    At, Context, Flags, Handler, Kept, Label, Told, Turn, trace,
    words::{rcode, reporter},
};
use crate::metrics::series::{TracedCounter, TracedHistogram};

#[allow(
    clippy::cast_precision_loss,
    reason = "a double counts nanoseconds exactly for three months"
)]
fn seconds(l7: &Layer7) -> f64 {
    l7.latency_ns as f64 / 1e9
}

fn is(l7: &Layer7, kind: L7FlowType) -> bool {
    l7.r#type == i32::from(kind)
}

/// Names that were asked for.
pub(super) struct Dns {
    queries: Told<Counter>,
    responses: Told<Counter>,
    types: Told<Counter>,
    query: bool,
    ignore_aaaa: bool,
}

impl Dns {
    pub(super) fn new(context: &Context, flags: &Flags<'_>) -> Self {
        let query = flags.has("query");
        let labels = |own: [Label; 3], count: usize| {
            let asked = query.then_some(Label::open("query"));
            own.into_iter().take(count).chain(asked).collect::<Vec<_>>()
        };
        let answered = labels(
            [
                Label::few("rcode"),
                Label::open("qtypes"),
                Label::open("ips_returned"),
            ],
            3,
        );
        let types = [Label::open("type"), Label::open("qtypes"), Label::few("")];
        let types = labels(types, 2);
        Self {
            queries: Told::new("hubble_dns_queries", "DNS queries", &answered, context),
            responses: Told::new("hubble_dns_responses", "DNS responses", &answered, context),
            types: Told::new(
                "hubble_dns_response_types",
                "Records in DNS responses by type",
                &types,
                context,
            ),
            query,
            ignore_aaaa: flags.has("ignoreAAAA"),
        }
    }
}

impl Handler for Dns {
    fn flow(&self, flow: &Flow, at: &mut At) {
        let Some(Record::Dns(dns)) = flow.l7.as_ref().and_then(|l7| l7.record.as_ref()) else {
            return;
        };
        if self.ignore_aaaa && dns.qtypes == ["AAAA"] {
            return;
        }
        let (asked, returned) = (dns.qtypes.join(","), dns.ips.len().to_string());
        let mut count = |told: &Told<Counter>, own: &[&str]| {
            let own = if self.query {
                &[own, &[dns.query.as_str()]].concat()
            } else {
                own
            };
            told.of(flow, Turn::AsSeen, own, at).inc();
        };
        let is_reply = flow
            .is_reply
            .as_ref()
            .is_some_and(|is_reply| is_reply.value);
        if flow.verdict == i32::from(Verdict::Dropped) {
            count(&self.queries, &["Policy denied", &asked, &returned]);
        } else if is_reply {
            count(&self.responses, &[rcode(dns.rcode), &asked, &returned]);
            for kind in &dns.rrtypes {
                count(&self.types, &[kind, &asked]);
            }
        } else {
            count(&self.queries, &["", &asked, &returned]);
        }
    }

    fn families(&self) -> Vec<&dyn Kept> {
        vec![
            &self.queries.family,
            &self.responses.family,
            &self.types.family,
        ]
    }
}

const METHOD: Label = Label::open("method");
const PROTOCOL: Label = Label::open("protocol");
const STATUS: Label = Label::open("status");
const REPORTER: Label = Label::few("reporter");

fn durations(context: &Context) -> Told<TracedHistogram> {
    Told::new(
        "hubble_http_request_duration_seconds",
        "Time from HTTP request to response",
        &[METHOD, REPORTER],
        context,
    )
}

fn requests(own: &[Label], context: &Context) -> Told<TracedCounter> {
    Told::new("hubble_http_requests", "HTTP requests", own, context)
}

/// HTTP, requests and responses each as they are seen.
pub(super) struct Http {
    requests: Told<TracedCounter>,
    responses: Told<TracedCounter>,
    durations: Told<TracedHistogram>,
    exemplars: bool,
}

impl Http {
    pub(super) fn new(context: &Context, flags: &Flags<'_>) -> Self {
        let answered = [METHOD, PROTOCOL, STATUS, REPORTER];
        Self {
            requests: requests(&[METHOD, PROTOCOL, REPORTER], context),
            responses: Told::new(
                "hubble_http_responses",
                "HTTP responses",
                &answered,
                context,
            ),
            durations: durations(context),
            exemplars: flags.is_true("exemplars"),
        }
    }
}

impl Handler for Http {
    fn flow(&self, flow: &Flow, at: &mut At) {
        let Some(l7) = &flow.l7 else { return };
        let Some(Record::Http(http)) = &l7.record else {
            return;
        };
        let (labels, time) = self.exemplars.then(|| trace(flow)).flatten().unzip();
        let (method, protocol) = (http.method.as_str(), http.protocol.as_str());
        let reporter = reporter(flow);
        if is(l7, L7FlowType::Request) {
            let own = [method, protocol, reporter];
            let series = self.requests.of(flow, Turn::AsSeen, &own, at);
            series.inc_by(1, labels, time);
        } else if is(l7, L7FlowType::Response) {
            let status = http.code.to_string();
            let own = [method, protocol, &status, reporter];
            let series = self.responses.of(flow, Turn::AsSeen, &own, at);
            series.inc_by(1, labels.clone(), time);
            let series = self
                .durations
                .of(flow, Turn::AsSeen, &[method, reporter], at);
            series.observe(seconds(l7), labels, time);
        }
    }

    fn families(&self) -> Vec<&dyn Kept> {
        vec![
            &self.requests.family,
            &self.responses.family,
            &self.durations.family,
        ]
    }
}

/// HTTP, requests counted when their response comes.
pub(super) struct HttpV2 {
    requests: Told<TracedCounter>,
    durations: Told<TracedHistogram>,
    exemplars: bool,
}

impl HttpV2 {
    pub(super) fn new(context: &Context, flags: &Flags<'_>) -> Self {
        Self {
            requests: requests(&[METHOD, PROTOCOL, STATUS, REPORTER], context),
            durations: durations(context),
            exemplars: flags.is_true("exemplars"),
        }
    }
}

impl Handler for HttpV2 {
    fn flow(&self, flow: &Flow, at: &mut At) {
        let Some(l7) = &flow.l7 else { return };
        let Some(Record::Http(http)) = &l7.record else {
            return;
        };
        if !is(l7, L7FlowType::Response) {
            return;
        }
        let (labels, time) = self.exemplars.then(|| trace(flow)).flatten().unzip();
        let (method, status) = (http.method.as_str(), http.code.to_string());
        let reporter = reporter(flow);
        let own = [method, &http.protocol, &status, reporter];
        let series = self.requests.of(flow, Turn::Inverted, &own, at);
        series.inc_by(1, labels.clone(), time);
        let series = self
            .durations
            .of(flow, Turn::Inverted, &[method, reporter], at);
        series.observe(seconds(l7), labels, time);
    }

    fn families(&self) -> Vec<&dyn Kept> {
        vec![&self.requests.family, &self.durations.family]
    }
}

/// Kafka requests.
pub(super) struct Kafka {
    requests: Told<Counter>,
    durations: Told<TracedHistogram>,
}

impl Kafka {
    pub(super) fn new(context: &Context) -> Self {
        let (topic, key) = (Label::open("topic"), Label::open("api_key"));
        Self {
            requests: Told::new(
                "hubble_kafka_requests",
                "Kafka requests",
                &[topic, key, Label::open("error_code"), REPORTER],
                context,
            ),
            durations: Told::new(
                "hubble_kafka_request_duration_seconds",
                "Time from Kafka request to response",
                &[topic, key, REPORTER],
                context,
            ),
        }
    }
}

impl Handler for Kafka {
    #[allow(deprecated, reason = "Kafka is seen by us")]
    fn flow(&self, flow: &Flow, at: &mut At) {
        let Some(l7) = &flow.l7 else { return };
        let Some(Record::Kafka(kafka)) = &l7.record else {
            return;
        };
        if !is(l7, L7FlowType::Request) {
            return;
        }
        let (topic, key, reporter) = (kafka.topic.as_str(), kafka.api_key.as_str(), reporter(flow));
        let error = kafka.error_code.to_string();
        self.requests
            .of(flow, Turn::AsSeen, &[topic, key, &error, reporter], at)
            .inc();
        let series = self
            .durations
            .of(flow, Turn::AsSeen, &[topic, key, reporter], at);
        series.observe(seconds(l7), None, None);
    }

    fn families(&self) -> Vec<&dyn Kept> {
        vec![&self.requests.family, &self.durations.family]
    }
}
