//! The questions that people ask of a network, one command each: who talks to whom, what fails and why, what is denied, what
//! is reached from outside, how long it takes.

mod ask;
mod diff;
mod picture;
mod show;
mod tables;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use api::hubble::answers::{Cause, CauseKind, Failure};
use clap::{Args, ValueEnum};
use jiff::Zoned;

use crate::dbg::context::Outcome;
use crate::hubble::ForwardArgs;
use crate::hubble::connect::ConnectArgs;
use ask::{Answer, Kind};

/// Between two answers of `--watch`.
const EVERY: Duration = Duration::from_secs(2);

/// Flags of all questions.
#[derive(Args, Debug)]
pub(crate) struct AskArgs {
    /// From when: a span before now (5m, 1h30m), a date or RFC 3339; as much as there is with `all`
    #[arg(long, default_value = "1h", value_name = "TIME")]
    since: String,
    /// Up to when, in the same forms [default: now]
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only what begins or ends in this namespace
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Only what this one began: NAMESPACE/NAME, NAMESPACE/, or world, host, a DNS name
    #[arg(long, value_name = "WHO")]
    from: Option<String>,
    /// Only what this one was asked: in the same forms, or a service
    #[arg(long, value_name = "WHO")]
    to: Option<String>,
    /// Most entries, 0 for all
    #[arg(long, default_value_t = 50, value_name = "NUMBER")]
    limit: u32,
    /// Output format
    #[arg(short, long, default_value = "table")]
    output: Format,
    /// Ask again every two seconds
    #[arg(short, long)]
    watch: bool,
    /// Say what is asked of the server, instead of asking
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    forward: ForwardArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// How an answer is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns
    Table,
    /// The whole answer
    Json,
    /// The columns of the table, RFC 4180
    Csv,
    /// A picture for Graphviz, of a map
    Dot,
    /// A picture for Mermaid, of a map
    Mermaid,
}

/// Flags of `failing` and `denied`.
#[derive(Args, Debug)]
pub(crate) struct FailingArgs {
    #[command(flatten)]
    ask: AskArgs,
    /// Show occurrences of each
    #[arg(short, long)]
    evidence: bool,
}

/// Flags of `tcp`.
#[derive(Args, Debug)]
pub(crate) struct TcpArgs {
    #[command(flatten)]
    ask: AskArgs,
    /// Only what fails, and why
    #[arg(long)]
    failing: bool,
    /// Only connections without an answer, and where their packets were last seen
    #[arg(long, conflicts_with = "failing")]
    unanswered: bool,
}

/// Flags of `latency`.
#[derive(Args, Debug)]
pub(crate) struct LatencyArgs {
    /// Who began, as in --from
    #[arg(value_name = "FROM")]
    client: Option<String>,
    /// Who was asked, as in --to
    #[arg(value_name = "TO")]
    asked: Option<String>,
    #[command(flatten)]
    ask: AskArgs,
}

/// Flags of `diff`.
#[derive(Args, Debug)]
pub(crate) struct DiffArgs {
    /// When the earlier span ends, which is as long as the later one, --since to --until [default: where the later one begins]
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
    #[command(flatten)]
    ask: AskArgs,
}

/// Compares two spans.
pub(crate) fn compare(args: &DiffArgs, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    anyhow::ensure!(!args.ask.watch, "--watch: what is over does not change");
    if args.ask.explain {
        diff::explain(args, &Zoned::now(), out)?;
        return Ok(Outcome::Good);
    }
    crate::program::block_on(async {
        let Some(forward) = crate::hubble::forwarded(&args.ask.forward).await? else {
            let server = ask::Server::open(&args.ask, None).await?;
            return diff::run(args, &server, out).await;
        };
        let address = forward.address()?;
        let work = async {
            let server = ask::Server::open(&args.ask, Some(address)).await?;
            diff::run(args, &server, out).await
        };
        tokio::select! {
            done = work => done,
            // It ends only by a fault.
            ended = forward.serve() => ended,
        }
    })?;
    Ok(Outcome::Good)
}

