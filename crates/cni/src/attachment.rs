//! One interface of one container: what everything that ADD makes is named after.

use std::fmt;

use sha2::{Digest, Sha256};

/// Container id and interface name, the primary key of the CNI specification.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Attachment {
    /// The runtime's id of the sandbox.
    pub container: String,
    /// Name of the interface in the pod.
    pub interface: String,
}

impl Attachment {
    /// Name of the host end: `lxc` and 12 hexadecimal digits, 15 bytes.
    pub fn host_link(&self) -> String {
        format!("lxc{}", &self.digest()[..12])
    }

    /// SHA-256 of `<container id>:<interface>`, hexadecimal.
    pub(crate) fn digest(&self) -> String {
        let digits = b"0123456789abcdef".map(char::from);
        Sha256::digest(self.to_string())
            .iter()
            .flat_map(|byte| {
                [
                    digits[usize::from(byte >> 4)],
                    digits[usize::from(byte & 15)],
                ]
            })
            .collect()
    }
}

impl fmt::Display for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.container, self.interface)
    }
}
