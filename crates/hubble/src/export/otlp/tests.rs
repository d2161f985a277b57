//! What reaches a collector, and what becomes of what does not; and requests that all tests here share.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant, UNIX_EPOCH},
};

use l7::record::{Ending, Grpc, Http, HttpVersion, Record, Seen};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
    logs_service_server::{LogsService, LogsServiceServer},
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
    metrics_service_server::{MetricsService, MetricsServiceServer},
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, metric::Data};
use opentelemetry_proto::tonic::trace::v1::Span;
use reconcile::TaskGroup;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use super::*;
use crate::edges::edge;
use crate::enrich::enrich;
use crate::export::filters;
use crate::flow::{Node, said};
use crate::observer::{self, Observer};
use crate::records::Record as Packet;
use crate::records::decode::Clock;
use crate::relay::ClientFiles;
use crate::ring::{Capacity, Ring};
use crate::sample::{Shop, denied, opened};
use crate::spoken::{Ends, Spoken};

pub(super) const SECOND: u64 = 1_000_000_000;
const TRACED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What was said between the ends of a packet; the boot was at second 1,000.
pub(super) fn spoken(ends: &Packet, record: Record) -> Spoken {
    Spoken {
        ends: Ends::from(ends),
        record,
        made_ns: 9 * SECOND,
        clock: Clock::new(0, UNIX_EPOCH + Duration::from_secs(1000)),
    }
}

pub(super) fn node() -> Node {
    Node {
        name: "default/n1".into(),
        labels: Vec::new(),
    }
}

/// What is made of a request by the last of its flows.
pub(super) fn told<T>(record: Record, make: impl FnOnce(&logs::Told<'_>, &Spoken) -> T) -> T {
    let spoken = Arc::new(spoken(&opened(), record));
    let flows = said::flows(&enrich(spoken.packet(), &Shop), &spoken);
    let last = flows.last().unwrap();
    assert!(last.is_last());
    let (flow, edge) = (last.message(&node()), edge(last.enriched()));
    let told = logs::Told {
        flow: &flow,
        edge: Some(&edge),
    };
    make(&told, &spoken)
}

/// A request that failed after 7 ms.
pub(super) fn get() -> Http {
    let text = |of: &str| Seen::Known(of.to_owned());
    Http {
        method: text("GET"),
        path: text("/carts/17"),
        template: text("/carts/*"),
        host: text("api.shop:80"),
        status: Seen::Known(503),
        start_ns: Some(5 * SECOND),
        answer_ns: Some(5 * SECOND + 7_000_000),
        end_ns: Some(5 * SECOND + 9_000_000),
        ending: Ending::Whole,
        ..Http::default()
    }
}

/// A call of gRPC with a status.
pub(super) fn called(status: u32) -> Http {
    Http {
        version: HttpVersion::Http2,
        method: Seen::Known("POST".into()),
        path: Seen::Known("/shop.Carts/Get".into()),
        status: Seen::Known(200),
        grpc: Seen::Known(Grpc {
            service: Seen::Known("shop.Carts".into()),
            method: Seen::Known("Get".into()),
            status: Seen::Known(status),
        }),
        ..get()
    }
}

fn text(value: &AnyValue) -> String {
    match value.value.as_ref().unwrap() {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        Value::BoolValue(of) => of.to_string(),
        Value::ArrayValue(of) => of.values.iter().map(text).collect::<Vec<_>>().join(","),
        other => panic!("{other:?}"),
    }
}

/// The value of an attribute that has to be there.
pub(super) fn value(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|of| of.key == key);
    let found = found.unwrap_or_else(|| panic!("no {key} in {attributes:?}"));
    text(found.value.as_ref().unwrap())
}

pub(super) fn names_of(attributes: &[KeyValue]) -> Vec<&str> {
    attributes.iter().map(|of| of.key.as_str()).collect()
}

/// What a collector was told.
#[derive(Default)]
struct Heard {
    logs: Vec<ExportLogsServiceRequest>,
    spans: Vec<ExportTraceServiceRequest>,
    metrics: Vec<ExportMetricsServiceRequest>,
    tokens: Vec<String>,
    /// What logs are answered with, the first first; then they are taken.
    answers: Vec<Result<ExportLogsServiceResponse, Status>>,
}

impl Heard {
    fn records(&self) -> Vec<&LogRecord> {
        let resources = self.logs.iter().flat_map(|of| &of.resource_logs);
        let scopes = resources.flat_map(|of| &of.scope_logs);
        scopes.flat_map(|of| &of.log_records).collect()
    }

