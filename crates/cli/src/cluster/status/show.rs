//! The report on a terminal: the verdict first, then workloads, agents and pods, and last what is wrong.

use std::io::{self, Write};

use super::judge::{AgentReport, PartReport, Problem, Report};
use crate::output::{Paint, Table, visible};

/// Pods without an agent that are named unless all are asked for.
const NAMED: usize = 5;

/// Writes the report.
pub(super) fn write(
    report: &Report,
    paint: Paint,
    verbose: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "{}\n", verdict(report, paint))?;
    parts(report).write(out)?;
    let agents: Vec<&AgentReport> = report
        .agents
        .iter()
        .filter(|of| verbose || of.state != "Ok" || of.restarts > 0)
        .collect();
    if !agents.is_empty() {
        writeln!(out)?;
        agent_table(&agents).write(out)?;
    }
    writeln!(
        out,
        "\nPods in this network: {} of {}",
        report.pods.managed, report.pods.pods
    )?;
    let shown = if verbose { usize::MAX } else { NAMED };
    for pod in report.pods.unmanaged.iter().take(shown) {
        writeln!(out, "  not: {}", visible(pod))?;
    }
    if report.pods.unmanaged.len() > shown {
        let more = report.pods.unmanaged.len() - shown;
        writeln!(out, "  and {more} more; --verbose names all")?;
    }
    problems("Errors", &report.errors, |text| paint.bad(text), out)?;
    problems("Warnings", &report.warnings, |text| paint.warn(text), out)
}

fn verdict(report: &Report, paint: Paint) -> String {
    let count = |number: usize, word: &str| match number {
        0 => None,
        1 => Some(format!("1 {word}")),
        number => Some(format!("{number} {word}s")),
    };
    let errors = count(report.errors.len(), "error");
    let warnings = count(report.warnings.len(), "warning");
    let all: Vec<String> = errors.iter().chain(&warnings).cloned().collect();
    let text = format!("Axoneme: {}", all.join(", "));
    match (errors, warnings) {
        (None, None) => paint.good("Axoneme: all is well"),
        (None, Some(_)) => paint.warn(&text),
        (Some(_), _) => paint.bad(&text),
    }
}

fn parts(report: &Report) -> Table {
    let mut table = Table::new(&["PART", "WORKLOAD", "READY", "IMAGE"]);
    for part in &report.parts {
        let workload = format!("{} {}", part.kind, part.name);
        if part.installed {
            let ready = format!("{} of {}", part.ready, part.desired);
            table.row([part.role.to_owned(), workload, ready, images(part)]);
        } else {
            table.row([part.role, workload.as_str(), "not installed"]);
        }
    }
    table
}

fn images(part: &PartReport) -> String {
    let several = part.images.len() > 1;
    let all = part.images.iter().map(|(image, pods)| {
        if several {
            format!("{image} ({pods})")
        } else {
            image.clone()
        }
    });
    visible(&all.collect::<Vec<_>>().join(", ")).into_owned()
}

fn agent_table(agents: &[&AgentReport]) -> Table {
    let mut table = Table::new(&[
        "NODE",
        "AGENT",
        "STATE",
        "ADDRESSES",
        "CONTROLLERS",
        "RESTARTS",
    ]);
    for agent in agents {
        let controllers = match agent.failing {
            0 => format!("{} well", agent.controllers),
            failing => format!("{failing} of {} fail", agent.controllers),
        };
        table.row([
            visible(&agent.node).into_owned(),
            visible(&agent.pod).into_owned(),
            visible(&agent.state).into_owned(),
            visible(&agent.ipam).into_owned(),
            controllers,
            agent.restarts.to_string(),
        ]);
    }
    table
}

fn problems(
    title: &str,
    all: &[Problem],
    paint: impl Fn(&str) -> String,
    out: &mut dyn Write,
) -> io::Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", paint(title))?;
    for problem in all {
        writeln!(out, "  {}", visible(&problem.to_string()))?;
    }
    Ok(())
}
