//! Tells a collector what was counted, now and then.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use api::hubble::Timestamp;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{
    self as proto, AggregationTemporality, HistogramDataPoint, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, exemplar, metric::Data, number_data_point,
};
use prost::Message;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::{
    Origin, SCHEMA,
    attributes::Attributes,
    meter::{Count, Exemplar, Histogram, Meter, Metric, Series},
    sender::{Batch, Sender},
};
use crate::series::BOUNDS;

/// Series of one message.
const POINTS: usize = 1_000;
/// How long the last messages may take when the agent ends.
const LAST: Duration = Duration::from_secs(2);

/// Tells them every `interval` until `stop`, and then once more.
pub(super) async fn run(
    meter: Arc<Meter>,
    origin: Arc<Origin>,
    mut sender: Sender,
    interval: Duration,
    stop: CancellationToken,
) {
    let mut ticks = interval_at(Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = ticks.tick() => {}
        }
        let begun = Instant::now();
        for batch in batches(&meter, &origin, now_ns()) {
            // The next ones have what these would have told.
            let patience = interval.saturating_sub(begun.elapsed());
            sender.deliver(batch, patience, &stop).await;
        }
    }
    let until = Instant::now() + LAST;
    for batch in batches(&meter, &origin, now_ns()) {
        sender.deliver_once(batch, until).await;
    }
}

fn now_ns() -> u64 {
    let now = Timestamp::from(SystemTime::now()).unix_nanos();
    u64::try_from(now).unwrap_or_default()
}

/// All series as messages.
pub(super) fn batches(meter: &Meter, origin: &Origin, now_ns: u64) -> Vec<Batch> {
    let mut batches = Vec::new();
    for metric in Metric::ALL {
        let mut series = meter.take(metric, now_ns);
        while !series.is_empty() {
            let rest = series.split_off(series.len().min(POINTS));
            batches.push(batch(metric, series, origin, now_ns));
            series = rest;
        }
    }
    batches
}

fn batch(metric: Metric, series: Vec<(Attributes, Series)>, origin: &Origin, now_ns: u64) -> Batch {
    let items = series.len() as u64;
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(origin.resource.clone()),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(origin.scope.clone()),
                metrics: vec![told(metric, series, now_ns)],
                schema_url: SCHEMA.into(),
            }],
            schema_url: SCHEMA.into(),
        }],
    };
    Batch {
        message: request.encode_to_vec().into(),
        items,
    }
}

fn told(metric: Metric, series: Vec<(Attributes, Series)>, now_ns: u64) -> proto::Metric {
    let temporality = AggregationTemporality::Cumulative.into();
    let data = if metric == Metric::EdgeIo {
        Data::Sum(proto::Sum {
            data_points: series
                .into_iter()
                .filter_map(|of| number(of, now_ns))
                .collect(),
            aggregation_temporality: temporality,
            is_monotonic: true,
        })
    } else {
        Data::Histogram(proto::Histogram {
            data_points: series
                .into_iter()
                .filter_map(|of| histogram(of, now_ns))
                .collect(),
            aggregation_temporality: temporality,
        })
    };
    proto::Metric {
        name: metric.name().into(),
        description: metric.help().into(),
        unit: if metric == Metric::EdgeIo { "By" } else { "s" }.into(),
        data: Some(data),
        ..proto::Metric::default()
    }
}

fn number((attributes, series): (Attributes, Series), now_ns: u64) -> Option<NumberDataPoint> {
    let Count::Sum(sum) = series.count else {
        return None;
    };
    let value = i64::try_from(sum).unwrap_or(i64::MAX);
    Some(NumberDataPoint {
        attributes: attributes.into_proto(),
        start_time_unix_nano: series.start_ns,
        time_unix_nano: now_ns.max(series.start_ns),
        value: Some(number_data_point::Value::AsInt(value)),
        ..NumberDataPoint::default()
    })
}

fn histogram(
    (attributes, series): (Attributes, Series),
    now_ns: u64,
) -> Option<HistogramDataPoint> {
    let Count::Histogram(of) = series.count else {
        return None;
    };
    let Histogram {
        counts,
        sum,
        exemplars,
    } = *of;
    let bounds = BOUNDS.iter().map(|(bound, _)| *bound);
    Some(HistogramDataPoint {
        attributes: attributes.into_proto(),
        start_time_unix_nano: series.start_ns,
        time_unix_nano: now_ns.max(series.start_ns),
        count: counts.iter().sum(),
        sum: Some(sum),
        bucket_counts: counts.to_vec(),
        // The last bucket has no bound.
        explicit_bounds: bounds.filter(|bound| bound.is_finite()).collect(),
        exemplars: exemplars.into_iter().map(|(_, of)| shown(&of)).collect(),
        ..HistogramDataPoint::default()
    })
}

fn shown(of: &Exemplar) -> proto::Exemplar {
    proto::Exemplar {
        time_unix_nano: of.time_ns,
        span_id: of.trace.span_id.to_vec(),
        trace_id: of.trace.trace_id.to_vec(),
        value: Some(exemplar::Value::AsDouble(of.seconds)),
        ..proto::Exemplar::default()
    }
}
