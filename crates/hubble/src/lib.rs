//! Flows: decode, enrich, ring, observer, filters, peers.
