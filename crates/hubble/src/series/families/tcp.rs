//! How TCP connections go on and end.

use api::hubble::answers::{CauseKind, Edge, Row};

use super::{Add, TCP, add, counters, histogram};

pub(super) fn closes(edge: &Edge, row: &Row, to: &mut Add<'_>) {
    if edge.protocol != TCP {
        return;
    }
    let of = counters(row);
    let causes = [
        ("closed", of.closed),
        ("idle", of.idle),
        ("reset_by_client", of.reset_by_client),
        ("reset_by_server", of.reset_by_server),
    ];
    for (cause, count) in causes {
        add(to, "hubble_tcp_closes_total", &[("cause", cause)], count);
    }
}

pub(super) fn round_trips(_: &Edge, row: &Row, to: &mut Add<'_>) {
    if let Some(sketch) = &row.round_trip {
        histogram("hubble_tcp_rtt_seconds", &[], sketch, to);
    }
}

pub(super) fn least_round_trips(_: &Edge, row: &Row, to: &mut Add<'_>) {
    if let Some(sketch) = &row.least_round_trip {
        histogram("hubble_tcp_least_rtt_seconds", &[], sketch, to);
    }
}

pub(super) fn retransmits(_: &Edge, row: &Row, to: &mut Add<'_>) {
    add(
        to,
        "hubble_tcp_syn_retransmits_total",
        &[],
        counters(row).syn_retransmits,
    );
}

pub(super) fn segments_again(_: &Edge, row: &Row, to: &mut Add<'_>) {
    let of = counters(row);
    let directions = [
        ("sent", of.retransmits_sent),
        ("received", of.retransmits_received),
    ];
    for (direction, count) in directions {
        let labels = [("direction", direction)];
        add(to, "hubble_tcp_retransmits_total", &labels, count);
    }
}

pub(super) fn stalls(_: &Edge, row: &Row, to: &mut Add<'_>) {
    let kinds = [
        (CauseKind::StalledAtServer, "server", "unacknowledged"),
        (CauseKind::StalledAtClient, "client", "unacknowledged"),
        (CauseKind::FullAtServer, "server", "window"),
        (CauseKind::FullAtClient, "client", "window"),
        (CauseKind::UnclosedAtServer, "server", "unclosed"),
    ];
    for (kind, at, why) in kinds {
        let alike = row
            .failures
            .iter()
            .filter(|of| of.cause.as_ref().is_some_and(|of| of.kind() == kind));
        let count = alike.fold(0_u64, |sum, of| sum.saturating_add(of.count));
        let labels = [("at", at), ("why", why)];
        add(to, "hubble_tcp_stalls_total", &labels, count);
    }
}