/// A question.
#[derive(Debug)]
pub(crate) enum QuestionArgs {
    /// `map`
    Map(AskArgs),
    /// `failing`
    Failing(FailingArgs),
    /// `denied`
    Denied(FailingArgs),
    /// `tcp`
    Tcp(TcpArgs),
    /// `exposed`
    Exposed(AskArgs),
    /// `latency`
    Latency(LatencyArgs),
    /// `worst`
    Worst(AskArgs),
}

/// Asks and shows; again and again with `--watch`.
pub(crate) fn run(args: QuestionArgs, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let (ask, view) = parts(args);
    if ask.explain {
        let question = ask::question(&ask, view.kind, &Zoned::now())?;
        ask::explain(&question, view.kind, out)?;
        return Ok(Outcome::Good);
    }
    crate::program::block_on(async {
        let Some(forward) = crate::hubble::forwarded(&ask.forward).await? else {
            return answers(&ask, None, &view, out).await;
        };
        let address = forward.address()?;
        tokio::select! {
            done = answers(&ask, Some(address), &view, out) => done,
            // It ends only by a fault.
            ended = forward.serve() => ended,
        }
    })?;
    Ok(Outcome::Good)
}

async fn answers(
    ask: &AskArgs,
    forwarded: Option<String>,
    view: &View,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let server = ask::Server::open(ask, forwarded).await?;
    loop {
        let answer = server.ask(ask, view.kind, &Zoned::now()).await?;
        if ask.watch && std::io::stdout().is_terminal() {
            write!(out, "\x1b[H\x1b[2J")?;
        }
        show::show(&view.chosen(answer), view, (ask.output, ask.limit), out)?;
        out.flush()?;
        if !ask.watch {
            return Ok(());
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// What is asked, what of the answer is shown, and how.
struct View {
    kind: Kind,
    table: tables::Of,
    /// Which failures are shown.
    chooses: fn(&Failure) -> bool,
    evidence: bool,
}

impl View {
    fn chosen(&self, mut answer: Answer) -> Answer {
        if let Answer::Failing(failing) = &mut answer {
            failing.failures.retain(self.chooses);
        }
        answer
    }
}

fn cause(failure: &Failure) -> CauseKind {
    failure
        .cause
        .as_ref()
        .map_or(CauseKind::CauseUnknown, Cause::kind)
}

fn is_denied(failure: &Failure) -> bool {
    matches!(
        cause(failure),
        CauseKind::DeniedByRule | CauseKind::DeniedByDefault
    )
}

fn is_of_tcp(failure: &Failure) -> bool {
    let is_tcp = failure.edge.as_ref().is_some_and(|edge| edge.protocol == 6);
    is_tcp && !is_denied(failure) && cause(failure) != CauseKind::Dropped
}

fn parts(args: QuestionArgs) -> (AskArgs, View) {
    let view = |kind, table| View {
        kind,
        table,
        chooses: |_| true,
        evidence: false,
    };
    let failing = |chooses, evidence| View {
        chooses,
        evidence,
        ..view(Kind::Failing, tables::Of::Failures)
    };
    match args {
        QuestionArgs::Map(ask) => (ask, view(Kind::Map, tables::Of::Map)),
        QuestionArgs::Failing(args) => (args.ask, failing(|_| true, args.evidence)),
        QuestionArgs::Denied(args) => (args.ask, failing(is_denied, args.evidence)),
        QuestionArgs::Tcp(args) if args.failing => (args.ask, failing(is_of_tcp, false)),
        QuestionArgs::Tcp(args) if args.unanswered => {
            let chooses = |of: &Failure| cause(of) == CauseKind::Unanswered;
            (args.ask, failing(chooses, false))
        }
        QuestionArgs::Tcp(args) => (args.ask, view(Kind::Map, tables::Of::Tcp)),
        QuestionArgs::Exposed(ask) => (ask, view(Kind::Exposed, tables::Of::Exposures)),
        QuestionArgs::Latency(args) => {
            let mut ask = args.ask;
            ask.from = args.client.or(ask.from);
            ask.to = args.asked.or(ask.to);
            (ask, view(Kind::Map, tables::Of::Latency))
        }
        QuestionArgs::Worst(ask) => (ask, view(Kind::Map, tables::Of::Worst)),
    }
}

#[cfg(test)]
mod tests;
