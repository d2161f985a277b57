use std::fs;

use clap::Parser;

use super::{request::Span, *};

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    args: ObserveArgs,
}

fn parse(line: &str) -> FlowArgs {
    let words = std::iter::once("observe").chain(line.split_whitespace());
    Program::try_parse_from(words)
        .unwrap_or_else(|error| panic!("{error}"))
        .args
        .flows
}

fn span(line: &str) -> Result<Span, String> {
    parse(line)
        .selectors
        .selection(&Zoned::now())
        .map_err(|error| format!("{error:#}"))
}

#[test]
fn the_number_asked_for_depends_on_the_other_flags() {
    let number = |line: &str| span(line).unwrap().number;
    assert_eq!(number(""), 20);
    assert_eq!(number("--all"), u64::MAX);
    assert_eq!(number("-f"), 0);
    assert_eq!(number("--since 5m"), 0);
    assert_eq!(number("--last 3 -f"), 3);
    assert_eq!(number("--since 5m --last 7"), 7);
    let first = span("--first 3").unwrap();
    assert_eq!((first.number, first.first, first.follow), (3, true, false));
    for line in [
        "--first 1 --last 2",
        "--all --last 2",
        "--all --first 2",
        "--first 2 -f",
    ] {
        assert!(
            span(line).unwrap_err().contains("cannot set both"),
            "{line}"
        );
    }
    assert!(span("--since soon").unwrap_err().contains("--since"));
}

#[test]
fn the_mask_is_what_the_form_shows() {
    assert_eq!(parse("").mask(), SHOWN_FIELDS);
    assert_eq!(parse("-o json").mask(), [""; 0]);
    assert_eq!(parse("--use-default-field-masks=false").mask(), [""; 0]);
    assert_eq!(
        parse("-o json --field-mask time,uuid").mask(),
        ["time", "uuid"]
    );
    assert_eq!(parse("--print-policy-names").mask().len(), 31);
    // The server refuses paths that are no fields.
    for line in ["", "--print-policy-names"] {
        ::hubble::mask::Mask::new(&parse(line).mask()).unwrap();
    }
}

#[test]
fn raw_filters_come_after_those_of_flags_and_are_printed_as_they_are_read() {
    let args = parse(
        r#"--to-port 80 --allowlist {"source_pod":["a/b"]}{"sourcePod":["c/d"]} --denylist {"verdict":["DROPPED"]}"#,
    );
    let (allow, deny) = args.lists().unwrap();
    assert_eq!(
        raw_filters(&allow, &deny).unwrap(),
        "allowlist:\n    - '{\"destination_port\":[\"80\"]}'\n    - '{\"source_pod\":[\"a/b\"]}'\n    \
         - '{\"source_pod\":[\"c/d\"]}'\ndenylist:\n    - '{\"verdict\":[\"DROPPED\"]}'\n"
    );
    assert_eq!(raw_filters(&[], &[]).unwrap(), "{}\n");
    let error = parse(r#"--denylist {"nope":[]}"#).lists().unwrap_err();
    assert!(format!("{error:#}").contains("--denylist"), "{error:#}");
}

async fn observe(line: &str) -> Result<String, String> {
    let mut out = Vec::new();
    let words = std::iter::once("observe").chain(line.split_whitespace());
    let args = Program::try_parse_from(words)
        .unwrap_or_else(|error| panic!("{error}"))
        .args;
    run(args, &Settings::default(), false, &mut out)
        .await
        .map_err(|error| format!("{error:#}"))?;
    Ok(String::from_utf8(out).unwrap())
}

#[tokio::test]
async fn a_file_is_filtered_like_a_server() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("flows.json");
    let line = |n: u32| {
        let verdict = if n.is_multiple_of(2) {
            "FORWARDED"
        } else {
            "DROPPED"
        };
        format!(
            "{{\"flow\":{{\"time\":\"2026-11-24T10:00:{n:02}Z\",\"verdict\":\"{verdict}\",\"uuid\":\"{n}\"}}}}\n"
        )
    };
    let lines: String = (0..30).map(line).collect();
    fs::write(
        &path,
        lines + "\n{\"uuid\":\"bare\",\"verdict\":\"FORWARDED\"}\n",
    )
    .unwrap();
    let uuids = async |flags: &str| -> Vec<String> {
        let line = format!("-o json --input-file {} {flags}", path.display());
        let text = observe(&line).await.unwrap();
        let uuid = |line: &str| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            value["flow"]["uuid"].as_str().unwrap().to_owned()
        };
        text.lines().map(uuid).collect()
    };
    assert_eq!(uuids("").await.len(), 20);
    assert_eq!(uuids("--all").await.len(), 31);
    assert_eq!(uuids("--last 2").await, ["29", "bare"]);
    assert_eq!(uuids("--first 2 --verdict DROPPED").await, ["1", "3"]);
    assert_eq!(
        uuids("--last 2 --not --verdict DROPPED").await,
        ["28", "bare"]
    );
    let range = "--since 2026-11-24T10:00:05Z --until 2026-11-24T10:00:06Z";
    assert_eq!(uuids(range).await, ["5", "6"]);
    let follow = observe(&format!("-f --input-file {}", path.display()))
        .await
        .unwrap_err();
    assert!(follow.contains("followed"), "{follow}");
    fs::write(&path, "{}\nnot json\n").unwrap();
    let broken = observe(&format!("--input-file {}", path.display()))
        .await
        .unwrap_err();
    assert!(broken.contains("line 2"), "{broken}");
}
