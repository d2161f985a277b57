//! Every failure that the traffic makes, with its cause, whose fault it is, and how often it was made.

use super::relay::{Figure, figure, of_edge};
use super::traffic::{
    BARRED, CUT, DNS, HTTP, NAMES, REFUSED, REQUESTS, RESET, SHUT_OUT, UNHEARD, WAS_CUT,
};
use super::{CLOSED, ECHO, grpc, kafka, tls};

/// A failure, and what counts the same.
pub(super) struct Expected {
    pub(super) edge: (&'static str, &'static str, u16),
    pub(super) layer: &'static str,
    pub(super) cause: &'static str,
    /// What was asked for, and the code of the answer.
    pub(super) about: (&'static str, u64),
    pub(super) fault: &'static str,
    pub(super) count: u64,
    /// Name and labels of the series, beside those of the edge.
    pub(super) metric: (&'static str, &'static str),
}

impl Expected {
    pub(super) fn row(&self) -> String {
        let (from, to, port) = self.edge;
        let (name, code) = self.about;
        let Self {
            layer,
            cause,
            fault,
            count,
            ..
        } = self;
        format!("{from} to {to}:{port} {layer} {cause} {name:?} {code} {fault}: {count}")
    }

    pub(super) fn figure(&self) -> Figure {
        let ((from, to, port), (name, more)) = (self.edge, self.metric);
        let query = of_edge(name, from, to, port, more);
        figure(&self.row(), self.count, query)
    }
}

const CONNECTS: &str = "hubble_tcp_connects_total";
const CLOSES: &str = "hubble_tcp_closes_total";
const DENIED: &str = "hubble_denied_connections_total";
const ANSWERS: &str = "hubble_dns_responses_total";

pub(super) const OF_CONNECTIONS: &[Expected] = &[
    Expected {
        edge: ("web", "api", CLOSED),
        layer: "L4",
        cause: "REFUSED",
        about: ("", 0),
        fault: "FAULT_SERVER",
        count: REFUSED,
        metric: (CONNECTS, r#",outcome="refused""#),
    },
    Expected {
        edge: ("web", "api", CUT),
        layer: "L4",
        cause: "CUT_BY_SERVER",
        about: ("", 0),
        fault: "FAULT_SERVER",
        count: WAS_CUT,
        metric: (CLOSES, r#",cause="reset_by_server""#),
    },
    Expected {
        edge: ("web", "deaf", HTTP),
        layer: "L4",
        cause: "UNANSWERED",
        about: ("", 0),
        fault: "FAULT_SERVER",
        count: UNHEARD,
        metric: (CONNECTS, r#",outcome="unanswered""#),
    },
    Expected {
        edge: ("web", "barred", HTTP),
        layer: "L4",
        cause: "DENIED_BY_RULE",
        about: ("", 0),
        fault: "FAULT_POLICY",
        count: BARRED,
        metric: (
            DENIED,
            r#",policy="shop/bars",by="rule",direction="ingress""#,
        ),
    },
    Expected {
        edge: ("web", "shut", HTTP),
        layer: "L4",
        cause: "DENIED_BY_DEFAULT",
        about: ("", 0),
        fault: "FAULT_POLICY",
        count: SHUT_OUT,
        metric: (
            DENIED,
            r#",policy="shop/nobody-to-shut",by="default",direction="ingress""#,
        ),
    },
];

/// Resets end connections on which both sides spoke: only who asks for connections is told of them.
pub(super) const OF_RESETS: Expected = Expected {
    edge: ("web", "api", ECHO),
    layer: "L4",
    cause: "RESET_BY_CLIENT",
    about: ("", 0),
    fault: "FAULT_CLIENT",
    count: RESET,
    metric: (CLOSES, r#",cause="reset_by_client""#),
};

pub(super) const OF_SAID: &[Expected] = &[
    Expected {
        edge: ("web", "api", HTTP),
        layer: "L7",
        cause: "HTTP_ERROR",
        about: ("GET /broken", 503),
        fault: "FAULT_SERVER",
        count: REQUESTS[2].3,
        metric: (
            "hubble_http_requests_total",
            r#",path="/broken",status="503""#,
        ),
    },
    Expected {
        edge: ("web", "api", grpc::PORT),
        layer: "L7",
        cause: "GRPC_ERROR",
        about: ("POST /shop.Cart/Get", 14),
        fault: "FAULT_SERVER",
        count: grpc::CODES[1].1,
        metric: ("hubble_grpc_calls_total", r#",code="gRPC UNAVAILABLE""#),
    },
    Expected {
        edge: ("maker", "broker", kafka::PORT),
        layer: "L7",
        cause: "KAFKA_ERROR",
        about: ("refunds", 19),
        fault: "FAULT_SERVER",
        count: kafka::PRODUCED[1].1,
        metric: (
            "hubble_kafka_errors_total",
            r#",topic="refunds",code="NOT_ENOUGH_REPLICAS""#,
        ),
    },
    Expected {
        edge: ("web", "vault", tls::PORT),
        layer: "L7",
        cause: "TLS_ALERT_BY_CLIENT",
        about: (tls::SERVER_NAME, tls::UNKNOWN_CA),
        // Who of them is wrong about an authority, nobody can see.
        fault: "FAULT_UNKNOWN",
        count: tls::DISTRUST,
        metric: (
            "hubble_tls_handshakes_total",
            r#",server_name="vault.shop",outcome="client_alert""#,
        ),
    },
    Expected {
        edge: ("web", "resolver", DNS),
        layer: "L7",
        cause: "DNS_NO_SUCH_NAME",
        about: ("gone.example", 3),
        fault: "FAULT_CLIENT",
        count: NAMES[1].2,
        metric: (ANSWERS, r#",rcode="NXDOMAIN""#),
    },
    Expected {
        edge: ("web", "resolver", DNS),
        layer: "L7",
        cause: "DNS_ERROR",
        about: ("broken.example", 2),
        fault: "FAULT_DNS",
        count: NAMES[2].2,
        metric: (ANSWERS, r#",rcode="SERVFAIL""#),
    },
    Expected {
        edge: ("web", "resolver", DNS),
        layer: "L7",
        cause: "DNS_TIMEOUT",
        about: ("silent.example", 0),
        fault: "FAULT_DNS",
        count: NAMES[3].2,
        metric: ("hubble_dns_unanswered_total", ""),
    },
];
