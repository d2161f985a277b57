//! The embedded store: a small server of the Kubernetes REST API over redb.
//!
//! It keeps untyped JSON of registered kinds and of CRDs, answers list, watch, get, create, update, patch and delete
//! with the semantics clients rely on (one global revision, conflicts, 410 for compacted history), assigns service
//! addresses and node ports, and keeps endpoint slices from service selectors. It has no server-side apply, strategic
//! merge, admission or defaulting.
//!
//! ```text
//! connection ─ http ─ verbs ─ store (one writer thread, redb) ─ history ─ watchers
//!                      │                                          └─ slices (keeper)
//!                      └─ kinds, selector, services, table, discovery
//! ```

pub mod args;
pub mod config;
mod discovery;
mod error;
mod http;
mod kinds;
mod kubeconfig;
mod object;
mod openapi;
mod selector;
mod server;
mod services;
mod slices;
mod store;
mod table;
mod tls;
mod verbs;

pub use config::{Config, ConfigError, HistoryLimit, TlsSource};
pub use server::{Running, Server, ServerError};