    fn all_spans(&self) -> Vec<&Span> {
        let resources = self.spans.iter().flat_map(|of| &of.resource_spans);
        let scopes = resources.flat_map(|of| &of.scope_spans);
        scopes.flat_map(|of| &of.spans).collect()
    }
}

/// A collector: what is sent to it is what OpenTelemetry's own definitions make of the octets.
#[derive(Clone, Default)]
struct Double(Arc<Mutex<Heard>>);

impl Double {
    fn with<T>(&self, work: impl FnOnce(&mut Heard) -> T) -> T {
        work(&mut self.0.lock().unwrap())
    }

    fn token<T>(&self, request: &Request<T>) {
        let token = request.metadata().get("authorization");
        let token = token.map(|of| of.to_str().unwrap().to_owned());
        self.with(|heard| heard.tokens.extend(token));
    }

    /// Serves at a socket until the group stops.
    fn serve(&self, listener: TcpListener, tls: Option<ServerTlsConfig>, tasks: &TaskGroup) {
        let mut server = Server::builder();
        if let Some(tls) = tls {
            server = server.tls_config(tls).unwrap();
        }
        let router = server
            .add_service(LogsServiceServer::new(self.clone()))
            .add_service(TraceServiceServer::new(self.clone()))
            .add_service(MetricsServiceServer::new(self.clone()));
        let serving = router.serve_with_incoming(TcpListenerStream::new(listener));
        tasks.spawn_short("collector", async move { serving.await.unwrap() });
    }

