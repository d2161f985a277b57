//! What became of samples of payload: records, and what was lost on the way to them.

use std::fmt;

use l7::{classify::Protocol, track::Totals};
use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter},
};

/// What was counted of samples since the start.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    /// Samples that found no room in the kernel's ring, or could not be read.
    pub lost: u64,
    /// What the parsers counted.
    pub totals: Totals,
}

const PROTOCOLS: [(Protocol, &str); 6] = [
    (Protocol::Http1, "http1"),
    (Protocol::Http2, "http2"),
    (Protocol::Kafka, "kafka"),
    (Protocol::Tls, "tls"),
    (Protocol::Dns, "dns"),
    (Protocol::Other, "other"),
];

impl Captured {
    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let sum = |of: fn(&l7::track::Counts) -> u64| -> u64 {
            let counts = PROTOCOLS.map(|(protocol, _)| self.totals.of(protocol));
            counts.iter().map(of).sum()
        };
        let lost = [
            ("samples", self.lost),
            ("budget", sum(|counts| counts.over_budget)),
            ("malformed", sum(|counts| counts.malformed)),
            ("doubt", sum(|counts| counts.doubts)),
        ];
        counters(
            encoder,
            (
                "hubble_capture_lost",
                "What of payload made no record, by why",
            ),
            "class",
            lost,
        )?;
        let by_protocol = |of: fn(&l7::track::Counts) -> u64| {
            PROTOCOLS.map(|(protocol, name)| (name, of(&self.totals.of(protocol))))
        };
        counters(
            encoder,
            (
                "hubble_capture_records",
                "Records of requests, questions and handshakes",
            ),
            "protocol",
            by_protocol(|counts| counts.records),
        )?;
        counters(
            encoder,
            (
                "hubble_capture_unknown",
                "Of these records those that lack what names them",
            ),
            "protocol",
            by_protocol(|counts| counts.unknown),
        )
    }
}

fn counters<const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    label: &str,
    values: [(&str, u64); N],
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (value, count) in values {
        let labels = [(label, value)];
        ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
