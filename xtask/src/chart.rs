//! `./x chart`: the chart held to what it says of itself: its table of upstream's values, its schema, what it renders, what it
//! refuses, and the keys that its ConfigMap has. `--write` writes schema and golden files anew.
//!
//! `HELM` names another helm than that of `tools/`.

mod conflicts;
mod keys;
mod render;
mod schema;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::Verb;
use crate::place::Place;
use conflicts::CONFLICTS;
use render::Helm;
use table::{Row, State};

pub(crate) const VERB: Verb = Verb {
    name: "chart",
    about: "check the Helm chart: values, schema, golden files, refusals; --write writes them anew",
    run: |place, words| {
        let mode = match words {
            [] => Mode::Check,
            [word] if word == "--write" => Mode::Write,
            _ => bail!("usage: ./x chart [--write]"),
        };
        let chart = Chart::read(place)?;
        let helm = Helm::find(&chart.folder)?;
        let checks: &[(&str, Check)] = &[
            ("the schema is made of the table", schema_is_of_the_table),
            ("each value has a row, each row a value", values_have_rows),
            ("helm lint finds nothing", |_, helm, _| helm.lint()),
            ("what is rendered is as it was", renders_as_before),
            ("accepted values are accepted", accepts),
            ("what is not there is refused by name", refuses),
            ("a value of a wrong type is refused by name", refuses_types),
            ("an unknown value is refused by name", refuses_unknown),
            (
                "what does not go together is refused by name",
                refuses_conflicts,
            ),
            ("what is read at the start rolls out", rolls_out),
            ("each key is known to agent or operator", writes_known_keys),
            (
                "each key of the relay is known to it",
                writes_known_relay_keys,
            ),
            ("its version is the workspace's", has_our_version),
            ("definitions.txt names all definitions", names_definitions),
        ];
        let mut failed = 0;
        for (what, check) in checks {
            match check(&chart, &helm, mode) {
                Ok(()) => println!("ok      {what}"),
                Err(error) => {
                    failed += 1;
                    println!("FAILED  {what}: {error:#}");
                }
            }
        }
        println!("\n{} passed, {failed} failed", checks.len() - failed);
        if failed > 0 {
            bail!("the chart is not as it should be");
        }
        Ok(())
    },
};

type Check = fn(&Chart, &Helm, Mode) -> Result<()>;

/// Compare with the files, or write them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Check,
    Write,
}

/// The chart, and the clone that it lies in.
struct Chart {
    repo: PathBuf,
    folder: PathBuf,
    rows: Vec<Row>,
}

impl Chart {
    fn read(place: &Place) -> Result<Chart> {
        let folder = place.repo.join("deploy/chart");
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).with_context(|| path.display().to_string())
        };
        let rows = table::parse(&read("values-upstream.tsv")?, &read("absent.tsv")?)?;
        Ok(Chart {
            repo: place.repo.clone(),
            folder,
            rows,
        })
    }

    fn of(&self, state: State) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.state == state)
    }
}

fn compare(path: &Path, text: &str, mode: Mode) -> Result<()> {
    if mode == Mode::Write {
        return fs::write(path, text).with_context(|| path.display().to_string());
    }
    let there = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut lines = there.lines().zip(text.lines()).enumerate();
    match lines.find(|(_, (old, new))| old != new) {
        Some((number, (old, new))) => bail!(
            "{}:{}: there is\n  {old}\nand it would be\n  {new}\n('./x chart --write' writes it)",
            path.display(),
            number + 1
        ),
        None if there == text => Ok(()),
        None => bail!("{} has another length", path.display()),
    }
}

fn schema_is_of_the_table(chart: &Chart, _: &Helm, mode: Mode) -> Result<()> {
    let schema = schema::of(&chart.rows);
    let path = chart.folder.join("values.schema.json");
    compare(&path, &format!("{schema:#}\n"), mode)
}

fn values_have_rows(chart: &Chart, helm: &Helm, _: Mode) -> Result<()> {
    let values = helm.values()?;
    let rows: BTreeSet<&str> = chart
        .of(State::Works)
        .map(|row| row.name.as_str())
        .collect();
    let mut names = BTreeSet::new();
    table::leaves(&values, "", &rows, &mut names);
    let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let without: Vec<_> = names.difference(&rows).collect();
    let missing: Vec<_> = rows.difference(&names).collect();
    if without.is_empty() && missing.is_empty() {
        return Ok(());
    }
    bail!("values without a row: {without:?}; rows that work without a value: {missing:?}")
}

