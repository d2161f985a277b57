//! A target: one resource of the kernel or the store that can be fetched and changed key by key.

use std::fmt::Display;
use std::future::Future;

use crate::plan::Step;
use crate::table::{Key, Value};

/// One slice of what is really there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched<K, V, C> {
    /// Keys and values found in this slice.
    pub entries: Vec<(K, V)>,
    /// Where the next slice begins; `None` = that was the last.
    pub next: Option<C>,
}

/// Result of [`Target::fetch`].
pub type FetchResult<T> = Result<
    Fetched<<T as Target>::Key, <T as Target>::Value, <T as Target>::Cursor>,
    <T as Target>::Error,
>;

/// One kernel or store resource. Its rows have the type of the table that describes it, so that a plan is a comparison.
///
/// A target decides nothing: it does not retry, does not look at other keys, and does not know why.
pub trait Target: Send + Sync {
    /// Key of the table and of the resource.
    type Key: Key;
    /// Row of the table, and what a fetch decodes to.
    type Value: Value;
    /// Position between two slices of a full fetch.
    type Cursor: Send;
    /// Why a fetch or a step failed; shown in the status of the key.
    type Error: Display + Send;

    /// Reads a slice of the real state. A call should take no longer than a few milliseconds of CPU.
    /// Entries that changed while slices are read may appear in their old or new state.
    fn fetch(&self, from: Option<Self::Cursor>) -> impl Future<Output = FetchResult<Self>> + Send;

    /// Makes one change real. Must be idempotent: after an error it is asked for again, possibly with another value.
    fn apply(
        &self,
        step: &Step<Self::Key, Self::Value>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}
