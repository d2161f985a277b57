//! etcd as tables: mirror prefixes, keep what is ours there under a lease, give numbers to identities.
//!
//! An [`Etcd`] stands for the cluster, whichever of its endpoints answers; its guard ([`Etcd::guard`]) looks after the
//! connection and the operator's heartbeat. [`mirror`] keeps a table equal to the keys under a prefix. [`Owned`] keeps keys of
//! this node in etcd. [`Identities`] allocates and collects the numbers of identities. Names and values of keys are
//! upstream's ([`layout`]), so that others that know them understand what is there, and we what they write.
//!
//! What happens when etcd is wiped, compacted, paused or restored from a backup: docs/decisions/0011.

mod client;
mod guard;
mod identities;
pub mod layout;
mod lock;
mod login;
mod metrics;
mod mirror;
mod operations;
mod options;
mod owned;
mod proto;
#[cfg(feature = "etcd-server")]
pub mod server;
mod settings;

pub use client::{Error, Etcd, Loss, Pair};
pub use guard::Health;
pub use identities::{Collected, Identities, Stale};
pub use login::User;
pub use metrics::Metrics;
pub use mirror::{Patience, mirror};
pub use options::Options;
pub use owned::{Own, Owned, SharedLease};
pub use settings::{Mode, Settings, Texts};
