//! The messages and clients that `build.rs` makes of `proto/`.

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated from the definitions"
)]
mod generated {
    pub mod etcdserverpb {
        include!(concat!(env!("OUT_DIR"), "/etcdserverpb.rs"));
    }
    pub mod v3lockpb {
        include!(concat!(env!("OUT_DIR"), "/v3lockpb.rs"));
    }
}

pub(super) use generated::etcdserverpb::*;
pub(super) use generated::v3lockpb::{LockRequest, lock_client::LockClient};
