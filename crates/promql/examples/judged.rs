//! Prints the series (`judged series`) or the questions (`judged questions`) of `tests/golden.rs`, one JSON object a line, for a
//! real Prometheus to answer.

#[path = "../tests/golden/data.rs"]
mod data;

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    if std::env::args()
        .nth(1)
        .is_some_and(|which| which == "series")
    {
        for found in data::series() {
            let labels: serde_json::Map<_, _> = found
                .labels
                .iter()
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect();
            // A mark of the end is a value, which JSON would lose.
            let samples = found
                .samples
                .iter()
                .map(|sample| (sample.time, format!("{:016x}", sample.value.to_bits())));
            let samples: Vec<_> = samples.collect();
            writeln!(
                out,
                "{}",
                serde_json::json!({ "labels": labels, "samples": samples })
            )?;
        }
        return Ok(());
    }
    for asked in data::questions() {
        writeln!(
            out,
            "{}",
            serde_json::json!({ "query": asked.query, "start": asked.start, "end": asked.end, "step": asked.step })
        )?;
    }
    Ok(())
}
