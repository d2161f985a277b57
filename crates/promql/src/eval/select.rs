//! Series as they are kept, at the times of a grid.

use super::column::Column;
use super::{Grid, LOOKBACK, Query};
use crate::ast::{At, Selector, Shift};
use crate::{Error, Found, Sample};

impl Query<'_> {
    /// The time that is meant by `time`, milliseconds since the Unix epoch.
    pub(super) fn shifted(&self, shift: Shift, time: i64) -> i64 {
        let fixed = match shift.at {
            None => time,
            Some(At::Time(fixed)) => fixed,
            Some(At::Start) => self.times.0,
            Some(At::End) => self.times.1,
        };
        fixed.saturating_sub(shift.offset)
    }

    /// All values of the series that a selector means, for questions at the times of a grid and `before` milliseconds back.
    pub(super) fn read(
        &self,
        selector: &Selector,
        grid: Grid,
        before: i64,
    ) -> Result<Vec<Found>, Error> {
        if grid.count == 0 {
            return Ok(Vec::new());
        }
        let first = self.shifted(selector.shift, grid.start);
        let last = self.shifted(selector.shift, grid.last());
        let mut all = Vec::new();
        for found in self
            .series
            .select(&selector.matchers, first.saturating_sub(before), last)
        {
            let found = found?;
            self.pay_series()?;
            self.pay(found.samples.len())?;
            if !found.samples.is_empty() {
                all.push(found);
            }
        }
        Ok(all)
    }

    /// An instant vector; `of` makes a value of a sample.
    pub(super) fn select(
        &self,
        selector: &Selector,
        grid: Grid,
        of: impl Fn(&Sample) -> f64,
    ) -> Result<Vec<Column>, Error> {
        let mut columns = Vec::new();
        for found in self.read(selector, grid, LOOKBACK)? {
            self.pay(grid.count)?;
            let at = |time| latest(&found.samples, self.shifted(selector.shift, time)).map(&of);
            let column = Column {
                values: grid.times().map(at).collect(),
                labels: found.labels,
            };
            if !column.is_empty() {
                columns.push(column);
            }
        }
        Ok(columns)
    }
}

/// The last value at `time` that is not too old, unless the series had ended.
fn latest(samples: &[Sample], time: i64) -> Option<&Sample> {
    let before = samples.partition_point(|sample| sample.time <= time);
    let sample = samples.get(before.checked_sub(1)?)?;
    let is_recent = sample.time > time.saturating_sub(LOOKBACK);
    (is_recent && !sample.is_stale()).then_some(sample)
}
