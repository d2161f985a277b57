//! All targets: each in a process of its own, two at a time, and what became of them.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{env, fs};

use anyhow::Context;

use crate::engine::{self, last_input};
use crate::targets::{Shape, Target};

/// Runs the targets; prints a line for each, and the sum in the words that the gate counts.
pub(crate) fn run(targets: &[Target], limit: Duration) -> anyhow::Result<ExitCode> {
    let next = AtomicUsize::new(0);
    let failed = AtomicUsize::new(0);
    let work = || -> anyhow::Result<()> {
        while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
            if !supervise(*target, limit)? {
                failed.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    };
    let results: Vec<anyhow::Result<()>> = std::thread::scope(|scope| {
        let workers = [scope.spawn(work), scope.spawn(work)];
        workers
            .into_iter()
            .filter_map(|worker| worker.join().ok())
            .collect()
    });
    results.into_iter().collect::<anyhow::Result<()>>()?;
    let failed = failed.into_inner();
    println!(
        "{} passed, {failed} failed, 0 skipped",
        targets.len() - failed
    );
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs one target in a process of its own; says whether all went well.
fn supervise(target: Target, limit: Duration) -> anyhow::Result<bool> {
    let current = folder()?.join(format!("{}.{}", target.name, std::process::id()));
    let output = Command::new(env::current_exe()?)
        .args(["--child", target.name])
        .arg(&current)
        .arg(limit.as_secs().to_string())
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run target {}", target.name))?;
    // One call, so that the lines of two targets do not mix.
    print!("{}", String::from_utf8_lossy(&output.stdout));
    let told =
        output.status.success() || String::from_utf8_lossy(&output.stdout).contains("FAIL  ");
    if !told {
        let how = died(output.status);
        let errors = String::from_utf8_lossy(&output.stderr);
        println!("FAIL  {}: {how}\n{}", target.name, errors.trim_end());
        report(target, &last_input(&current).unwrap_or_default())?;
    }
    let _ = fs::remove_file(&current);
    Ok(output.status.success())
}

/// How one ended that could not say so itself.
fn died(status: ExitStatus) -> String {
    match status.code() {
        Some(crate::TOO_SLOW) => "an input takes more than 3 s of processor time".into(),
        Some(_) => format!("the target could not run ({status})"),
        None => format!("the process died ({status}): out of memory, or out of stack"),
    }
}

/// The child's part: runs the target here.
pub(crate) fn child(target: Target, current: &Path, limit: Duration) -> anyhow::Result<ExitCode> {
    let found = engine::run(target, limit, seed(), current)?;
    let (inputs, edges, kept) = (
        grouped(found.inputs),
        grouped(found.edges as u64),
        found.kept,
    );
    println!(
        "figure: {}: {inputs} inputs, {edges} edges, {kept} kept",
        target.name
    );
    let Some((said, input)) = found.failure else {
        return Ok(ExitCode::SUCCESS);
    };
    println!("FAIL  {}: {said}", target.name);
    report(target, &input)?;
    Ok(ExitCode::FAILURE)
}

/// The same sequence each time, unless another is asked for: a change is judged by what it changes.
fn seed() -> u64 {
    let text = env::var("AXONEME_FUZZ_SEED").unwrap_or_default();
    text.parse().unwrap_or(1)
}

/// Writes the input where it can be found, and prints it.
fn report(target: Target, input: &[u8]) -> anyhow::Result<()> {
    let path = folder()?.join(format!("{}.failed", target.name));
    fs::write(&path, input).with_context(|| path.display().to_string())?;
    let shown = match std::str::from_utf8(input) {
        Ok(text) if target.shape != Shape::Bytes => text.to_owned(),
        _ => input
            .iter()
            .fold(String::new(), |text, octet| format!("{text}{octet:02x}")),
    };
    println!("      its input is in {}:\n      {shown}", path.display());
    Ok(())
}

/// Where inputs are written, outside the clone.
fn folder() -> anyhow::Result<PathBuf> {
    let cache = env::var_os("AXONEME_CACHE").map_or_else(env::temp_dir, PathBuf::from);
    let folder = cache.join("fuzz");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}

/// A number with commas.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
