//! The stages that paths are made of, in the order of a packet.

pub mod answer;
pub mod connection;
pub mod deliver;
pub mod encap;
pub mod fragment;
pub mod icmp;
pub mod identity;
pub mod nat;
pub mod overlay;
pub mod parse;
pub mod policy;
pub mod record;
pub mod redirect;
pub mod reject;
pub mod route;
pub mod sample;
pub mod service;
pub mod source;
pub mod tcp;
pub mod uplink;
