//! The counts of a time, span by span.

use std::collections::HashSet;

use api::hubble::answers::{Part, Span};

use super::row::Open;
use super::{DiskError, Level, Rollup, Spans, seen};

impl Rollup {
    /// Gives `each` what was counted from `base` to `since` as one span, and then, span by span of a level, what was counted up to
    /// `until`; all in seconds since the Unix epoch. Spans without counts are left out, spans that are not over too. `each` says
    /// whether to go on.
    pub fn spans(
        &self,
        (base, since, until): (u64, u64, u64),
        level: Level,
        mut each: impl FnMut(Span) -> bool,
    ) -> Result<(), DiskError> {
        let (start, known, tens, whole) =
            self.with(|state| (state.start, state.since, state.tens.clone(), state.whole()));
        let spans = Spans {
            disk: &self.disk,
            tens: &tens,
            whole,
        };
        let until = until.min(start);
        let mut told = HashSet::new();
        let mut at = Level::Ten.start(base.max(known));
        let mut end = since.min(until);
        let mut goes_on = true;
        while goes_on && at < until {
            if at < end {
                let from = at;
                let mut sum = Open::default();
                while at < end {
                    at = spans.step(at, end, &mut sum)?;
                }
                goes_on = self.tell((from, at), sum, &mut told, &mut each);
            }
            end = next(at, until, level);
        }
        Ok(())
    }

    /// Hands on a span, unless nothing was counted in it.
    fn tell(
        &self,
        (start, end): (u64, u64),
        sum: Open,
        told: &mut HashSet<u32>,
        each: &mut impl FnMut(Span) -> bool,
    ) -> bool {
        let mut window = sum.into_window();
        if window.rows.is_empty() && window.lost == 0 {
            return true;
        }
        self.with(|state| {
            for row in &mut window.rows {
                let is_new = told.insert(row.number);
                let edge = state.edges.get(row.number as usize).filter(|_| is_new);
                row.edge = edge.map(|edge| (**edge).clone());
                row.outsiders.clear();
                row.dns.iter_mut().for_each(|of| of.addresses.clear());
                for of in &mut row.tls {
                    of.versions.clear();
                    of.protocols.clear();
                    of.latency = None;
                }
                for tally in &mut row.failures {
                    tally.samples.clear();
                }
            }
        });
        let part = Part {
            seen: seen(&window.rows),
            rows: window.rows,
            lost: window.lost,
            ..Part::default()
        };
        each(Span {
            start,
            end,
            part: Some(part),
        })
    }
}

/// Where the span that begins at `at` ends: of the level, or of the longest one that ends in time.
fn next(at: u64, until: u64, level: Level) -> u64 {
    let ends = |of: Level| of.start(at) + of.seconds();
    let levels = [level, Level::Minute, Level::Ten].into_iter();
    let mut fitting = levels
        .filter(|of| of.seconds() <= level.seconds())
        .map(ends);
    fitting.find(|end| *end <= until).unwrap_or(until)
}

#[cfg(test)]
mod tests;
