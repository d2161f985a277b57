//! What the runtime says: the command and its arguments in the environment, the network configuration on standard input.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::attachment::Attachment;
use crate::error::{Code, Error};
use crate::result::Success;
use crate::version::Version;

/// Bytes of network configuration that are accepted.
pub const STDIN_LIMIT: usize = 4 * 1024 * 1024;
/// Longest interface name, as the kernel limits it.
const INTERFACE_MAX: usize = 15;
const DEFAULT_STATE: &str = "/var/run/cilium";
const VALID_ATTACHMENTS: &str = "cni.dev/valid-attachments";
/// Smallest MTU that carries IPv6 and largest that Ethernet devices take.
const MTU: std::ops::RangeInclusive<u64> = 1280..=65535;

/// A command of the specification, with its checked arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Attach.
    Add(Arguments),
    /// Detach.
    Del(Arguments),
    /// Is the attachment as ADD left it?
    Check(Arguments),
    /// Could an ADD succeed?
    Status,
    /// Remove what belongs to no listed attachment.
    Gc,
    /// Which versions are understood?
    Version,
}

/// Arguments of the commands on one attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// `CNI_CONTAINERID` and `CNI_IFNAME`.
    pub attachment: Attachment,
    /// `CNI_NETNS`; only DEL may lack it.
    pub netns: Option<PathBuf>,
    /// `K8S_POD_NAMESPACE` of `CNI_ARGS`, empty outside Kubernetes.
    pub pod_namespace: String,
    /// `K8S_POD_NAME`.
    pub pod_name: String,
    /// `K8S_POD_UID`.
    pub pod_uid: String,
}

impl Arguments {
    /// The pod's namespace path, where the command needs it.
    pub(crate) fn netns(&self) -> Result<&std::path::Path, Error> {
        self.netns.as_deref().ok_or_else(|| missing("CNI_NETNS"))
    }

    /// Who owns the addresses: `namespace/pod`, or the container.
    pub(crate) fn owner(&self) -> String {
        if self.pod_name.is_empty() {
            self.attachment.container.clone()
        } else {
            format!("{}/{}", self.pod_namespace, self.pod_name)
        }
    }
}

fn missing(variable: &str) -> Error {
    Error::new(Code::InvalidEnvironment, format!("{variable} is missing"))
}

impl Command {
    /// Reads and checks the environment.
    pub fn parse(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let command = variable("CNI_COMMAND")
            .filter(|text| !text.is_empty())
            .ok_or_else(|| missing("CNI_COMMAND"))?;
        match command.as_str() {
            "ADD" => Arguments::parse(variable)
                .and_then(Arguments::with_netns)
                .map(Self::Add),
            "DEL" => Arguments::parse(variable).map(Self::Del),
            "CHECK" => Arguments::parse(variable)
                .and_then(Arguments::with_netns)
                .map(Self::Check),
            "STATUS" => Ok(Self::Status),
            "GC" => Ok(Self::Gc),
            "VERSION" => Ok(Self::Version),
            _ => Err(Error::new(
                Code::InvalidEnvironment,
                format!(
                    "CNI_COMMAND is {command:?}: expected ADD, DEL, CHECK, STATUS, GC or VERSION"
                ),
            )),
        }
    }

    /// The command's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Add(_) => "ADD",
            Self::Del(_) => "DEL",
            Self::Check(_) => "CHECK",
            Self::Status => "STATUS",
            Self::Gc => "GC",
            Self::Version => "VERSION",
        }
    }

    /// The attachment it is about, if any.
    pub fn attachment(&self) -> Option<&Attachment> {
        match self {
            Self::Add(arguments) | Self::Del(arguments) | Self::Check(arguments) => {
                Some(&arguments.attachment)
            }
            _ => None,
        }
    }

    /// Commands younger than the configuration's version are refused, as the specification says.
    pub(crate) fn check_version(&self, version: Version) -> Result<(), Error> {
        let since = match self {
            Self::Check(_) => Version::V0_4_0,
            Self::Status | Self::Gc => Version::V1_1_0,
            _ => Version::V0_1_0,
        };
        if version >= since {
            return Ok(());
        }
        let text = format!(
            "cniVersion {version} does not have {}: it came with {since}",
            self.name()
        );
        Err(Error::new(Code::IncompatibleVersion, text))
    }
}

