//! The error object of the CNI specification: a code and a sentence.

use crate::version::Version;

/// Error codes: below 100 the specification's, from 100 ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Code {
    /// The version asked for is not supported, or does not know the command.
    IncompatibleVersion = 1,
    /// The configuration asks for something that is not supported.
    UnsupportedField = 2,
    /// The agent has no such attachment.
    UnknownContainer = 3,
    /// An argument in the environment is missing or wrong.
    InvalidEnvironment = 4,
    /// Reading or writing failed.
    Io = 5,
    /// Standard input, or the agent's answer, could not be decoded.
    Decode = 6,
    /// The configuration is wrong.
    InvalidConfig = 7,
    /// The agent could not be reached or was too busy; the same call may succeed later.
    TryAgain = 11,
    /// STATUS: no ADD can succeed.
    NotAvailable = 50,
    /// STATUS: ADD succeeds, connectivity of the pods may be limited.
    LimitedConnectivity = 51,
    /// The interface exists already; DEL comes first.
    InterfaceExists = 100,
    /// The agent refused; the sentence has its words.
    AgentRefused = 101,
    /// The kernel refused; the sentence has operation, object and errno text.
    KernelRefused = 102,
    /// CHECK: what is there is not what ADD returned.
    CheckFailed = 103,
}

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Kind.
    pub code: Code,
    /// One sentence that names the field or the step.
    pub message: String,
}

impl Error {
    /// An error with its sentence.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// The error object of the specification.
    pub fn to_json(&self, version: Version) -> String {
        serde_json::json!({
            "cniVersion": version.as_str(),
            "code": self.code as u32,
            "msg": self.message,
        })
        .to_string()
    }
}

impl From<netlink::Error> for Error {
    fn from(error: netlink::Error) -> Self {
        Self::new(Code::KernelRefused, error.to_string())
    }
}

impl From<local_api::Error> for Error {
    fn from(error: local_api::Error) -> Self {
        let code = match &error {
            local_api::Error::Status {
                status: 429 | 503, ..
            } => Code::TryAgain,
            local_api::Error::Status { .. } => Code::AgentRefused,
            local_api::Error::Shape { .. } | local_api::Error::TooLarge { .. } => Code::Decode,
            _ => Code::TryAgain,
        };
        Self::new(code, error.to_string())
    }
}
