//! `./x bench`: what we cost, measured beside what the kernel costs by itself, in one run on one machine.
//!
//! A group makes one topology and adds rows. Ratios come from [`pair::compare`]; figures without a baseline are percentiles.
#![allow(clippy::print_stdout, reason = "the bench talks to a person")]
#![allow(
    clippy::cast_precision_loss,
    reason = "counts and octets here are far below 2^52"
)]

pub(crate) mod crowd;
pub mod lane;
pub mod load;
pub mod machine;
mod observe;
mod packet;
pub mod pair;
pub mod plain;
mod pods;
pub(crate) mod prober;
mod scale;
mod services;
pub mod statistics;
pub mod table;
mod traffic;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use pair::Limits;
use table::Row;

/// What a person asks for.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Only rows whose name, or whose group's, contains this; may be repeated
    #[arg(long = "rows", value_name = "PATTERN")]
    pub rows: Vec<String>,
    /// Most rounds of a pair
    #[arg(long, default_value_t = 40)]
    pub rounds: usize,
    /// Few rounds, short windows, small numbers: shows that it works, measures little
    #[arg(long)]
    pub quick: bool,
    /// Write conditions and rows to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Page to write after a whole run
    #[arg(long, value_name = "FILE", hide = true)]
    pub page: Option<PathBuf>,
    /// Commit of the sources
    #[arg(long, default_value = "unknown", hide = true)]
    pub commit: String,
    /// Minutes after which pairs get no more than the fewest rounds; after twice as many nothing new begins
    #[arg(long, default_value_t = 20)]
    pub minutes: u64,
}

/// Rows that share a topology.
pub struct Group {
    /// What patterns may also match.
    name: &'static str,
    /// Names of its rows, without numbers: a group is not started for nothing.
    rows: &'static [&'static str],
    /// Measures and adds the rows.
    run: fn(&mut Bench) -> anyhow::Result<()>,
}

const GROUPS: &[Group] = &[
    packet::PACKET,
    traffic::ONE,
    traffic::FLOWS,
    traffic::TWO_NATIVE,
    traffic::TWO_VXLAN,
    pods::PODS,
    services::SERVICES,
    scale::SCALE,
    pods::PLUGIN,
    observe::TRAFFIC,
    observe::RECORDS,
    observe::ANSWERS,
];

/// A run and what it has found.
pub struct Bench {
    options: Options,
    rows: Vec<Row>,
    /// The pattern matched the group, so all of its rows are wanted.
    whole_group: bool,
    window: Duration,
    deadline: Instant,
    /// No group begins after this; each of its steps is bounded by itself.
    end: Instant,
}

impl Bench {
    fn new(mut options: Options) -> Self {
        if options.quick {
            options.rounds = options.rounds.min(statistics::FEWEST_ROUNDS);
        }
        let window = Duration::from_millis(if options.quick { 100 } else { 500 });
        let time = Duration::from_mins(options.minutes);
        let deadline = Instant::now() + time;
        Self {
            options,
            rows: Vec::new(),
            whole_group: true,
            window,
            deadline,
            end: deadline + time,
        }
    }

    /// A topology's name, of this process alone.
    fn topology(letter: char) -> String {
        format!("axb{letter}{}", std::process::id() % 10_000)
    }

    fn limits(&self) -> Limits {
        Limits {
            rounds: self.options.rounds,
            deadline: self.deadline,
        }
    }

    fn matches(&self, name: &str) -> bool {
        let patterns = &self.options.rows;
        patterns.is_empty()
            || patterns
                .iter()
                .any(|pattern| name.contains(pattern.as_str()))
    }

    /// Whether a row of that name was asked for.
    fn wants(&self, name: &str) -> bool {
        self.whole_group || self.matches(name)
    }

    /// Adds rows, and says so.
    fn add(&mut self, rows: impl IntoIterator<Item = Row>) {
        for row in rows {
            println!("  {}", row.line());
            self.rows.push(row);
        }
    }
}

/// Measures, prints the table, writes the files that were asked for.
pub fn run(options: Options) -> anyhow::Result<()> {
    if let Some(why) = crate::demo::refusal() {
        bail!("the bench cannot run: {why}");
    }
    ensure!(
        options.rounds >= 2,
        "--rounds: an interval needs two or more"
    );
    let begun = Instant::now();
    let mut conditions = machine::conditions(&options.commit, options.rounds)?;
    let mut bench = Bench::new(options);
    let mut failures = Vec::new();
    for group in GROUPS {
        bench.whole_group = bench.matches(group.name);
        if !bench.whole_group && !group.rows.iter().any(|row| bench.matches(row)) {
            continue;
        }
        if Instant::now() > bench.end {
            println!("== {}: no time is left", group.name);
            failures.push(group.name);
            continue;
        }
        println!("== {} ({:.0} s)", group.name, begun.elapsed().as_secs_f64());
        // What one group cannot measure is no reason to know nothing of the others.
        if let Err(error) = (group.run)(&mut bench) {
            println!("  failed: {error:#}");
            failures.push(group.name);
        }
    }
    conditions.duration_s = begun.elapsed().as_secs();
    println!("\n{}", table::table(&bench.rows));
    if let Some(path) = &bench.options.json {
        let text = serde_json::to_string_pretty(&table::json(&conditions, &bench.rows))?;
        fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    let whole = bench.options.rows.is_empty() && !bench.options.quick && failures.is_empty();
    if let Some(page) = bench.options.page.as_deref().filter(|_| whole) {
        table::write_page(page, &conditions, &bench.rows)?;
        println!("written to {}", page.display());
    }
    ensure!(failures.is_empty(), "not measured: {}", failures.join(", "));
    ensure!(!bench.rows.is_empty(), "no row matches");
    Ok(())
}