impl Arguments {
    fn parse(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let given = |name: &str| variable(name).filter(|text| !text.is_empty());
        let container = given("CNI_CONTAINERID").ok_or_else(|| missing("CNI_CONTAINERID"))?;
        if !is_identifier(&container) {
            let text = format!(
                "CNI_CONTAINERID is {container:?}: it must start with a letter or digit and go on with these, '_', '.' or '-'"
            );
            return Err(Error::new(Code::InvalidEnvironment, text));
        }
        let interface = given("CNI_IFNAME").ok_or_else(|| missing("CNI_IFNAME"))?;
        check_interface(&interface)?;
        let mut arguments = Self {
            attachment: Attachment {
                container,
                interface,
            },
            netns: given("CNI_NETNS").map(PathBuf::from),
            pod_namespace: String::new(),
            pod_name: String::new(),
            pod_uid: String::new(),
        };
        arguments.read_pairs(&given("CNI_ARGS").unwrap_or_default())?;
        Ok(arguments)
    }

    fn with_netns(self) -> Result<Self, Error> {
        self.netns().map(|_| ())?;
        Ok(self)
    }

    /// `CNI_ARGS`: `KEY=VALUE` separated by semicolons; unknown keys are ignored, whatever `IgnoreUnknown` says.
    fn read_pairs(&mut self, text: &str) -> Result<(), Error> {
        for pair in text.split(';').filter(|pair| !pair.is_empty()) {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(Error::new(
                    Code::InvalidEnvironment,
                    format!("CNI_ARGS: {pair:?} is not KEY=VALUE"),
                ));
            };
            match key {
                "K8S_POD_NAMESPACE" => value.clone_into(&mut self.pod_namespace),
                "K8S_POD_NAME" => value.clone_into(&mut self.pod_name),
                "K8S_POD_UID" => value.clone_into(&mut self.pod_uid),
                _ => (),
            }
        }
        if self.pod_name.is_empty() == self.pod_namespace.is_empty() {
            return Ok(());
        }
        let text = "CNI_ARGS: K8S_POD_NAME and K8S_POD_NAMESPACE come together or not at all";
        Err(Error::new(Code::InvalidEnvironment, text))
    }
}

/// The specification's form of container ids and network names.
fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

fn check_interface(name: &str) -> Result<(), Error> {
    let wrong = name.len() > INTERFACE_MAX
        || matches!(name, "." | "..")
        || name
            .chars()
            .any(|c| c == '/' || c == ':' || c.is_whitespace() || c.is_control());
    if !wrong {
        return Ok(());
    }
    let text = format!(
        "CNI_IFNAME is {name:?}: it must have at most {INTERFACE_MAX} bytes and no '/', ':', space or control character"
    );
    Err(Error::new(Code::InvalidEnvironment, text))
}

/// Who makes the interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Chaining {
    /// This plugin (`none`, `portmap` or no `chaining-mode`).
    #[default]
    Alone,
    /// The plugin before it, a veth pair (`generic-veth`, `flannel`, `aws-cni`).
    Veth,
}

/// The network configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `cniVersion`.
    pub version: Version,
    /// `name`.
    pub network: String,
    /// `mtu` in bytes, before the agent's.
    pub mtu: Option<u32>,
    /// `chaining-mode`.
    pub chaining: Chaining,
    /// `prevResult`.
    pub previous: Option<Success>,
    /// `log-file`.
    pub log_file: Option<PathBuf>,
    /// `enable-debug`.
    pub debug: bool,
    /// `agent-socket`.
    pub agent_socket: Option<PathBuf>,
    /// `state-dir`.
    pub state: PathBuf,
    /// `cni.dev/valid-attachments`; absent is not empty.
    pub valid_attachments: Option<BTreeSet<Attachment>>,
}

impl Config {
    /// The version to answer an error in: the one asked for if it is known, else the newest.
    pub fn version_of(stdin: &[u8]) -> Version {
        Self::asked_version(stdin)
            .ok()
            .flatten()
            .unwrap_or(Version::LATEST)
    }

    /// The version asked for; `None` when it is none of ours.
    pub fn asked_version(stdin: &[u8]) -> Result<Option<Version>, Error> {
        let object = decode(stdin)?;
        Ok(text_field(&object, "cniVersion")?.map_or(Some(Version::V0_1_0), Version::parse))
    }

