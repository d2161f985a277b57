//! Results: a line for each test, what failed and why, and the same as JUnit.

mod junit;

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use crate::output::{Paint, visible};
pub(super) use junit::junit;

/// An attempt that was not as expected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Failure {
    pub(super) name: String,
    pub(super) source: String,
    pub(super) destination: String,
    pub(super) expected: String,
    pub(super) got: String,
    /// What the agents saw of it.
    pub(super) flows: Vec<String>,
    /// What is wrong with that.
    pub(super) fault: Option<String>,
}

/// How a test went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// Attempts were made.
    Attempted {
        attempts: usize,
        failures: Vec<Failure>,
        /// As expected, but not seen so by the flow servers.
        warnings: Vec<Failure>,
    },
    /// Looked at: what is wrong.
    Looked(Vec<String>),
    /// Not run, for this reason.
    Skipped(String),
    /// It could not be run to its end.
    Broken(String),
}

/// A test that was run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Tested {
    pub(super) name: &'static str,
    pub(super) namespace: String,
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub(super) took: Duration,
    pub(super) outcome: Outcome,
}

fn seconds<S: serde::Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(took.as_secs_f64())
}

impl Tested {
    pub(super) fn failed(&self) -> bool {
        match &self.outcome {
            Outcome::Attempted { failures, .. } => !failures.is_empty(),
            Outcome::Looked(wrong) => !wrong.is_empty(),
            Outcome::Broken(_) => true,
            Outcome::Skipped(_) => false,
        }
    }

    fn skipped(&self) -> bool {
        matches!(self.outcome, Outcome::Skipped(_))
    }

    /// What is wrong, line by line; nothing for a test that passed.
    pub(super) fn complaints(&self) -> Vec<String> {
        match &self.outcome {
            Outcome::Attempted { failures, .. } => {
                failures.iter().flat_map(Failure::lines).collect()
            }
            Outcome::Looked(wrong) => wrong.clone(),
            Outcome::Broken(error) => vec![error.clone()],
            Outcome::Skipped(_) => Vec::new(),
        }
    }
}

impl Failure {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            self.name.clone(),
            format!("  from      {}", self.source),
            format!("  to        {}", self.destination),
            format!("  expected  {}", self.expected),
            format!("  got       {}", self.got),
        ];
        if let Some(fault) = &self.fault {
            lines.push(format!("  flows     {fault}"));
        }
        lines.extend(self.flows.iter().map(|flow| format!("            {flow}")));
        lines
    }
}

/// One test in one line.
pub(super) fn write_line(tested: &Tested, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
    let (mark, what) = match &tested.outcome {
        Outcome::Skipped(reason) => (paint.warn("skip"), reason.clone()),
        Outcome::Broken(error) => (paint.bad("FAIL"), error.clone()),
        Outcome::Looked(wrong) if wrong.is_empty() => (paint.good("ok  "), String::new()),
        Outcome::Looked(wrong) => (
            paint.bad("FAIL"),
            match wrong.len() {
                1 => "1 complaint".to_owned(),
                number => format!("{number} complaints"),
            },
        ),
        Outcome::Attempted {
            attempts,
            failures,
            warnings,
        } => {
            let what = match (failures.len(), warnings.len()) {
                (0, 0) => format!("{attempts} attempts"),
                (0, warned) => {
                    format!("{attempts} attempts, of {warned} the flows are not as expected")
                }
                (failed, _) => format!("{failed} of {attempts} attempts"),
            };
            let mark = if failures.is_empty() {
                paint.good("ok  ")
            } else {
                paint.bad("FAIL")
            };
            (mark, what)
        }
    };
    let seconds = tested.took.as_secs_f64();
    writeln!(
        out,
        "{mark} {:<52} {seconds:>6.1} s  {}",
        tested.name,
        visible(&what)
    )
}

/// What failed and why, what was left out, and the sum.
pub(super) fn write_summary(all: &[Tested], paint: Paint, out: &mut dyn Write) -> io::Result<()> {
    for tested in all.iter().filter(|tested| tested.failed()) {
        writeln!(
            out,
            "\n{} in {}",
            paint.bad(tested.name),
            visible(&tested.namespace)
        )?;
        for line in tested.complaints() {
            writeln!(out, "  {}", visible(&line))?;
        }
    }
    for tested in all {
        if let Outcome::Attempted { warnings, .. } = &tested.outcome {
            for warning in warnings {
                let fault = warning.fault.as_deref().unwrap_or_default();
                let line = format!("{}: {}: {fault}", tested.name, warning.name);
                writeln!(out, "{} {}", paint.warn("flows:"), visible(&line))?;
            }
        }
    }
    let failed = all.iter().filter(|tested| tested.failed()).count();
    let skipped = all.iter().filter(|tested| tested.skipped()).count();
    let passed = all.len() - failed - skipped;
    let sum = format!("{passed} passed, {failed} failed, {skipped} skipped");
    let sum = if failed > 0 {
        paint.bad(&sum)
    } else {
        paint.good(&sum)
    };
    writeln!(out, "\n{sum}")
}

#[cfg(test)]
mod tests;
