//! etcd, if it is used.

use daemon::settings::{Error, Reader};
use store::etcd::{Settings, Texts};

pub(super) fn kvstore(read: &Reader<'_>) -> Result<Option<Settings>, Error> {
    let texts = Texts {
        mode: read.text("identity-allocation-mode"),
        kvstore: read.text("kvstore"),
        options: read.text("kvstore-opt"),
        lease_ttl: read.duration("kvstore-lease-ttl")?,
    };
    Settings::read(texts).map_err(|error| Error::Conflict(error.to_string()))
}
