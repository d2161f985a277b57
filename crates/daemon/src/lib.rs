//! What every program that runs on and on does alike: it reads settings, writes a log, stops when told to, and shows metrics.

pub mod log;
pub mod metrics;
mod run;
pub mod settings;

pub use run::{refuse, run};
