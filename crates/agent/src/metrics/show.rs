//! Writing of families that are read when they are asked for.

use std::collections::BTreeSet;
use std::fmt::Error;

use daemon::metrics::Labels;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::full;

/// A page being written, and what is not wanted on it.
pub(super) struct Page<'e, 'a> {
    pub(super) encoder: DescriptorEncoder<'e>,
    pub(super) off: &'a BTreeSet<String>,
}

impl Page<'_, '_> {
    /// A gauge with its series.
    pub(super) fn gauges<const N: usize, V: EncodeGaugeValue>(
        &mut self,
        (name, help): (&str, &str),
        series: impl IntoIterator<Item = (Labels<N>, V)>,
    ) -> Result<(), Error> {
        let kind = MetricType::Gauge;
        if self.off.contains(&full(name, kind)) {
            return Ok(());
        }
        let mut family = self.encoder.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in series {
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// A gauge of one series without labels.
    pub(super) fn gauge<V: EncodeGaugeValue>(
        &mut self,
        of: (&str, &str),
        value: V,
    ) -> Result<(), Error> {
        self.gauges::<0, V>(of, [([], value)])
    }

    /// A counter with its series; the name lacks `_total`.
    pub(super) fn counters<const N: usize, V: EncodeCounterValue>(
        &mut self,
        (name, help): (&str, &str),
        series: impl IntoIterator<Item = (Labels<N>, V)>,
    ) -> Result<(), Error> {
        let kind = MetricType::Counter;
        if self.off.contains(&full(name, kind)) {
            return Ok(());
        }
        let mut family = self.encoder.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in series {
            ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
