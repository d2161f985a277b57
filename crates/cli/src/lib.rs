//! One command line: cluster, node and flows.
