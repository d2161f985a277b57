use clap::Parser;

use super::*;

#[derive(Parser)]
struct Parsed {
    #[command(flatten)]
    args: InstallArgs,
}

fn words_of(how: How, flags: &[&str]) -> Vec<String> {
    let all = ["install"].into_iter().chain(flags.iter().copied());
    let args = Parsed::parse_from(all).args;
    let words = words(&args, how, Path::new("CHART"));
    words
        .into_iter()
        .map(|word| word.into_string().unwrap())
        .collect()
}

#[test]
fn helm_is_told_the_values_in_their_order() {
    let flags = [
        "--set",
        "a=1",
        "--helm-set",
        "b=2",
        "-f",
        "x.yaml",
        "--set-string",
        "c=3",
    ];
    assert_eq!(
        words_of(How::Install, &flags),
        [
            "install",
            "cilium",
            "CHART",
            "--values",
            "x.yaml",
            "--set",
            "a=1",
            "--set",
            "b=2",
            "--set-string",
            "c=3"
        ]
    );
}

#[test]
fn an_upgrade_keeps_what_was_set() {
    let words = words_of(How::Upgrade, &["--helm-release-name", "axoneme"]);
    assert_eq!(
        words,
        ["upgrade", "axoneme", "CHART", "--reset-then-reuse-values"]
    );
}

#[test]
fn a_dry_run_asks_no_cluster() {
    assert_eq!(
        words_of(How::Upgrade, &["--dry-run"]),
        ["template", "cilium", "CHART"]
    );
    let words = words_of(How::Install, &["--dry-run-helm-values"]);
    assert_eq!(words[3..], ["--dry-run=client", "--output", "json"]);
}

#[test]
fn the_chart_in_the_program_is_the_one_of_the_project() {
    let folder = Path::new("../../deploy/chart");
    assert_eq!(folder.is_dir(), !CHART.is_empty());
    for (name, content) in CHART {
        assert_eq!(
            std::fs::read(folder.join(name)).unwrap(),
            *content,
            "{name}"
        );
    }
}
