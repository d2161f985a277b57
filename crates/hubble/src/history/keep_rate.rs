//! How much of what is healthy is written, so that a node which is too busy for its disk still has a day of everything else.
//!
//! What failed, was denied or was dropped is always written, and so are names that were asked for, calls of Kafka, messages, and
//! the slowest hundredth of requests. Of connections and requests that went well as many are as there is room for, with all rows
//! of a connection or none: the same ones on both of its nodes, as far as their rates allow.

use std::time::Duration;

use hashbrown::HashSet;
use l7::record::{Ending, Http, Record as Said, Seen};

use super::{Kept, Row};
use crate::records::{Party, Record, What};

/// How far records reach back on a full disk, if what is always written leaves room for it.
const REACH: Duration = Duration::from_hours(24);
/// Rows that a segment has room for however short its time is, and however small the disk.
const LEAST: usize = 1024;
/// Bytes that a row is taken to need before a segment was written.
const ROW_BYTES: f64 = 16.0;
/// Of so many requests one, the slowest, is always written.
const SLOWEST: usize = 100;

/// Room for rows, by time.
#[derive(Debug)]
pub(super) struct Room {
    bytes_per_second: f64,
    row_bytes: f64,
    /// End of the last segment, nanoseconds since the Unix epoch.
    reached_ns: Option<u64>,
}

#[allow(clippy::cast_precision_loss, reason = "a rate")]
impl Room {
    /// Room for rows of a day in so many bytes.
    pub(super) fn new(bytes: u64) -> Self {
        Self {
            bytes_per_second: bytes as f64 / REACH.as_secs_f64(),
            row_bytes: ROW_BYTES,
            reached_ns: None,
        }
    }

    /// Rows that a segment of this time has room for: from the one before on, or from its first record.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it saturates, and is not negative"
    )]
    pub(super) fn rows(&self, first_ns: u64, last_ns: u64) -> usize {
        let since_ns = self.reached_ns.unwrap_or(first_ns);
        let lasts = Duration::from_nanos(last_ns.saturating_sub(since_ns));
        let rows = self.bytes_per_second * lasts.as_secs_f64() / self.row_bytes;
        (rows as usize).max(LEAST)
    }

    /// A segment up to this time was written.
    pub(super) fn written(&mut self, last_ns: u64, rows: usize, bytes: u64) {
        // Not the latest of all: a clock that was set back goes on from there.
        self.reached_ns = Some(last_ns);
        // Of a few rows most is what each file has.
        if rows >= LEAST {
            self.row_bytes = bytes as f64 / rows as f64;
        }
    }
}

/// Whether a row is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rank {
    /// Always.
    First,
    /// The sooner the smaller this is.
    Healthy(u32),
}

/// The rows that are written where there is room for so many; none where that is all of them.
pub(super) fn choose(rows: &[Row], room: usize) -> Option<Vec<Row>> {
    if rows.len() <= room {
        return None;
    }
    let ranks = ranks(rows);
    let healthy = ranks.iter().filter(|rank| **rank != Rank::First).count();
    // A part is for the healthy, so that there is always one to compare a failure with.
    let room = room
        .saturating_sub(rows.len() - healthy)
        .max((room / 8).min(healthy));
    if room >= healthy {
        return None;
    }
    let below = below(room, healthy);
    let mut chosen: Vec<Row> = Vec::with_capacity(rows.len() - healthy + room);
    for (row, rank) in rows.iter().zip(ranks) {
        let is_written = match rank {
            Rank::First => true,
            Rank::Healthy(rank) => rank < below,
        };
        match chosen.last_mut() {
            Some(before) if !is_written => before.left_out += 1,
            // The first one says how many come after it.
            _ => chosen.push(row.clone()),
        }
    }
    Some(chosen)
}

/// The rank below which there are as many as there is room for.
#[allow(
    clippy::cast_possible_truncation,
    reason = "room is smaller than what there is"
)]
const fn below(room: usize, healthy: usize) -> u32 {
    (((room as u128) << 32) / healthy as u128) as u32
}

fn ranks(rows: &[Row]) -> Vec<Rank> {
    let failed: HashSet<u64> = rows.iter().filter_map(failed).collect();
    let slow_ns = slow_ns(rows);
    let rank = |row: &Row| match &row.kept {
        Kept::Record(of) => match of.record.what {
            What::New { .. } | What::Closed { .. } => {
                let connection = connection(&of.record);
                if failed.contains(&connection) {
                    Rank::First
                } else {
                    Rank::Healthy((connection >> 32) as u32)
                }
            }
            What::Denied { .. } | What::Dropped { .. } => Rank::First,
        },
        Kept::Said(_, spoken) => match &spoken.record {
            Said::Http(http) if is_fine(http) && latency_ns(http) < Some(slow_ns) => {
                Rank::Healthy((mixed(row.position) >> 32) as u32)
            }
            Said::Http(_) | Said::Dns(_) | Said::Kafka(_) | Said::Tls(_) => Rank::First,
        },
        Kept::Message(_) => Rank::First,
    };
    rows.iter().map(rank).collect()
}

/// The connection that failed, if this is the row of its end.
fn failed(row: &Row) -> Option<u64> {
    match &row.kept {
        Kept::Record(of) if row.is_failure => Some(connection(&of.record)),
        _ => None,
    }
}

/// What a connection is called whichever of its packets is looked at, and on whichever node.
fn connection(record: &Record) -> u64 {
    let end = |of: &Party| {
        let address = match of.address.to_canonical() {
            std::net::IpAddr::V4(of) => u64::from(of.to_bits()),
            std::net::IpAddr::V6(of) => {
                let bits = of.to_bits();
                mixed((bits >> 64) as u64) ^ (bits as u64)
            }
        };
        mixed(mixed(address) ^ u64::from(of.port))
    };
    let ends = end(&record.source).wrapping_add(end(&record.destination));
    mixed(ends ^ u64::from(record.protocol))
}

/// A number of which each bit depends on each of the other's: the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
const fn mixed(of: u64) -> u64 {
    let of = of.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let of = (of ^ (of >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let of = (of ^ (of >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    of ^ (of >> 31)
}

/// Whether nobody will look for it because it failed.
fn is_fine(of: &Http) -> bool {
    let is_answered = match of.status {
        Seen::Known(status) => status < 400,
        Seen::Absent => false,
        Seen::Unknown => true,
    };
    let grpc = of.grpc.known().and_then(|grpc| grpc.status.known());
    let is_ended = match of.ending {
        Ending::Whole | Ending::Unknown => true,
        Ending::Closed | Ending::Reset(..) | Ending::Refused | Ending::Overdue => false,
    };
    is_answered && is_ended && grpc.is_none_or(|status| *status == 0)
}

fn latency_ns(of: &Http) -> Option<u64> {
    of.answer_ns?.checked_sub(of.start_ns?)
}

/// From when on a request is one of the slowest.
fn slow_ns(rows: &[Row]) -> u64 {
    let latencies = rows.iter().filter_map(|row| match &row.kept {
        Kept::Said(_, spoken) => match &spoken.record {
            Said::Http(http) => latency_ns(http),
            _ => None,
        },
        _ => None,
    });
    let mut latencies: Vec<u64> = latencies.collect();
    let faster = latencies.len() - latencies.len().div_ceil(SLOWEST);
    if latencies.is_empty() {
        return u64::MAX;
    }
    *latencies.select_nth_unstable(faster).1
}

#[cfg(test)]
mod tests;