/// Values files beside this one, and what becomes of them.
const GOLDEN: &[&str] = &[
    "default",
    "etcd",
    "flows",
    "native",
    "plain",
    "preflight",
    "relay",
    "small",
];

fn renders_as_before(chart: &Chart, helm: &Helm, mode: Mode) -> Result<()> {
    let folder = chart.repo.join("xtask/src/chart/golden");
    for name in GOLDEN {
        let values = folder.join(format!("{name}.values.yaml"));
        let text = helm.template(&["--values", &values.display().to_string()])?;
        let golden = folder.join(format!("{name}.golden.yaml"));
        compare(&golden, &render::without_secrets(&text), mode)?;
    }
    // Who may do what is read by people who read nothing else.
    let only = ["agent", "operator"].map(|part| format!("templates/{part}/rbac.yaml"));
    let words: Vec<&str> = only.iter().flat_map(|of| ["--show-only", of]).collect();
    let text = helm.template(&words)?;
    compare(&folder.join("rbac.golden.yaml"), &text, mode)
}

fn accepts(chart: &Chart, helm: &Helm, _: Mode) -> Result<()> {
    let most = chart.of(State::Default).map(|row| row.accepts.len()).max();
    for at in 0..most.unwrap_or(0) {
        let mut values = Value::Null;
        for row in chart.of(State::Default) {
            let accepted = row.accepts.get(at).or(row.accepts.first());
            table::set(
                &mut values,
                &row.name,
                accepted.cloned().unwrap_or_default(),
            );
        }
        helm.template_with(&values)?;
    }
    Ok(())
}

fn refuses(chart: &Chart, helm: &Helm, _: Mode) -> Result<()> {
    let mut values = Value::Null;
    let refused = |row: &&Row| row.state != State::Works;
    for row in chart.rows.iter().filter(refused) {
        table::set(&mut values, &row.name, "of another kind".into());
    }
    let said = helm.refusal_of(&values)?;
    let silent: Vec<&str> = chart
        .rows
        .iter()
        .filter(refused)
        .filter(|row| !said.contains(&format!("  {}: ", row.name)))
        .map(|row| row.name.as_str())
        .collect();
    if silent.is_empty() {
        return Ok(());
    }
    bail!("not refused: {silent:?} in\n{said}")
}

fn refuses_types(chart: &Chart, helm: &Helm, _: Mode) -> Result<()> {
    let mut values = Value::Null;
    let wrong = serde_json::json!({ "of": ["another", "kind"] });
    let typed = |row: &&Row| row.types.iter().all(|of| of != "object");
    for row in chart.of(State::Works).filter(typed) {
        table::set(&mut values, &row.name, wrong.clone());
    }
    let said = helm.refusal_of(&values)?;
    let silent: Vec<&str> = chart
        .of(State::Works)
        .filter(typed)
        .filter(|row| {
            let (slashes, dots) = (row.name.replace('.', "/"), &row.name);
            !said.contains(&format!("/{slashes}'")) && !said.contains(&format!("{dots}: "))
        })
        .map(|row| row.name.as_str())
        .collect();
    if silent.is_empty() {
        return Ok(());
    }
    bail!("not refused: {silent:?} in\n{said}")
}

fn refuses_unknown(_: &Chart, helm: &Helm, _: Mode) -> Result<()> {
    for name in ["hubbel.enabled", "operator.replica", "ipam.operator.pools"] {
        let mut values = Value::Null;
        table::set(&mut values, name, true.into());
        let said = helm.refusal_of(&values)?;
        let is_named = name
            .split('.')
            .any(|word| said.contains(&["'", word, "'"].concat()));
        if !is_named || !said.contains("dditional propert") {
            bail!("{name}: {said}");
        }
    }
    Ok(())
}

fn refuses_conflicts(_: &Chart, helm: &Helm, _: Mode) -> Result<()> {
    for (named, together) in CONFLICTS {
        let mut values = Value::Null;
        for (name, json) in *together {
            table::set(&mut values, name, serde_json::from_str(json)?);
        }
        let said = helm.refusal_of(&values)?;
        if !said.contains(&format!("{named}: ")) {
            bail!("{named}: {said}");
        }
    }
    Ok(())
}

