//! Generated types and services of the packages flow, observer, peer and relay.
