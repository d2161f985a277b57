//! The CustomResourceDefinitions of our kinds, made from their types, and what to do about those that a cluster has.
//!
//! Whoever registers them asks [`registration()`] for each of [`definitions`] and does what it says:
//!
//! ```text
//! for wanted in crds::definitions() {
//!     let found = match client.get::<CustomResourceDefinition>(None, &wanted.metadata.name).await {
//!         Err(error) if error.is_not_found() => None,
//!         result => Some(result?),
//!     };
//!     match crds::registration(wanted, found.as_ref()) {
//!         Registration::Create(new) => client.create(&new).await.map(drop)?,
//!         Registration::Replace(new) => client.replace(&new).await.map(drop)?,
//!         Registration::Leave(why) => tracing::debug!(%why, "CRD is left as it is"),
//!     }
//! }
//! ```
//!
//! A conflict means that somebody was quicker: ask again. A policy that our own parser accepts is refused by no schema; what a
//! schema does not name, the API server takes away before anybody sees it, so it names also what we do not act on yet.

mod columns;
mod definition;
mod kinds;
mod registration;
mod structural;

pub use kinds::definitions;
pub use registration::{Registration, WhyLeft, registration};

/// Label of every definition that says how new its schema is.
pub const SCHEMA_VERSION_LABEL: &str = "io.cilium.k8s.crd.schema.version";

/// How new our schemas are (semantic version). They follow the upstream schemas with this number; every change of a schema
/// that was released raises it, or clusters keep the old one.
pub const SCHEMA_VERSION: &str = "1.32.6";
