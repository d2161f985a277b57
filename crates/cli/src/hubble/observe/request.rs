//! Which part of the past is asked for, and raw filters.

use anyhow::{Context, bail};
use api::hubble::{Timestamp, flow::FlowFilter};
use clap::Args;
use jiff::Zoned;

use crate::hubble::time;

/// How many flows are asked for when no flag says so.
const DEFAULT_NUMBER: u64 = 20;

/// Flags that select by time and number.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Selectors")]
pub(super) struct SelectorArgs {
    /// All flows that the server still has
    #[arg(long)]
    all: bool,
    /// The last N flows [default: 20]
    #[arg(long, value_name = "N")]
    last: Option<u64>,
    /// The first N flows
    #[arg(long, value_name = "N")]
    first: Option<u64>,
    /// Go on with new flows as they come
    #[arg(short, long)]
    follow: bool,
    /// Flows since a time: a span before now (3s, 4m, 1h30m), a date or RFC 3339
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Flows until a time, in the same forms
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// What the flags select.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) number: u64,
    pub(super) first: bool,
    pub(super) follow: bool,
    pub(super) since: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
}

impl SelectorArgs {
    /// The selection, or which flags exclude each other.
    pub(super) fn selection(&self, now: &Zoned) -> anyhow::Result<Span> {
        match (self.all, self.first, self.last) {
            (_, Some(_), Some(_)) => bail!("cannot set both --first and --last"),
            (true, Some(_), _) => bail!("cannot set both --first and --all"),
            (true, _, Some(_)) => bail!("cannot set both --last and --all"),
            _ => {}
        }
        if self.first.is_some() && self.follow {
            bail!("cannot set both --first and --follow");
        }
        let at = |flag: &str, text: &Option<String>| -> anyhow::Result<Option<Timestamp>> {
            match text {
                None => Ok(None),
                Some(text) => time::parse(text, now)
                    .map(Some)
                    .with_context(|| flag.to_owned()),
            }
        };
        let number = match (self.all, self.first.or(self.last)) {
            (true, _) => u64::MAX,
            (false, Some(number)) => number,
            (false, None) if self.follow || self.since.is_some() => 0,
            (false, None) => DEFAULT_NUMBER,
        };
        Ok(Span {
            number,
            first: self.first.is_some(),
            follow: self.follow,
            since: at("--since", &self.since)?,
            until: at("--until", &self.until)?,
        })
    }
}

/// Filters given as JSON; one text may hold several, one after the other.
pub(super) fn raw(flag: &str, texts: &[String]) -> anyhow::Result<Vec<FlowFilter>> {
    texts
        .iter()
        .flat_map(|text| serde_json::Deserializer::from_str(text).into_iter::<FlowFilter>())
        .map(|filter| filter.with_context(|| format!("{flag}: not a filter")))
        .collect()
}
