//! Tables, targets, and the loop that brings the world to what the tables say.
//!
//! A [`Table`] holds desired rows: one [`TableWriter`] writes it, everyone else reads cheap snapshots. A [`Target`] is
//! one resource of the kernel or the store: it can be fetched and changed key by key. A [`Reconciler`] joins the two:
//! fetch → plan → apply → status, on every change and on a timer. It never deletes before the table is initialized,
//! retries each key on its own, and reports errors as status.

pub mod backoff;
pub mod plan;
pub mod run;
pub mod status;
pub mod table;
pub mod target;
pub mod tasks;

pub use backoff::Backoff;
pub use plan::{Plan, Prune, Step};
pub use run::{Options, Reconciler, Trigger};
pub use status::{KeyStatus, State, Status, StatusReader};
pub use table::{Change, Changes, Effect, Revision, Snapshot, Subscription, Table, TableWriter};
pub use target::{Fetched, Target};
pub use tasks::TaskGroup;
