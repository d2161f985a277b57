//! `policy`: the rules in force, their selectors, and why two identities may talk or may not.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use local_api::policy::{Policy, SelectorIdentityMapping};

use super::absent;
use super::context::{Context, Outcome};
use crate::output::{Format, OutputArgs, Table};
use crate::why;

#[derive(clap::Subcommand, Debug)]
pub(super) enum PolicyCommand {
    /// The rules, and the revision
    Get {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Selectors of peers and the identities that they select
    Selectors {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Selectors of the endpoints that policies are about, and the identities that they select
    SubjectSelectors {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Which rule decides between two, and what would turn it around
    Explain {
        /// Number of an identity, pod as NAMESPACE/NAME, or address
        from: String,
        /// The same, the one that is called
        to: String,
        /// PORT or PORT/PROTOCOL
        #[arg(default_value = "0")]
        port: why::Port,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Wait until a revision is in force
    Wait {
        /// The revision
        revision: i64,
        /// How many seconds to wait
        #[arg(long, default_value_t = 360)]
        max_wait_time: u64,
        /// Seconds between two looks
        #[arg(long, default_value_t = 1)]
        sleep_time: u64,
    },
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

const PATH: &str = "/v1/policy";

pub(super) fn run(context: &mut Context<'_>, command: &PolicyCommand) -> anyhow::Result<Outcome> {
    match command {
        PolicyCommand::Get { output } => {
            let answer = context.get::<Policy>(PATH)?;
            if !context.formatted(output.output.as_ref(), &answer.raw)? {
                writeln!(
                    context.out,
                    "{}\nRevision: {}",
                    answer.typed.policy, answer.typed.revision
                )?;
            }
            Ok(Outcome::Good)
        }
        PolicyCommand::Selectors { output } => list(context, "/v1/policy/selectors", output),
        PolicyCommand::SubjectSelectors { output } => {
            list(context, "/v1/policy/subject-selectors", output)
        }
        PolicyCommand::Explain {
            from,
            to,
            port,
            output,
        } => explain(context, (from, to), *port, output.output.as_ref()),
        PolicyCommand::Wait {
            revision,
            max_wait_time,
            sleep_time,
        } => wait(
            context,
            *revision,
            Duration::from_secs(*max_wait_time),
            Duration::from_secs(*sleep_time),
        ),
        PolicyCommand::Other(words) => Err(absent::refuse("policy", words)),
    }
}

fn list(context: &mut Context<'_>, path: &str, output: &OutputArgs) -> anyhow::Result<Outcome> {
    let answer = context.get::<Vec<SelectorIdentityMapping>>(path)?;
    context.table(output.output.as_ref(), &answer.raw, || {
        selectors(&answer.typed)
    })
}

fn selectors(all: &[SelectorIdentityMapping]) -> Table {
    let mut table = Table::new(&["SELECTOR", "LABELS", "USERS", "IDENTITIES"]);
    for of in all {
        let labels: Vec<String> = of
            .labels
            .iter()
            .map(|label| format!("{}:{}={}", label.source, label.key, label.value))
            .collect();
        let numbers: Vec<String> = of.identities.iter().map(ToString::to_string).collect();
        // The agent does not count users where there is nothing to count.
        let users = if of.users == 0 {
            "-".to_owned()
        } else {
            of.users.to_string()
        };
        table.tall_row(
            vec![of.selector.clone(), labels.join(","), users, String::new()],
            3,
            &numbers,
        );
    }
    table
}

fn explain(
    context: &mut Context<'_>,
    (from, to): (&str, &str),
    port: why::Port,
    format: Option<&Format>,
) -> anyhow::Result<Outcome> {
    let facts = why::Facts::read(&context.client)?;
    let (from, to) = (facts.identity(from)?, facts.identity(to)?);
    let proof = why::explain(&context.client, from, to, port)?;
    if !context.formatted(format, &proof.raw)? {
        writeln!(
            context.out,
            "identity {from} to identity {to}, {port}: {}\n{}",
            proof.typed.word(),
            proof.typed.text
        )?;
    }
    Ok(Outcome::Good)
}

fn wait(
    context: &mut Context<'_>,
    wanted: i64,
    limit: Duration,
    pause: Duration,
) -> anyhow::Result<Outcome> {
    let start = Instant::now();
    loop {
        let revision = context.get::<Policy>(PATH)?.typed.revision;
        if revision >= wanted {
            writeln!(context.out, "Revision: {revision}")?;
            return Ok(Outcome::Good);
        }
        anyhow::ensure!(
            start.elapsed() < limit,
            "revision {wanted} is not in force after {} s, {revision} is",
            limit.as_secs()
        );
        std::thread::sleep(pause);
    }
}
