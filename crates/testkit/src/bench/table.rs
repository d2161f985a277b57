//! Rows of figures, and how they are shown: aligned for a person, as JSON for a program, in docs/benchmarks.md to stay.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;
use serde_json::{Value, json};

use super::statistics::{Interval, Target, Verdict, median};

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// The figure.
    pub value: f64,
    /// Its unit; `ratio` where there is a baseline.
    pub unit: &'static str,
    /// Name and median of what it is compared with.
    pub baseline: Option<String>,
    /// What is wanted.
    pub target: Option<Target>,
    /// Whether it is so.
    pub verdict: Verdict,
    /// The 95 % interval of a ratio.
    pub interval: Option<Interval>,
    /// Rounds of a ratio, samples of a figure.
    pub count: usize,
}

/// Where and when the rows were measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Conditions {
    /// Release of the kernel.
    pub kernel: String,
    /// Model of the processors.
    pub cpu: String,
    /// How many of them.
    pub cpus: usize,
    /// Memory of the machine, MiB.
    pub memory_mib: u64,
    /// Commit of the sources.
    pub commit: String,
    /// Profile that our programs were built with.
    pub profile: String,
    /// Load averages before the run.
    pub load_before: String,
    /// Seconds the run took.
    pub duration_s: u64,
    /// Most rounds of a pair.
    pub rounds: usize,
}

impl Row {
    /// A figure without a baseline.
    pub fn figure(name: impl Into<String>, value: f64, unit: &'static str, count: usize) -> Self {
        Self {
            name: name.into(),
            value,
            unit,
            baseline: None,
            target: None,
            verdict: Verdict::Reference,
            interval: None,
            count,
        }
    }

    /// The same with a target.
    pub fn wanted(mut self, target: Target) -> Self {
        self.target = Some(target);
        self.verdict = target.judge_figure(self.value);
        self
    }

    /// A ratio of pairs (ours, baseline); `what` names the baseline, `unit` is that of its values.
    pub fn ratio(
        name: impl Into<String>,
        pairs: &[(f64, f64)],
        what: &str,
        unit: &str,
        target: Option<Target>,
    ) -> anyhow::Result<Self> {
        let name = name.into();
        let ratios: Vec<f64> = pairs.iter().map(|(ours, theirs)| ours / theirs).collect();
        let interval =
            Interval::of(&ratios).with_context(|| format!("{name}: no interval of {ratios:?}"))?;
        let theirs: Vec<f64> = pairs.iter().map(|pair| pair.1).collect();
        let typical = median(&theirs).unwrap_or_default();
        Ok(Self {
            name,
            value: interval.mean,
            unit: "ratio",
            baseline: Some(format!("{what}, {} {unit}", short(typical))),
            target,
            verdict: target.map_or(Verdict::Reference, |target| target.judge(interval)),
            interval: Some(interval),
            count: pairs.len(),
        })
    }

    /// One line for a person who waits.
    pub fn line(&self) -> String {
        let [name, value, interval, count, baseline, target, verdict] = self.cells();
        let words = [
            value,
            interval,
            format!("n {count}"),
            baseline,
            target,
            verdict,
        ];
        let words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
        format!("{name}: {}", words.join(", "))
    }

    fn cells(&self) -> [String; 7] {
        let value = match self.unit {
            "ratio" => format!("{:.3}", self.value),
            unit => format!("{} {unit}", short(self.value)),
        };
        let interval = self
            .interval
            .map(|i| format!("{:.3} – {:.3}", i.low, i.high));
        let target = self.target.map(|target| match self.unit {
            "ratio" => target.to_string(),
            unit => format!("{target} {unit}"),
        });
        [
            self.name.clone(),
            value,
            interval.unwrap_or_default(),
            self.count.to_string(),
            self.baseline.clone().unwrap_or_default(),
            target.unwrap_or_default(),
            self.verdict.word().to_owned(),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name, "value": self.value, "unit": self.unit, "baseline": self.baseline,
            "target": self.target.map(|target| target.to_string()), "verdict": self.verdict.word(),
        })
    }
}

/// Three or more significant digits, never an exponent.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

const HEADS: [&str; 7] = [
    "what",
    "value",
    "95 % interval",
    "n",
    "baseline",
    "target",
    "verdict",
];

/// The rows as a Markdown table whose columns align.
pub fn table(rows: &[Row]) -> String {
    let mut lines: Vec<[String; 7]> = vec![HEADS.map(str::to_owned)];
    lines.extend(rows.iter().map(Row::cells));
    let widths: [usize; 7] = std::array::from_fn(|column| {
        let widest = lines.iter().map(|line| line[column].chars().count()).max();
        widest.unwrap_or(0).max(3)
    });
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(widths) {
            let _ = write!(text, "| {cell:<width$} ");
        }
        text.push_str("|\n");
        if number == 0 {
            for width in widths {
                let _ = write!(text, "|{}", "-".repeat(width + 2));
            }
            text.push_str("|\n");
        }
    }
    text
}

/// Everything for a program.
pub fn json(conditions: &Conditions, rows: &[Row]) -> Value {
    let rows: Vec<Value> = rows.iter().map(Row::json).collect();
    json!({ "conditions": conditions, "rows": rows })
}

/// What a person writes by hand begins here and is kept.
const NOTES: &str = "## Notes\n";

/// The page: the newest table and its conditions, and the notes of `old`.
pub fn page(conditions: &Conditions, rows: &[Row], old: &str) -> String {
    let mut text = "# Benchmarks\n\nWritten by `./x bench`, but for the notes. Ratios are of pairs measured in turn in one run on one machine; \
        *n* is the number of pairs, or of samples.\n\n"
        .to_owned();
    let c = conditions;
    let facts = [
        ("kernel", c.kernel.clone()),
        ("processors", format!("{} × {}", c.cpus, c.cpu)),
        ("memory", format!("{} MiB", c.memory_mib)),
        ("commit", c.commit.clone()),
        ("built as", c.profile.clone()),
        ("load before", c.load_before.clone()),
        ("duration", format!("{} s", c.duration_s)),
        ("rounds", format!("until decided, at most {}", c.rounds)),
    ];
    for (name, value) in facts {
        let _ = writeln!(text, "- {name}: {value}");
    }
    let notes = old.find(NOTES).map_or(NOTES, |at| &old[at..]);
    let _ = write!(text, "\n{}\n{notes}", table(rows));
    text
}

/// Writes the page over the old one.
pub fn write_page(path: &Path, conditions: &Conditions, rows: &[Row]) -> anyhow::Result<()> {
    let old = fs::read_to_string(path).unwrap_or_default();
    fs::write(path, page(conditions, rows, &old)).with_context(|| path.display().to_string())
}