    /// Reads and checks the configuration. Unknown keys are ignored: they may be other plugins'.
    pub fn parse(stdin: &[u8]) -> Result<Self, Error> {
        let object = decode(stdin)?;
        let asked = text_field(&object, "cniVersion")?.unwrap_or("0.1.0");
        let version = Version::parse(asked).ok_or_else(|| {
            let text = format!(
                "cniVersion {asked:?} is not supported: 0.1.0 to {} are",
                Version::LATEST
            );
            Error::new(Code::IncompatibleVersion, text)
        })?;
        let network = text_field(&object, "name")?.unwrap_or_default();
        if !is_identifier(network) {
            return Err(invalid(
                "name",
                "must start with a letter or digit and go on with these, '_', '.' or '-'",
            ));
        }
        refuse_delegated_ipam(&object)?;
        let path = |key| {
            Ok::<_, Error>(
                text_field(&object, key)?
                    .filter(|text| !text.is_empty())
                    .map(PathBuf::from),
            )
        };
        Ok(Self {
            version,
            network: network.to_owned(),
            mtu: mtu(&object)?,
            chaining: chaining(&object)?,
            previous: match object.get("prevResult") {
                None | Some(Value::Null) => None,
                Some(previous) => Some(Success::parse(previous)?),
            },
            log_file: path("log-file")?,
            debug: flag(&object, "enable-debug")?,
            agent_socket: path("agent-socket")?,
            state: path("state-dir")?.unwrap_or_else(|| DEFAULT_STATE.into()),
            valid_attachments: valid_attachments(&object)?,
        })
    }
}

fn decode(stdin: &[u8]) -> Result<Map<String, Value>, Error> {
    if stdin.len() > STDIN_LIMIT {
        return Err(Error::new(
            Code::Decode,
            format!("the network configuration is longer than {STDIN_LIMIT} bytes"),
        ));
    }
    match serde_json::from_slice(stdin) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Error::new(
            Code::Decode,
            "the network configuration is not a JSON object",
        )),
        Err(error) => Err(Error::new(
            Code::Decode,
            format!("the network configuration is not JSON: {error}"),
        )),
    }
}

fn invalid(field: &str, what: &str) -> Error {
    Error::new(Code::InvalidConfig, format!("{field} {what}"))
}

fn text_field<'a>(object: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>, Error> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(invalid(key, "must be a string")),
    }
}

fn flag(object: &Map<String, Value>, key: &str) -> Result<bool, Error> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(value)) => Ok(*value),
        Some(_) => Err(invalid(key, "must be true or false")),
    }
}

fn mtu(object: &Map<String, Value>) -> Result<Option<u32>, Error> {
    match object.get("mtu") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(0) => Ok(None),
            Some(bytes) if MTU.contains(&bytes) => Ok(Some(bytes as u32)),
            _ => Err(invalid("mtu", "must be 0 or a number from 1280 to 65535")),
        },
    }
}

fn chaining(object: &Map<String, Value>) -> Result<Chaining, Error> {
    match text_field(object, "chaining-mode")?.unwrap_or_default() {
        "" | "none" | "portmap" => Ok(Chaining::Alone),
        "generic-veth" | "flannel" | "aws-cni" => Ok(Chaining::Veth),
        other => Err(invalid(
            "chaining-mode",
            &format!("is {other:?}: expected none, aws-cni, flannel, generic-veth or portmap"),
        )),
    }
}

/// Addresses come from the agent. A delegated plugin would be looked up as a file by this name, so its form is judged first.
fn refuse_delegated_ipam(object: &Map<String, Value>) -> Result<(), Error> {
    let ipam = match object.get("ipam") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Object(ipam)) => ipam,
        Some(_) => return Err(invalid("ipam", "must be an object")),
    };
    match text_field(ipam, "type") {
        Err(_) => Err(invalid("ipam.type", "must be a string")),
        Ok(None | Some("")) => Ok(()),
        Ok(Some(name)) if name.contains(['/', '\\']) || name.contains("..") => {
            Err(invalid("ipam.type", "must be a plain file name"))
        }
        Ok(Some(name)) => {
            let text = format!(
                "ipam.type is {name:?}: addresses come from the agent, delegation is not supported"
            );
            Err(Error::new(Code::UnsupportedField, text))
        }
    }
}

fn valid_attachments(object: &Map<String, Value>) -> Result<Option<BTreeSet<Attachment>>, Error> {
    let list = match object.get(VALID_ATTACHMENTS) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(invalid(VALID_ATTACHMENTS, "must be a list")),
    };
    let mut attachments = BTreeSet::new();
    for (position, entry) in list.iter().enumerate() {
        let field = |key: &str| {
            entry
                .get(key)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
        };
        let (Some(container), Some(interface)) = (field("containerID"), field("ifname")) else {
            return Err(invalid(
                &format!("{VALID_ATTACHMENTS}[{position}]"),
                "must have containerID and ifname",
            ));
        };
        attachments.insert(Attachment {
            container: container.to_owned(),
            interface: interface.to_owned(),
        });
    }
    Ok(Some(attachments))
}

#[cfg(test)]
mod tests;
