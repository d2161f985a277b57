//! Counts of the calls that are answered: `grpc_server_…`.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use futures::{Stream, StreamExt, stream::BoxStream};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter},
};
use tonic::{Code, Response, Status, body::Body, codegen::http};

/// Methods of the observer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    GetFlows,
    GetAgentEvents,
    GetDebugEvents,
    GetNodes,
    GetNamespaces,
    ServerStatus,
}

const METHODS: [(Method, &str, &str); 6] = [
    (Method::GetFlows, "GetFlows", "server_stream"),
    (Method::GetAgentEvents, "GetAgentEvents", "server_stream"),
    (Method::GetDebugEvents, "GetDebugEvents", "server_stream"),
    (Method::GetNodes, "GetNodes", "unary"),
    (Method::GetNamespaces, "GetNamespaces", "unary"),
    (Method::ServerStatus, "ServerStatus", "unary"),
];

/// Number of gRPC's codes, 0 to 16.
const CODES: usize = 17;

impl Method {
    /// The method of a path `/service/method`.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let (_, wanted) = path.rsplit_once('/')?;
        METHODS
            .iter()
            .find(|(_, name, _)| *name == wanted)
            .map(|(method, ..)| *method)
    }
}

#[derive(Debug, Default)]
struct Counts {
    started: AtomicU64,
    sent: AtomicU64,
    handled: [AtomicU64; CODES],
}

/// Counts since the start.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    methods: [Counts; METHODS.len()],
}

impl Calls {
    fn counts(&self, method: Method) -> Option<&Counts> {
        self.methods.get(method as usize)
    }

    /// A call begins. It counts as cancelled if nothing else is said of it.
    pub(crate) fn started(self: &Arc<Self>, method: Method) -> Call {
        if let Some(counts) = self.counts(method) {
            counts.started.fetch_add(1, Ordering::Relaxed);
        }
        Call {
            calls: Arc::clone(self),
            method,
            code: Code::Cancelled,
        }
    }

    /// Counts what is sent, and how it ends.
    pub(crate) fn follow<T: Send + 'static>(
        call: Option<Call>,
        answer: Result<Response<Replies<T>>, Status>,
    ) -> Result<Response<Replies<T>>, Status> {
        let Some(mut call) = call else {
            return answer;
        };
        match answer {
            Ok(response) => Ok(response.map(|replies| Counted { call, replies }.boxed())),
            Err(status) => {
                call.code = status.code();
                Err(status)
            }
        }
    }
}

impl Collector for Calls {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        type Value = fn(&Counts) -> Vec<(Option<Code>, u64)>;
        let families: [(&str, &str, Value); 3] = [
            ("started", "RPCs started on the server", |counts| {
                vec![(None, counts.started.load(Ordering::Relaxed))]
            }),
            ("msg_sent", "messages sent by the server", |counts| {
                vec![(None, counts.sent.load(Ordering::Relaxed))]
            }),
            ("handled", "RPCs completed on the server", |counts| {
                let codes = counts.handled.iter().enumerate();
                codes
                    .map(|(code, count)| (code, count.load(Ordering::Relaxed)))
                    .filter(|(_, count)| *count > 0)
                    .map(|(code, count)| (Some(Code::from_i32(code as i32)), count))
                    .collect()
            }),
        ];
        for (family, help, values) in families {
            // The format appends `_total`.
            let name = format!("grpc_server_{family}");
            let help = format!("Total number of {help}.");
            let kind = MetricType::Counter;
            let mut encoder = encoder.encode_descriptor(&name, &help, None, kind)?;
            for ((_, method, kind), counts) in METHODS.iter().zip(&self.methods) {
                for (code, value) in values(counts) {
                    let mut labels = vec![
                        ("grpc_method", (*method).to_owned()),
                        ("grpc_service", "observer.Observer".to_owned()),
                        ("grpc_type", (*kind).to_owned()),
                    ];
                    labels.extend(code.map(|code| ("grpc_code", code_name(code))));
                    ConstCounter::new(value).encode(encoder.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}

/// Names as in other gRPC servers' metrics.
fn code_name(code: Code) -> String {
    match code {
        Code::Ok => "OK".to_owned(),
        Code::Cancelled => "Canceled".to_owned(),
        code => format!("{code:?}"),
    }
}

type Replies<T> = BoxStream<'static, Result<T, Status>>;

/// A call that is being answered; counted when it is dropped.
pub(crate) struct Call {
    calls: Arc<Calls>,
    method: Method,
    code: Code,
}

impl Call {
    /// The answer of a unary call: its status is in the headers, or it is well.
    pub(crate) fn ended_with(mut self, response: &http::Response<Body>) {
        let status = Status::from_header_map(response.headers());
        self.code = status.map_or(Code::Ok, |status| status.code());
        self.answered();
    }

    /// The same, of an answer that is not encoded yet.
    pub(crate) fn ended<T>(mut self, answer: Result<T, Status>) -> Result<T, Status> {
        self.code = answer.as_ref().map_or_else(Status::code, |_| Code::Ok);
        self.answered();
        answer
    }

    fn answered(&self) {
        if self.code == Code::Ok
            && let Some(counts) = self.calls.counts(self.method)
        {
            counts.sent.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let handled = self.calls.counts(self.method).map(|counts| &counts.handled);
        if let Some(count) = handled.and_then(|codes| codes.get(self.code as usize)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

struct Counted<T> {
    call: Call,
    replies: Replies<T>,
}

impl<T> Stream for Counted<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.replies.as_mut().poll_next(cx);
        match &next {
            Poll::Ready(Some(Ok(_))) => {
                if let Some(counts) = self.call.calls.counts(self.call.method) {
                    counts.sent.fetch_add(1, Ordering::Relaxed);
                }
            }
            Poll::Ready(Some(Err(status))) => self.call.code = status.code(),
            Poll::Ready(None) if self.call.code == Code::Cancelled => self.call.code = Code::Ok,
            Poll::Ready(None) | Poll::Pending => {}
        }
        next
    }
}

#[cfg(test)]
mod tests;
