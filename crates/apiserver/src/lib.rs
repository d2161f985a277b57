//! The embedded store: a small server of the Kubernetes REST API over redb.
