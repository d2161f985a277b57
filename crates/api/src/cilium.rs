//! `cilium.io` custom resources.
