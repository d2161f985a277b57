//! Ctrl-C while nodes run: what this process made goes before the process does.

use std::collections::BTreeSet;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use tokio::signal::unix::{SignalKind, signal};

use super::sweep;

// Not a table: a signal reads it, and no loop.
static HELD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
static HANDED_OVER: AtomicBool = AtomicBool::new(false);
static WATCHED: Once = Once::new();

/// Whoever calls this sees to signals by himself.
pub fn hand_over() {
    HANDED_OVER.store(true, Ordering::Relaxed);
}

/// Notes that the topology is there, so that a signal removes it.
pub(super) fn hold(name: &str) {
    WATCHED.call_once(|| {
        if let Err(error) = watch() {
            tracing::warn!("an interrupted run will leave things to the next one: {error}");
        }
    });
    held().insert(name.to_owned());
}

/// Notes that it is gone.
pub(super) fn let_go(name: &str) {
    held().remove(name);
}

fn held() -> std::sync::MutexGuard<'static, BTreeSet<String>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

fn watch() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    std::thread::Builder::new().spawn(move || {
        let number = runtime.block_on(async {
            tokio::select! { _ = interrupt.recv() => 2, _ = terminate.recv() => 15 }
        });
        if HANDED_OVER.load(Ordering::Relaxed) {
            return;
        }
        // Kept locked: no topology begins. What others were making in one just then goes the second time.
        let held = held();
        for name in held.iter().chain(held.iter()) {
            if let Err(error) = sweep::sweep(name) {
                tracing::warn!("topology {name} is not wholly removed: {error:#}");
            }
        }
        process::exit(128 + number);
    })?;
    Ok(())
}
