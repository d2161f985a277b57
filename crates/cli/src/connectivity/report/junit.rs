//! Results in the XML that build servers read.

use std::fmt::Write as _;

use super::{Outcome, Tested};

/// The whole document.
pub(in crate::connectivity) fn junit(all: &[Tested]) -> String {
    let failed = all.iter().filter(|tested| tested.failed()).count();
    let skipped = all.iter().filter(|tested| tested.skipped()).count();
    let seconds: f64 = all.iter().map(|tested| tested.took.as_secs_f64()).sum();
    let counts = format!(
        "tests=\"{}\" failures=\"{failed}\" skipped=\"{skipped}\" time=\"{seconds:.3}\"",
        all.len()
    );
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n<testsuite name=\"connectivity test\" {counts}>\n"
    );
    for tested in all {
        let (name, namespace) = (escape(tested.name), escape(&tested.namespace));
        let seconds = tested.took.as_secs_f64();
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "<testcase classname=\"{namespace}\" name=\"{name}\" time=\"{seconds:.3}\""
        );
        let _ = match &tested.outcome {
            Outcome::Skipped(reason) => {
                writeln!(
                    text,
                    "><skipped message=\"{}\"/></testcase>",
                    escape(reason)
                )
            }
            _ if tested.failed() => {
                let complaints = tested.complaints();
                let first = complaints.first().map(String::as_str).unwrap_or_default();
                let all = escape(&complaints.join("\n"));
                writeln!(
                    text,
                    "><failure message=\"{}\">{all}</failure></testcase>",
                    escape(first)
                )
            }
            _ => writeln!(text, "/>"),
        };
    }
    text.push_str("</testsuite>\n</testsuites>\n");
    text
}

/// Text for XML 1.0: what it has no way to write becomes a question mark.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(character),
            '\u{fffe}' | '\u{ffff}' => escaped.push('?'),
            other if other.is_control() => escaped.push('?'),
            other => escaped.push(other),
        }
    }
    escaped
}
