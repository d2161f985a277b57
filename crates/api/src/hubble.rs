//! Generated types and services of the packages answers, flow, observer, peer and relay.
//!
//! JSON is canonical proto3 JSON with the names of the definitions (`node_name`, `IP`, `Summary`): enums as names (as
//! numbers when the number has no name), 64-bit integers as strings, defaults left out.

mod open_enum;
#[cfg(test)]
mod tests;
mod timestamp;

pub use open_enum::OpenEnum;
pub use timestamp::Timestamp;

/// All definitions as an encoded `google.protobuf.FileDescriptorSet`, for server reflection and field masks.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

macro_rules! package {
    ($(#[$doc:meta])* $name:ident $(, $file:literal)+) => {
        $(#[$doc])*
        #[allow(
            missing_docs,
            deprecated,
            unreachable_pub,
            clippy::all,
            clippy::pedantic,
            clippy::allow_attributes_without_reason,
            reason = "generated from the definitions"
        )]
        pub mod $name {
            $(include!(concat!(env!("OUT_DIR"), $file));)+
        }
    };
}

package!(
    /// Package `answers`: who talks to whom, what fails and why.
    answers, "/answers.rs", "/answers.serde.rs"
);
package!(
    /// Package `flow`: flows and their filters.
    flow, "/flow.rs", "/flow.serde.rs", "/strict/flow.serde.rs"
);
package!(
    /// Package `observer`: questions about flows.
    observer, "/observer.rs", "/observer.serde.rs"
);
package!(
    /// Package `peer`: which nodes serve flows.
    peer, "/peer.rs", "/peer.serde.rs"
);
package!(
    /// Package `relay`: what a relay says of its nodes.
    relay, "/relay.rs", "/relay.serde.rs"
);
