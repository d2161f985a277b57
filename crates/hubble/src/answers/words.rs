//! What codes mean, and whose fault they are.

use api::hubble::answers::{Cause, CauseKind, Fault};

/// A code of DNS by its name (IANA, DNS parameters).
pub fn dns_code(code: i32) -> String {
    let name = match code {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        7 => "YXRRSET",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        16 => "BADVERS",
        other => return format!("code {other}"),
    };
    name.to_owned()
}

/// A type of record of DNS by its name (IANA, DNS parameters).
pub fn dns_type(number: u32) -> String {
    let name = match number {
        0 => "",
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        12 => "PTR",
        15 => "MX",
        16 => "TXT",
        28 => "AAAA",
        33 => "SRV",
        35 => "NAPTR",
        43 => "DS",
        48 => "DNSKEY",
        64 => "SVCB",
        65 => "HTTPS",
        255 => "ANY",
        other => return format!("TYPE{other}"),
    };
    name.to_owned()
}

/// A status of gRPC by its name.
pub fn grpc_code(code: i32) -> String {
    let name = match code {
        0 => "OK",
        1 => "CANCELLED",
        2 => "UNKNOWN",
        3 => "INVALID_ARGUMENT",
        4 => "DEADLINE_EXCEEDED",
        5 => "NOT_FOUND",
        6 => "ALREADY_EXISTS",
        7 => "PERMISSION_DENIED",
        8 => "RESOURCE_EXHAUSTED",
        9 => "FAILED_PRECONDITION",
        10 => "ABORTED",
        11 => "OUT_OF_RANGE",
        12 => "UNIMPLEMENTED",
        13 => "INTERNAL",
        14 => "UNAVAILABLE",
        15 => "DATA_LOSS",
        16 => "UNAUTHENTICATED",
        other => return format!("gRPC status {other}"),
    };
    format!("gRPC {name}")
}

/// Errors of Kafka's protocol that are met most: number, name, and whether the client is at fault.
const KAFKA: [(i32, &str, bool); 27] = [
    (-1, "UNKNOWN_SERVER_ERROR", false),
    (1, "OFFSET_OUT_OF_RANGE", true),
    (2, "CORRUPT_MESSAGE", true),
    (3, "UNKNOWN_TOPIC_OR_PARTITION", true),
    (5, "LEADER_NOT_AVAILABLE", false),
    (6, "NOT_LEADER_OR_FOLLOWER", false),
    (7, "REQUEST_TIMED_OUT", false),
    (9, "REPLICA_NOT_AVAILABLE", false),
    (10, "MESSAGE_TOO_LARGE", true),
    (14, "COORDINATOR_LOAD_IN_PROGRESS", false),
    (15, "COORDINATOR_NOT_AVAILABLE", false),
    (16, "NOT_COORDINATOR", false),
    (17, "INVALID_TOPIC_EXCEPTION", true),
    (18, "RECORD_LIST_TOO_LARGE", true),
    (19, "NOT_ENOUGH_REPLICAS", false),
    (20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", false),
    (22, "ILLEGAL_GENERATION", true),
    (25, "UNKNOWN_MEMBER_ID", true),
    (29, "TOPIC_AUTHORIZATION_FAILED", true),
    (30, "GROUP_AUTHORIZATION_FAILED", true),
    (31, "CLUSTER_AUTHORIZATION_FAILED", true),
    (33, "UNSUPPORTED_SASL_MECHANISM", true),
    (35, "UNSUPPORTED_VERSION", true),
    (36, "TOPIC_ALREADY_EXISTS", true),
    (56, "KAFKA_STORAGE_ERROR", false),
    (58, "SASL_AUTHENTICATION_FAILED", true),
    (100, "UNKNOWN_TOPIC_ID", true),
];

fn of_kafka(code: i32) -> Option<(&'static str, bool)> {
    let found = KAFKA.iter().find(|(number, ..)| *number == code);
    found.map(|(_, name, is_of_client)| (*name, *is_of_client))
}

/// An error of Kafka by its name.
pub fn kafka_code(code: i32) -> String {
    match of_kafka(code) {
        Some((name, _)) => name.to_owned(),
        None => format!("error {code}"),
    }
}

pub(super) fn kafka_fault(code: i32) -> Fault {
    match of_kafka(code) {
        Some((_, true)) => Fault::Client,
        Some((_, false)) => Fault::Server,
        None => Fault::Unknown,
    }
}

/// An alert of TLS by its name (RFC 8446, section 6).
pub(super) fn tls_alert(code: i32) -> String {
    let name = match code {
        0 => "close notify",
        10 => "unexpected message",
        20 => "bad record MAC",
        22 => "record overflow",
        40 => "handshake failure",
        42 => "bad certificate",
        43 => "unsupported certificate",
        44 => "certificate revoked",
        45 => "certificate expired",
        46 => "certificate unknown",
        47 => "illegal parameter",
        48 => "unknown CA",
        49 => "access denied",
        50 => "decode error",
        51 => "decrypt error",
        70 => "protocol version",
        71 => "insufficient security",
        80 => "internal error",
        86 => "inappropriate fallback",
        90 => "user canceled",
        109 => "missing extension",
        110 => "unsupported extension",
        112 => "unrecognized name",
        113 => "bad certificate status response",
        115 => "unknown PSK identity",
        116 => "certificate required",
        120 => "no application protocol",
        other => return format!("alert {other}"),
    };
    format!("{name} (alert {code})")
}

/// A certificate that is bad or too old is its owner's; whose fault the others are, nobody can see.
pub(super) fn tls_fault(cause: &Cause) -> Fault {
    let is_by_client = cause.kind() == CauseKind::TlsAlertByClient;
    match cause.code {
        42 | 44 | 45 if is_by_client => Fault::Server,
        42 | 44 | 45 | 116 => Fault::Client,
        80 if is_by_client => Fault::Client,
        80 => Fault::Server,
        _ => Fault::Unknown,
    }
}