    /// Waits until something is so.
    async fn until(&self, what: &str, is_so: impl Fn(&Heard) -> bool) {
        let begun = Instant::now();
        while !self.with(|heard| is_so(heard)) {
            assert!(begun.elapsed() < Duration::from_mins(1), "{what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tonic::async_trait]
impl LogsService for Double {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.token(&request);
        self.with(|heard| {
            let answer = if heard.answers.is_empty() {
                Ok(ExportLogsServiceResponse::default())
            } else {
                heard.answers.remove(0)
            };
            if answer.is_ok() {
                heard.logs.push(request.into_inner());
            }
            answer.map(Response::new)
        })
    }
}

#[tonic::async_trait]
impl TraceService for Double {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.with(|heard| heard.spans.push(request.into_inner()));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Double {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.with(|heard| heard.metrics.push(request.into_inner()));
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

fn settings(url: &str) -> Settings {
    Settings {
        collector: Collector::parse(url).unwrap(),
        signals: SignalSet {
            logs: true,
            metrics: true,
            traces: true,
        },
        interval: Duration::from_millis(200),
        include_filters: Vec::new(),
        exclude_filters: Vec::new(),
        headers: None,
        tls: None,
        cluster: "east".into(),
        node: "n1".into(),
    }
}

/// An exporter at work.
struct Exporting {
    intake: Intake,
    tally: Tally,
    tasks: TaskGroup,
}

impl Exporting {
    fn begin(settings: Settings) -> Self {
        let ring = Ring::new(Capacity::new(65535).unwrap());
        let otlp = Otlp::new(settings).unwrap();
        let mut intake = Intake::new(Arc::new(ring), Arc::new(Shop));
        if let Some(meter) = otlp.meter() {
            intake = intake.metered_by(Arc::clone(meter));
        }
        let config = observer::Config {
            node: "n1".into(),
            ..observer::Config::default()
        };
        drop(Observer::new(&intake, config, CancellationToken::new()));
        let (tally, tasks) = (Tally::default(), TaskGroup::new());
        otlp.start(&intake, &tally, &tasks);
        Self {
            intake,
            tally,
            tasks,
        }
    }

    fn said(&self, of: Http) {
        self.intake
            .spoken(spoken(&opened(), Record::Http(Box::new(of))));
    }

    /// Items that were taken and lost.
    fn counts(&self, signal: Signal) -> (u64, u64) {
        let counts = self.tally.of(signal.name());
        (
            counts.written.load(Ordering::Relaxed),
            counts.lost.load(Ordering::Relaxed),
        )
    }

    async fn end(&self) {
        self.tasks.shutdown(Duration::from_secs(5)).await;
        let running = self.tasks.running();
        assert!(running.is_empty(), "{running:?}");
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// What metrics of two requests are, of which one was of a trace.
fn of_two_requests(told: &[ExportMetricsServiceRequest]) {
    let last = told.iter().rev().find_map(|request| {
        let all = &request.resource_metrics[0].scope_metrics[0].metrics;
        all.iter()
            .find(|of| of.name == "http.server.request.duration")
    });
    let last = last.unwrap();
    assert_eq!(last.unit, "s");
    let Some(Data::Histogram(of)) = &last.data else {
        panic!("{last:?}");
    };
    assert_eq!(
        of.aggregation_temporality(),
        AggregationTemporality::Cumulative
    );
    let point = &of.data_points[0];
    assert_eq!((point.count, point.bucket_counts.iter().sum()), (2, 2));
    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
    assert!(point.start_time_unix_nano < point.time_unix_nano);
    let of_traces = told.iter().flat_map(|request| {
        let all = &request.resource_metrics[0].scope_metrics[0].metrics;
        all.iter().filter_map(|of| match &of.data {
            Some(Data::Histogram(of)) => Some(&of.data_points),
            _ => None,
        })
    });
    let exemplars = of_traces.flatten().flat_map(|of| &of.exemplars).count();
    // One of the client's series and one of the server's, each told once.
    assert_eq!(exemplars, 2);
}

#[tokio::test]
async fn records_spans_and_metrics_arrive_with_who_told_them() {
    let (collector, server) = (Double::default(), TaskGroup::new());
    let (socket, address) = listener().await;
    collector.serve(socket, None, &server);
    let folder = tempfile::tempdir().unwrap();
    let headers = folder.path().join("headers");
    std::fs::write(&headers, "authorization: Bearer one\n").unwrap();
    let exporting = Exporting::begin(Settings {
        headers: Some(headers),
        ..settings(&format!("http://{address}"))
    });
    exporting.intake.record(denied());
    exporting.said(Http {
        traceparent: Seen::Known(TRACED.into()),
        ..get()
    });
    exporting.said(get());
    collector
        .until("all arrives", |heard| {
            heard.records().len() >= 4 && !heard.spans.is_empty() && !heard.metrics.is_empty()
        })
        .await;
    exporting.end().await;
    collector.with(|heard| {
        let kinds: Vec<_> = heard
            .records()
            .iter()
            .map(|of| of.event_name.clone())
            .collect();
        assert_eq!(
            kinds,
            [
                "axoneme.flow",
                "axoneme.flow",
                "axoneme.http",
                "axoneme.http"
            ]
        );
        assert_eq!(heard.tokens[0], "Bearer one");
        let origin = heard.logs[0].resource_logs[0].resource.clone().unwrap();
        for (key, wanted) in [
            ("service.name", "axoneme-agent"),
            ("service.instance.id", "n1"),
            ("k8s.node.name", "n1"),
            ("k8s.cluster.name", "east"),
        ] {
            assert_eq!(value(&origin.attributes, key), wanted);
        }
        // Of the two requests one was of a trace.
        let spans = heard.all_spans();
        assert_eq!(spans.len(), 1);
        assert_ne!(spans[0].span_id, [0; 8]);
        of_two_requests(&heard.metrics);
    });
    assert_eq!(exporting.counts(Signal::Logs), (4, 0));
    assert_eq!(exporting.counts(Signal::Spans), (1, 0));
    let (written, lost) = exporting.counts(Signal::Metrics);
    assert!(written >= 2 && lost == 0, "{written} {lost}");
    server.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_collector_that_is_away_costs_what_is_counted_and_nothing_else() {
    // An address at which nobody listens yet.
    let (socket, address) = listener().await;
    drop(socket);
    let exporting = Exporting::begin(settings(&format!("http://{address}")));
    let mut flows = 0_u64;
    // More than may wait; each record has two flows.
    for _ in 0..40 {
        for _ in 0..256 {
            exporting.intake.record(denied());
            flows += 2;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Until nothing more is dropped.
    let (begun, mut before) = (Instant::now(), 0);
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (_, lost) = exporting.counts(Signal::Logs);
        if lost > 0 && lost == before {
            break;
        }
        before = lost;
        assert!(begun.elapsed() < Duration::from_mins(1), "{lost}");
    }
    let (written, lost) = exporting.counts(Signal::Logs);
    assert!(written == 0 && lost < flows, "{written} {lost}");

    let (collector, server) = (Double::default(), TaskGroup::new());
    let socket = TcpListener::bind(address).await.unwrap();
    collector.serve(socket, None, &server);
    let kept = flows - lost;
    collector
        .until("what waited arrives", |heard| {
            heard.records().len() as u64 >= kept
        })
        .await;
    exporting.intake.record(denied());
    flows += 2;
    collector
        .until("what is new arrives", |heard| {
            heard.records().len() as u64 >= kept + 2
        })
        .await;
    exporting.end().await;
    let (written, lost) = exporting.counts(Signal::Logs);
    assert_eq!(written + lost, flows);
    let arrived = collector.with(|heard| heard.records().len() as u64);
    assert_eq!(arrived, written);
    server.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn what_a_collector_refuses_is_lost_and_what_it_puts_off_is_not() {
    let (collector, server) = (Double::default(), TaskGroup::new());
    let (socket, address) = listener().await;
    collector.with(|heard| {
        heard.answers = vec![
            // Another time.
            Err(Status::unavailable("full")),
            // In part.
            Ok(ExportLogsServiceResponse {
                partial_success: Some(ExportLogsPartialSuccess {
                    rejected_log_records: 1,
                    error_message: "one has no body".into(),
                }),
            }),
            // Never.
            Err(Status::invalid_argument("no")),
        ];
    });
    collector.serve(socket, None, &server);
    let exporting = Exporting::begin(settings(&format!("http://{address}")));
    exporting.intake.record(denied());
    collector
        .until("a part is taken", |heard| !heard.logs.is_empty())
        .await;
    exporting.intake.record(denied());
    collector
        .until("it was asked again", |heard| heard.answers.is_empty())
        .await;
    exporting.intake.record(denied());
    collector
        .until("it takes all", |heard| heard.logs.len() == 2)
        .await;
    exporting.end().await;
    // 1 of 2, 0 of 2, 2 of 2.
    assert_eq!(exporting.counts(Signal::Logs), (3, 3));
    server.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn only_what_is_selected_and_only_the_signals_that_are_wanted() {
    let (collector, server) = (Double::default(), TaskGroup::new());
    let (socket, address) = listener().await;
    collector.serve(socket, None, &server);
    let exporting = Exporting::begin(Settings {
        signals: SignalSet {
            logs: true,
            ..SignalSet::default()
        },
        include_filters: filters(r#"{"source_pod":["shop/web"],"protocol":["http"]}"#).unwrap(),
        exclude_filters: filters(r#"{"http_path":["/health"]}"#).unwrap(),
        ..settings(&format!("http://{address}"))
    });
    exporting.intake.record(denied());
    exporting.said(Http {
        path: Seen::Known("/health".into()),
        traceparent: Seen::Known(TRACED.into()),
        ..get()
    });
    // Of its flows only the request is from there.
    exporting.said(get());
    collector
        .until("it arrives", |heard| !heard.logs.is_empty())
        .await;
    exporting.end().await;
    collector.with(|heard| {
        let records = heard.records();
        assert_eq!(records.len(), 1);
        assert_eq!(value(&records[0].attributes, "url.path"), "/carts/17");
        assert!(heard.spans.is_empty() && heard.metrics.is_empty());
    });
    server.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn over_tls_a_collector_must_be_who_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let authority = folder.path().join("ca.crt");
    std::fs::write(&authority, certified.cert.pem()).unwrap();
    let (collector, server) = (Double::default(), TaskGroup::new());
    let (socket, address) = listener().await;
    let identity = Identity::from_pem(certified.cert.pem(), certified.signing_key.serialize_pem());
    collector.serve(
        socket,
        Some(ServerTlsConfig::new().identity(identity)),
        &server,
    );
    let over_tls = |host: &str| Settings {
        tls: Some(ClientFiles {
            server_authorities: vec![authority.clone()],
            identity: None,
        }),
        ..settings(&format!("https://{host}:{}", address.port()))
    };
    let exporting = Exporting::begin(over_tls("localhost"));
    exporting.intake.record(denied());
    collector
        .until("it arrives", |heard| heard.records().len() == 2)
        .await;
    exporting.end().await;
    // The certificate is not of this name.
    let wrong = Exporting::begin(over_tls("127.0.0.1"));
    wrong.intake.record(denied());
    tokio::time::sleep(Duration::from_millis(1500)).await;
    wrong.end().await;
    assert_eq!(wrong.counts(Signal::Logs), (0, 2));
    server.shutdown(Duration::from_secs(1)).await;
}
