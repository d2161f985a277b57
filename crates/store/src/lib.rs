//! Kubernetes as tables: reflect objects, write back differences.
