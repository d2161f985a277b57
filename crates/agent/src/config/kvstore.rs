//! etcd, if it is used.

use daemon::settings::{Error, Reader};
use store::etcd::{Settings, Texts};

pub(super) fn kvstore(read: &Reader<'_>) -> Result<Option<Settings>, Error> {
    let text = |key| read.text(key);
    let texts = Texts {
        mode: text("identity-allocation-mode"),
        kvstore: text("kvstore"),
        options: text("kvstore-opt"),
        lease_ttl: read.duration("kvstore-lease-ttl")?,
    };
    Settings::read(texts).map_err(|error| Error::Conflict(error.to_string()))
}
