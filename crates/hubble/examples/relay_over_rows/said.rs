//! What is said on edges, made up as well: requests, questions to DNS servers, topics of Kafka, handshakes of TLS.

use api::hubble::answers::{
    Cause, CauseKind, CodeCount, DnsCounters, HttpCounters, KafkaCounters, NameCount, Row, Sketch,
    TlsCounters,
};

use super::rows::sketch;

/// Alike things that are said in a thousand seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    what: What,
    count: u64,
    /// Codes of answers that are not the usual one, each with its share in thousandths.
    codes: &'static [(i32, u64)],
    /// Thousandths without an answer.
    silent: u64,
    /// Microseconds to the answer, the median.
    median: f64,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// Method and path.
    Http(&'static str, &'static str),
    /// Service and method of gRPC.
    Grpc(&'static str),
    /// Name and type; the addresses that are answered.
    Dns(&'static str, u32, &'static [&'static str]),
    /// Topic.
    Produces(&'static str),
    /// Topic and group.
    Fetches(&'static str, &'static str),
    /// Name of the server.
    Tls(&'static str),
}

const A: u32 = 1;
const AAAA: u32 = 28;
const DNS: &str = "kube-system/coredns";
const CART: &str = "cart.shop.svc.cluster.local";
const REDIS: &str = "redis.data.svc.cluster.local";
const PAYMENTS: &str = "payments.example.com";

/// Source, destination, its port, and what is said: how often, codes, silence and median as in [`Said`].
type Line = (
    &'static str,
    &'static str,
    u32,
    What,
    u64,
    &'static [(i32, u64)],
    u64,
    f64,
);

#[rustfmt::skip]
const SAID: &[Line] = &[
    ("ingress/gateway", "shop/web", 8080, What::Http("GET", "/"), 5200, &[(304, 310)], 0, 3100.0),
    ("ingress/gateway", "shop/web", 8080, What::Http("GET", "/products/{id}"), 3900, &[(404, 21)], 0, 5400.0),
    ("ingress/gateway", "shop/web", 8080, What::Http("POST", "/login"), 420, &[(302, 700), (401, 118)], 0, 48_000.0),
    ("shop/web", "shop/api", 8080, What::Http("GET", "/v1/products/{id}"), 9100, &[(404, 9)], 0, 2600.0),
    ("shop/web", "shop/api", 8080, What::Http("GET", "/v1/search"), 3300, &[(400, 12), (500, 3)], 0, 61_000.0),
    ("shop/web", "shop/api", 8080, What::Http("POST", "/v1/carts/{id}/items"), 1900, &[(409, 14)], 0, 7200.0),
    ("shop/web", "shop/assets", 8080, What::Http("GET", "/static/{id}"), 5100, &[(304, 520)], 0, 900.0),
    ("shop/api", "shop/cart", 8080, What::Http("GET", "/carts/{id}"), 6000, &[], 0, 1900.0),
    ("shop/api", "shop/checkout", 8080, What::Http("POST", "/orders"), 870, &[(201, 880), (503, 64)], 4, 182_000.0),
    ("shop/api", "shop/recommend", 9090, What::Grpc("/shop.Recommend/List"), 1800, &[(14, 31)], 0, 12_000.0),
    ("monitoring/prometheus", "shop/api", 9102, What::Http("GET", "/metrics"), 66, &[], 0, 9800.0),
    ("monitoring/prometheus", "shop/web", 9102, What::Http("GET", "/metrics"), 66, &[], 0, 9100.0),
    ("shop/web", DNS, 53, What::Dns("api.shop.svc.cluster.local", A, &["10.96.14.2"]), 2100, &[], 0, 300.0),
    ("shop/api", DNS, 53, What::Dns(CART, A, &["10.96.20.8"]), 1400, &[], 0, 310.0),
    ("shop/api", DNS, 53, What::Dns("rates.partner.example", A, &[]), 300, &[(2, 820)], 0, 42_000.0),
    ("shop/cart", DNS, 53, What::Dns(REDIS, A, &["10.96.31.4"]), 1700, &[], 0, 290.0),
    ("shop/cart", DNS, 53, What::Dns("redis-old.data.svc.cluster.local", A, &[]), 160, &[(3, 1000)], 0, 350.0),
    ("shop/checkout", DNS, 53, What::Dns(PAYMENTS, A, &["192.0.2.44", "192.0.2.45"]), 840, &[], 14, 6400.0),
    ("shop/checkout", DNS, 53, What::Dns(PAYMENTS, AAAA, &[]), 840, &[], 0, 6600.0),
    ("shop/mailer", DNS, 53, What::Dns("smtp.example.net", A, &["198.51.100.25"]), 210, &[], 0, 8100.0),
    ("lab/notebook", DNS, 53, What::Dns("pypi.example.org", A, &["192.0.2.130"]), 130, &[], 0, 9000.0),
    ("lab/notebook", DNS, 53, What::Dns("warehouse.corp.example", A, &[]), 40, &[(5, 1000)], 0, 400.0),
    ("shop/checkout", "data/kafka", 9092, What::Produces("orders"), 820, &[], 0, 3900.0),
    ("shop/checkout", "data/kafka", 9092, What::Produces("payments"), 410, &[(19, 24)], 0, 5200.0),
    ("shop/mailer", "data/kafka", 9092, What::Fetches("orders", "mailer"), 1900, &[], 0, 480_000.0),
    ("shop/stock", "data/kafka", 9092, What::Fetches("orders", "stock"), 2000, &[], 0, 490_000.0),
    ("shop/stock", "data/kafka", 9092, What::Fetches("returns", "stock"), 90, &[(3, 1000)], 0, 900.0),
    ("world", "ingress/gateway", 443, What::Tls("shop.example.com"), 8800, &[], 2, 1400.0),
    ("shop/checkout", PAYMENTS, 443, What::Tls(PAYMENTS), 800, &[], 0, 44_000.0),
    ("lab/notebook", "pypi.example.org", 443, What::Tls("pypi.example.org"), 118, &[(48, 60)], 0, 35_000.0),
];

/// What is said on an edge.
pub(crate) fn on(from: &str, to: &str, port: u32) -> Vec<Said> {
    let of_edge = SAID.iter().filter(|(source, destination, number, ..)| {
        (*source, *destination, *number) == (from, to, port)
    });
    of_edge
        .map(|(_, _, _, what, count, codes, silent, median)| Said {
            what: *what,
            count: *count,
            codes,
            silent: *silent,
            median: *median,
        })
        .collect()
}

fn codes(all: &[(i32, u64)]) -> Vec<CodeCount> {
    let counted = all.iter().filter(|(_, count)| *count > 0);
    counted
        .map(|(code, count)| CodeCount {
            code: *code,
            count: *count,
        })
        .collect()
}

/// A cause with a code.
fn cause(kind: CauseKind, name: &str, code: i32) -> Cause {
    Cause {
        kind: kind.into(),
        name: name.into(),
        code,
        ..Cause::default()
    }
}

impl Said {
    /// Adds to a row what is said, `times` being what a rate comes to in its span. Gives what fails, and how often.
    pub(crate) fn say(&self, row: &mut Row, times: impl Fn(u64) -> u64) -> Vec<(Cause, u64)> {
        let count = times(self.count);
        if count == 0 {
            return Vec::new();
        }
        let part = |share: u64| count * share / 1000;
        let bad = self.codes.iter().map(|(code, share)| (*code, part(*share)));
        let told = Told {
            count,
            bad: bad.collect(),
            silent: part(self.silent),
            latency: Some(sketch(self.median, count - part(self.silent))),
        };
        match self.what {
            What::Http(method, path) => row.http.push(told.http(method, path)),
            What::Grpc(path) => row.http.push(told.grpc(path)),
            What::Dns(name, number, addresses) => {
                let times = (row.first_ns, row.last_ns);
                row.dns.push(told.dns(name, number, addresses, times));
            }
            What::Produces(topic) => row.kafka.push(told.produces(topic)),
            What::Fetches(topic, group) => row.kafka.push(told.fetches(topic, group)),
            What::Tls(name) => row.tls.push(told.tls(name)),
        }
        let bad = told.bad.iter();
        let mut failures: Vec<(Cause, u64)> = bad
            .filter_map(|(code, of)| Some((self.fault(*code)?, *of)))
            .collect();
        failures.extend(self.silence().map(|cause| (cause, told.silent)));
        failures.retain(|(_, of)| *of > 0);
        failures
    }

    /// The cause of a code, where it is a failure.
    fn fault(&self, code: i32) -> Option<Cause> {
        match self.what {
            What::Http(method, path) => {
                let name = format!("{method} {path}");
                (code >= 500).then(|| cause(CauseKind::HttpError, &name, code))
            }
            What::Grpc(path) => {
                let name = format!("POST {path}");
                Some(cause(CauseKind::GrpcError, &name, code))
            }
            What::Dns(name, ..) => Some(match code {
                3 => cause(CauseKind::DnsNoSuchName, name, 3),
                code => cause(CauseKind::DnsError, name, code),
            }),
            What::Produces(topic) | What::Fetches(topic, _) => {
                Some(cause(CauseKind::KafkaError, topic, code))
            }
            What::Tls(name) => Some(cause(CauseKind::TlsAlertByClient, name, code)),
        }
    }

    /// The cause where there is no answer.
    fn silence(&self) -> Option<Cause> {
        let (kind, name) = match self.what {
            What::Http(method, path) => (CauseKind::NoAnswer, format!("{method} {path}")),
            What::Dns(name, ..) => (CauseKind::DnsTimeout, name.to_owned()),
            What::Tls(name) => (CauseKind::TlsUnfinished, name.to_owned()),
            _ => return None,
        };
        (self.silent > 0).then(|| cause(kind, &name, 0))
    }
}

/// What is said in a span.
struct Told {
    count: u64,
    bad: Vec<(i32, u64)>,
    silent: u64,
    latency: Option<Sketch>,
}

impl Told {
    fn well(&self) -> u64 {
        self.count - self.silent - self.bad.iter().map(|(_, of)| of).sum::<u64>()
    }

    /// The codes of all answers, those that are well having the usual one.
    fn with(&self, usual: i32) -> Vec<CodeCount> {
        let mut all = self.bad.clone();
        all.push((usual, self.well()));
        codes(&all)
    }

    fn http(&self, method: &str, path: &str) -> HttpCounters {
        HttpCounters {
            method: method.into(),
            path: path.into(),
            requests: self.count,
            status: self.with(200),
            unanswered: self.silent,
            request_octets: self.count * 180,
            response_octets: self.count * 5200,
            latency: self.latency.clone(),
            ..HttpCounters::default()
        }
    }

    fn grpc(&self, path: &str) -> HttpCounters {
        HttpCounters {
            status: codes(&[(200, self.count - self.silent)]),
            grpc: self.with(0),
            ..self.http("POST", path)
        }
    }

    fn dns(
        &self,
        name: &str,
        number: u32,
        addresses: &[&str],
        (first_ns, last_ns): (u64, u64),
    ) -> DnsCounters {
        DnsCounters {
            name: name.into(),
            r#type: number,
            questions: self.count,
            codes: self.with(0),
            timeouts: self.silent,
            latency: self.latency.clone(),
            addresses: addresses.iter().map(|of| (*of).into()).collect(),
            first_ns,
            last_ns,
            ..DnsCounters::default()
        }
    }

    fn produces(&self, topic: &str) -> KafkaCounters {
        KafkaCounters {
            topic: topic.into(),
            produces: self.count,
            produced_octets: self.well() * 1400,
            errors: codes(&self.bad),
            unanswered: self.silent,
            produce_latency: self.latency.clone(),
            ..KafkaCounters::default()
        }
    }

    fn fetches(&self, topic: &str, group: &str) -> KafkaCounters {
        KafkaCounters {
            topic: topic.into(),
            fetches: self.count,
            fetched_octets: self.well() * 560,
            errors: codes(&self.bad),
            unanswered: self.silent,
            groups: vec![NameCount {
                name: group.into(),
                count: self.count,
            }],
            fetch_latency: self.latency.clone(),
            ..KafkaCounters::default()
        }
    }

    fn tls(&self, name: &str) -> TlsCounters {
        TlsCounters {
            server_name: name.into(),
            handshakes: self.count,
            done: self.well(),
            versions: codes(&[(0x0304, self.count - self.silent)]),
            client_alerts: codes(&self.bad),
            unfinished: self.silent,
            latency: self.latency.clone(),
            ..TlsCounters::default()
        }
    }
}
