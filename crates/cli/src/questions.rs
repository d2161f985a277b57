//! The questions that people ask of a network, one command each: who talks to whom, what fails and why, what is denied, what
//! is reached from outside, how long it takes, and what is said: requests, names, topics.

mod ask;
mod clusters;
mod diff;
mod picture;
mod said;
mod show;
mod tables;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use api::hubble::answers::{Cause, CauseKind, Edge, Failure, Question};
use clap::{Args, ValueEnum};
use hubble::edges::is_meant;
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
    /// Of which cluster: one whose relay is known to that of this cluster, or all [default: its own]
    #[arg(long, value_name = "NAME|all")]
    cluster: Option<String>,
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

/// Flags of `http`.
#[derive(Args, Debug)]
pub(crate) struct HttpArgs {
    /// Who was asked, as in --to
    #[arg(value_name = "SERVICE")]
    asked: Option<String>,
    /// Only requests that were not answered well, with the codes of their answers
    #[arg(long)]
    errors: bool,
    #[command(flatten)]
    ask: AskArgs,
}

/// Flags of `dns`.
#[derive(Args, Debug)]
pub(crate) struct DnsArgs {
    /// Only names like this one; `*` stands for any letters
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Only what fails
    #[arg(long)]
    failing: bool,
    #[command(flatten)]
    ask: AskArgs,
}

/// Flags of `kafka`.
#[derive(Args, Debug)]
pub(crate) struct KafkaArgs {
    /// A topic, in which `*` stands for any letters, or NAMESPACE/NAME of who produces, fetches or is asked
    #[arg(value_name = "TOPIC|WHO")]
    what: Option<String>,
    /// Only what fails
    #[arg(long)]
    failing: bool,
    #[command(flatten)]
    ask: AskArgs,
}

/// Flags of `resolved`.
#[derive(Args, Debug)]
pub(crate) struct ResolvedArgs {
    /// Names; `*` stands for any letters
    #[arg(value_name = "PATTERN")]
    pattern: String,
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
    /// `http`
    Http(HttpArgs),
    /// `dns`
    Dns(DnsArgs),
    /// `kafka`
    Kafka(KafkaArgs),
    /// `resolved`
    Resolved(ResolvedArgs),
}

/// Asks and shows; again and again with `--watch`.
pub(crate) fn run(args: QuestionArgs, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let (ask, view) = parts(args);
    if ask.explain {
        let question = view.question(&ask, &Zoned::now())?;
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
        let question = view.question(ask, &Zoned::now())?;
        let mut answer = view.chosen(server.ask(question, view.kind).await?);
        if ask.cluster.is_some() && ask.output != Format::Json {
            clusters::name(&mut answer);
        }
        if ask.watch && std::io::stdout().is_terminal() {
            write!(out, "\x1b[H\x1b[2J")?;
        }
        show::show(&answer, view, (ask.output, ask.limit), out)?;
        out.flush()?;
        if !ask.watch {
            return Ok(());
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// What a question asks for beside time and ends.
#[derive(Clone, Debug, Default)]
struct Narrow {
    pattern: String,
    failing: bool,
    resets: bool,
    /// Who has to be one of the ends.
    who: String,
}

/// What is asked, what of the answer is shown, and how.
struct View {
    kind: Kind,
    table: tables::Of,
    narrow: Narrow,
    /// Which failures are shown.
    chooses: fn(&Failure) -> bool,
    evidence: bool,
}

impl View {
    fn question(&self, ask: &AskArgs, now: &Zoned) -> anyhow::Result<Question> {
        let Narrow {
            pattern,
            failing,
            resets,
            ..
        } = self.narrow.clone();
        Ok(Question {
            pattern,
            failing,
            resets,
            ..ask::question(ask, self.kind, now)?
        })
    }

    fn chosen(&self, mut answer: Answer) -> Answer {
        match &mut answer {
            Answer::Failing(failing) => failing.failures.retain(self.chooses),
            Answer::Kafka(kafka) if !self.narrow.who.is_empty() => {
                let is_of = |edge: &Edge| {
                    let mut ends = [&edge.source, &edge.destination].into_iter();
                    let who = &self.narrow.who;
                    ends.any(|end| is_meant(end.as_ref(), who)) || edge.service == *who
                };
                kafka
                    .topics
                    .retain(|of| of.edge.as_ref().is_some_and(is_of));
            }
            _ => {}
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
    is_tcp && !is_denied(failure) && failure.layer == "L4"
}

fn view(kind: Kind, table: tables::Of) -> View {
    View {
        kind,
        table,
        narrow: Narrow::default(),
        chooses: |_| true,
        evidence: false,
    }
}

fn parts(args: QuestionArgs) -> (AskArgs, View) {
    let failing = |chooses, evidence| View {
        chooses,
        evidence,
        ..view(Kind::Failing, tables::Of::Failures)
    };
    match args {
        QuestionArgs::Map(ask) => (ask, view(Kind::Map, tables::Of::Map)),
        QuestionArgs::Failing(args) => (args.ask, failing(|_| true, args.evidence)),
        QuestionArgs::Denied(args) => (args.ask, failing(is_denied, args.evidence)),
        QuestionArgs::Tcp(args) if args.failing => {
            let mut view = failing(is_of_tcp, false);
            view.narrow.resets = true;
            (args.ask, view)
        }
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
        QuestionArgs::Http(args) => requests(args),
        QuestionArgs::Dns(args) => lookups(args),
        QuestionArgs::Kafka(args) => topics(args),
        QuestionArgs::Resolved(args) => {
            let mut view = view(Kind::Resolved, tables::Of::Resolutions);
            view.narrow.pattern = args.pattern;
            (args.ask, view)
        }
    }
}

fn requests(args: HttpArgs) -> (AskArgs, View) {
    let mut ask = args.ask;
    ask.to = args.asked.or(ask.to);
    let table = if args.errors {
        tables::Of::Errors
    } else {
        tables::Of::Requests
    };
    let mut view = view(Kind::Http, table);
    view.narrow.failing = args.errors;
    (ask, view)
}

fn lookups(args: DnsArgs) -> (AskArgs, View) {
    let mut view = view(Kind::Dns, tables::Of::Lookups);
    view.narrow.failing = args.failing;
    view.narrow.pattern = args.name.unwrap_or_default();
    (args.ask, view)
}

fn topics(args: KafkaArgs) -> (AskArgs, View) {
    let mut view = view(Kind::Kafka, tables::Of::Topics);
    view.narrow.failing = args.failing;
    let what = args.what.unwrap_or_default();
    // No topic has a slash in its name.
    if what.contains('/') {
        view.narrow.who = what;
    } else {
        view.narrow.pattern = what;
    }
    (args.ask, view)
}

#[cfg(test)]
mod tests;
