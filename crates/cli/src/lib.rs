//! One command line: cluster, node and flows.
//!
//! [`program`] decides by the name it was called by which family is meant; each family turns what was typed into calls and
//! prints the answers.

mod apply;
mod cluster;
mod connectivity;
mod dbg;
mod flows;
pub mod hubble;
mod node;
mod output;
pub mod program;
mod questions;
mod why;
