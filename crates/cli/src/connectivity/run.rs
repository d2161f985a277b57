//! One test after the other in a lab: policies, attempts, flows, and the result.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::{StreamExt, stream};
use store::Exec;

use super::action::Action;
use super::catalog::{Case, Kind};
use super::filter::Filter;
use super::flows::{self, Seen, Tried};
use super::lab::Lab;
use super::looks::{self, Baseline};
use super::report::{Failure, Outcome, Tested};
use super::verdict::{self, Expect, Got, PORTS};
use super::{Validation, force};

/// Attempts at once: most of their time they wait for silence.
const AT_ONCE: usize = 24;
/// The API server may be slow, the command is not.
const LIMIT: Duration = Duration::from_mins(1);

/// Source ports of attempts, in turn. Below them are those that a kernel gives by itself only rarely.
static NEXT_PORT: AtomicU16 = AtomicU16::new(FIRST_PORT);
const FIRST_PORT: u16 = 10_000;
const LAST_PORT: u16 = 29_000;

/// What holds for all tests of a run.
pub(super) struct Run<'a> {
    pub(super) filter: &'a Filter,
    pub(super) validation: Validation,
    /// Of the test of this name the first expectation is turned around, so that it must fail.
    pub(super) inverted: Option<&'a str>,
    pub(super) baseline: &'a Baseline,
    /// Every attempt is told, on standard error.
    pub(super) verbose: bool,
}

/// An attempt that was made.
struct Attempt {
    action: Action,
    expect: Expect,
    got: Got,
    source_port: u16,
}

impl Run<'_> {
    /// Runs a test. What keeps it from being run is a failure of it, and no other test suffers.
    pub(super) async fn case(&self, lab: &Lab, case: &Case) -> Tested {
        let began = Instant::now();
        let outcome = match case.lacks(lab) {
            Some(reason) => Outcome::Skipped(reason.to_owned()),
            None => match self.outcome(lab, case).await {
                Ok(outcome) => outcome,
                Err(error) => Outcome::Broken(format!("{error:#}")),
            },
        };
        Tested {
            name: case.name,
            namespace: lab.namespace.clone(),
            took: began.elapsed(),
            outcome,
        }
    }

    async fn outcome(&self, lab: &Lab, case: &Case) -> anyhow::Result<Outcome> {
        let (policies, scenarios, expect) = match case.kind {
            Kind::Attempts {
                policies,
                scenarios,
                expect,
            } => (policies, scenarios, expect),
            Kind::Look(check) => return looks::look(lab, check, self.baseline).await,
        };
        let wanted = scenarios
            .iter()
            .filter(|of| self.filter.takes(case.name, of.name()));
        let actions: Vec<Action> = wanted.flat_map(|of| of.actions(lab)).collect();
        if actions.is_empty() {
            return Ok(Outcome::Skipped(
                "there is nobody to try it with".to_owned(),
            ));
        }
        let gone = force::remove_all(lab)
            .await
            .context("cannot remove policies")?;
        let made = force::create(lab, &policies(lab))
            .await
            .context("cannot create policies")?;
        force::wait(lab, &made, &gone).await?;
        let began = Instant::now();
        let mut expected: Vec<(Action, Expect)> = actions
            .into_iter()
            .map(|action| {
                let expect = expect(&action);
                (action, expect)
            })
            .collect();
        if let Some((_, first)) = expected
            .first_mut()
            .filter(|_| self.inverted == Some(case.name))
        {
            *first = first.inverted();
        }
        let attempts = attempts(lab, expected).await?;
        for attempt in attempts.iter().filter(|_| self.verbose) {
            let Attempt {
                action,
                expect,
                got,
                ..
            } = attempt;
            writeln!(
                io::stderr(),
                "{}: {}: expected {expect}, got {got}",
                case.name,
                action.name()
            )?;
        }
        Ok(self.judge(lab, &attempts, began).await)
    }

    async fn judge(&self, lab: &Lab, attempts: &[Attempt], began: Instant) -> Outcome {
        let seen = if self.validation == Validation::Disabled {
            vec![Seen::default(); attempts.len()]
        } else {
            let tried: Vec<Tried<'_>> = attempts.iter().map(Attempt::tried).collect();
            flows::look(lab, &tried, began).await
        };
        let mut failures = Vec::new();
        let mut warnings = Vec::new();
        for (attempt, seen) in attempts.iter().zip(seen) {
            let right = verdict::agrees(attempt.expect, &attempt.got);
            let fault = seen.fault.is_some();
            if right && !fault {
                continue;
            }
            let failure = attempt.failure(seen);
            if right && self.validation == Validation::Warning {
                warnings.push(failure);
            } else {
                failures.push(failure);
            }
        }
        Outcome::Attempted {
            attempts: attempts.len(),
            failures,
            warnings,
        }
    }
}

impl Attempt {
    fn tried(&self) -> Tried<'_> {
        Tried {
            action: &self.action,
            expect: self.expect,
            source_port: self.source_port,
        }
    }

    fn failure(&self, seen: Seen) -> Failure {
        let pod = &self.action.source.pod;
        let addresses: Vec<String> = pod.addresses.iter().map(ToString::to_string).collect();
        Failure {
            name: self.action.name(),
            source: format!(
                "{} on {} ({})",
                pod.full_name(),
                pod.node,
                addresses.join(", ")
            ),
            destination: format!("{}, port {}", self.action.host, self.action.port),
            expected: self.expect.to_string(),
            got: self.got.to_string(),
            flows: seen.lines,
            fault: seen.fault,
        }
    }
}

/// Makes attempts, several at once, in the order that they were given in.
async fn attempts(lab: &Lab, expected: Vec<(Action, Expect)>) -> anyhow::Result<Vec<Attempt>> {
    let acts = expected
        .into_iter()
        .map(|(action, expect)| attempt(lab, action, expect));
    let acts: Vec<_> = acts.collect();
    let done: Vec<_> = stream::iter(acts).buffered(AT_ONCE).collect().await;
    done.into_iter().collect()
}

async fn attempt(lab: &Lab, action: Action, expect: Expect) -> anyhow::Result<Attempt> {
    let source_port = next_port();
    let exec = Exec {
        namespace: lab.namespace.clone(),
        pod: action.source.pod.name.clone(),
        container: "main".to_owned(),
        command: verdict::command(&action, expect, source_port),
        limit: LIMIT,
        most: 64 << 10,
    };
    let done = lab.cluster.client.exec(&exec).await;
    let done = done.with_context(|| format!("{} cannot be tried", action.name()))?;
    let said = String::from_utf8_lossy(&done.stderr);
    Ok(Attempt {
        got: verdict::outcome(action.probe, done.code, &said),
        action,
        expect,
        source_port,
    })
}

fn next_port() -> u16 {
    let next = |port: u16| {
        Some(if port >= LAST_PORT {
            FIRST_PORT
        } else {
            port + PORTS
        })
    };
    NEXT_PORT
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
        .unwrap_or(FIRST_PORT)
}
