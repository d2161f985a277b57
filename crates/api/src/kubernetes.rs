//! The kinds of Kubernetes that the agents read, with only the fields that are needed.