/// The checksums on the pods of agents and operators are others when what these read at their start is, and only then.
fn rolls_out(_: &Chart, helm: &Helm, _: Mode) -> Result<()> {
    let sums = |more: &[(&str, Value)]| -> Result<Vec<String>> {
        let mut values = serde_json::json!({
            "rollOutCiliumPods": true, "operator": { "rollOutPods": true },
            "identityAllocationMode": "kvstore",
            "etcd": { "enabled": true, "ssl": true, "endpoints": ["https://one:2379"] },
        });
        for (name, value) in more {
            table::set(&mut values, name, value.clone());
        }
        let text = helm.template_with(&values)?;
        let sums = text
            .lines()
            .filter(|line| line.contains("cilium.io/cilium-configmap-checksum: "));
        Ok(sums.map(str::to_owned).collect())
    };
    let before = sums(&[])?;
    if before.len() != 2 {
        bail!("there are {} checksums", before.len());
    }
    for (name, value) in [
        ("etcd.endpoints", serde_json::json!(["https://two:2379"])),
        (
            "extraConfig",
            serde_json::json!({ "crd-wait-timeout": "1m" }),
        ),
        ("debug.enabled", true.into()),
    ] {
        let after = sums(&[(name, value)])?;
        if after.iter().any(|sum| before.contains(sum)) {
            bail!("{name}: {after:?} is as before");
        }
    }
    if sums(&[("podLabels", serde_json::json!({ "team": "net" }))])? != before {
        bail!("podLabels: the checksums are others");
    }
    Ok(())
}

fn writes_known_relay_keys(chart: &Chart, helm: &Helm, _: Mode) -> Result<()> {
    let source = chart.repo.join("crates/hubble/src/relay/config.rs");
    let known = keys::named_in(&fs::read_to_string(source)?);
    for name in ["plain", "relay"] {
        let values = chart
            .repo
            .join(format!("xtask/src/chart/golden/{name}.values.yaml"));
        let values = values.display().to_string();
        let only = [
            "--show-only",
            "templates/relay/config.yaml",
            "--values",
            &values,
        ];
        let written = keys::written_in_file(&helm.template(&only)?);
        let unknown: Vec<_> = written.difference(&known).collect();
        if written.len() < 5 || !unknown.is_empty() {
            bail!("{name}: of {written:?} the relay does not know {unknown:?}");
        }
    }
    Ok(())
}

/// Keys that init steps of upstream's chart read from the ConfigMap themselves.
const OF_STEPS: &[&str] = &["clean-cilium-bpf-state", "clean-cilium-state"];

fn writes_known_keys(chart: &Chart, helm: &Helm, _: Mode) -> Result<()> {
    let mut known: BTreeSet<String> = OF_STEPS.iter().map(|key| (*key).to_owned()).collect();
    for part in ["agent", "operator"] {
        let path = chart.repo.join(format!("crates/{part}/src/config/keys.rs"));
        if let Ok(text) = fs::read_to_string(&path) {
            known.extend(keys::named_in(&text));
        }
    }
    // A pre-flight check has no settings of its own.
    for name in GOLDEN.iter().filter(|name| **name != "preflight") {
        let values = chart
            .repo
            .join(format!("xtask/src/chart/golden/{name}.values.yaml"));
        let values = values.display().to_string();
        let only = [
            "--show-only",
            "templates/configmap.yaml",
            "--values",
            &values,
        ];
        let written = keys::written_in(&helm.template(&only)?);
        let unknown: Vec<_> = written.difference(&known).collect();
        if written.len() < 20 || !unknown.is_empty() {
            bail!("{name}: of {} keys nobody knows {unknown:?}", written.len());
        }
    }
    Ok(())
}

fn has_our_version(chart: &Chart, _: &Helm, _: Mode) -> Result<()> {
    let version = crate::ship::version(&chart.repo)?;
    let text = fs::read_to_string(chart.folder.join("Chart.yaml"))?;
    for key in ["version", "appVersion"] {
        let line = format!("{key}: {version}");
        if !text.lines().any(|there| there == line) {
            bail!("Chart.yaml has no line '{line}'");
        }
    }
    Ok(())
}

fn names_definitions(chart: &Chart, _: &Helm, mode: Mode) -> Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(chart.repo.join("deploy/crds"))? {
        let text = fs::read_to_string(entry?.path())?;
        let name = text.lines().find_map(|line| line.strip_prefix("  name: "));
        names.push(name.context("a definition without a name")?.to_owned() + "\n");
    }
    names.sort();
    compare(&chart.folder.join("definitions.txt"), &names.concat(), mode)
}
