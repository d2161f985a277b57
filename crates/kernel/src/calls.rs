//! How long bpf() took, for whoever wants to know; while nobody does, a call costs nothing more.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A system call that has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// What was asked for, as `update` or `getNextKey`.
    pub operation: &'static str,
    /// Whether the kernel did it. It does not look up, delete or step over what is not there.
    pub done: bool,
    /// How long it took.
    pub took: Duration,
}

type Watcher = Box<dyn Fn(Call) + Send + Sync>;

static WATCHER: OnceLock<Watcher> = OnceLock::new();

/// Tells of every call of this process from now on; only the first that asks is told.
pub fn watch(watcher: impl Fn(Call) + Send + Sync + 'static) {
    let _ = WATCHER.set(Box::new(watcher));
}

/// Does a call, and tells of it.
pub(crate) fn timed<T, E>(
    operation: &'static str,
    call: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let Some(watcher) = WATCHER.get() else {
        return call();
    };
    let begun = Instant::now();
    let result = call();
    watcher(Call {
        operation,
        done: result.is_ok(),
        took: begun.elapsed(),
    });
    result
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn whoever_asked_first_is_told_of_each_call_and_how_it_ended() {
        assert_eq!(timed("before", || Ok::<_, ()>(1)), Ok(1));
        let (told, calls) = mpsc::channel();
        watch(move |call| told.send((call.operation, call.done)).unwrap_or(()));
        let (later, none) = mpsc::channel();
        watch(move |call| later.send(call).unwrap_or(()));
        assert_eq!(timed("refused", || Err::<(), _>(2)), Err(2));
        assert_eq!(timed("done", || Ok::<_, ()>(3)), Ok(3));
        // Other tests of this process make calls too, of other names.
        let ours = ["before", "refused", "done"];
        let calls = calls.try_iter().filter(|(of, _)| ours.contains(of));
        assert_eq!(
            calls.collect::<Vec<_>>(),
            [("refused", false), ("done", true)]
        );
        assert_eq!(none.try_iter().count(), 0, "the first is there already");
    }
}
