//! A map as a picture: text for Graphviz or Mermaid.

use std::collections::BTreeMap;
use std::io::Write;

use api::hubble::answers::MapAnswer;

use super::Format;
use super::tables::ends;
use hubble::rollup::{attempts, failed};

/// Draws a map, its busiest edges if there is a limit.
pub(super) fn draw(
    map: &MapAnswer,
    format: Format,
    limit: u32,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let most = if limit == 0 {
        usize::MAX
    } else {
        limit as usize
    };
    let mut names = BTreeMap::new();
    let mut lines = Vec::new();
    for row in map.edges.iter().take(most) {
        let [source, destination, _, port] = ends(row.edge.as_ref());
        let counters = row.counters.unwrap_or_default();
        let (failed, all) = (failed(&counters), attempts(&counters));
        let label = match failed {
            0 => port,
            failed => format!("{port}: {failed} of {all} fail"),
        };
        let [source, destination] = [source, destination].map(|name| {
            let next = names.len();
            *names.entry(name).or_insert(next)
        });
        lines.push((source, destination, label, failed > 0));
    }
    if format == Format::Dot {
        dot(&names, &lines, out)
    } else {
        mermaid(&names, &lines, out)
    }
}

type Line = (usize, usize, String, bool);

fn dot(names: &BTreeMap<String, usize>, lines: &[Line], out: &mut dyn Write) -> anyhow::Result<()> {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    writeln!(out, "digraph map {{\n  rankdir=LR\n  node [shape=box]")?;
    for (name, number) in names {
        writeln!(out, "  n{number} [label=\"{}\"]", quoted(name))?;
    }
    for (source, destination, label, fails) in lines {
        let colour = if *fails { ", color=red" } else { "" };
        let label = quoted(label);
        writeln!(
            out,
            "  n{source} -> n{destination} [label=\"{label}\"{colour}]"
        )?;
    }
    writeln!(out, "}}")?;
    Ok(())
}

fn mermaid(
    names: &BTreeMap<String, usize>,
    lines: &[Line],
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let quoted = |text: &str| text.replace('"', "#quot;");
    writeln!(out, "flowchart LR")?;
    for (name, number) in names {
        writeln!(out, "  n{number}[\"{}\"]", quoted(name))?;
    }
    for (source, destination, label, fails) in lines {
        let arrow = if *fails { "-.->" } else { "-->" };
        writeln!(
            out,
            "  n{source} {arrow}|\"{}\"| n{destination}",
            quoted(label)
        )?;
    }
    Ok(())
}
