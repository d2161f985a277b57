//! Lines of a watch, read only as far as they are needed: the object itself stays text until its type is known.

use api::kubernetes::Resource;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::Error;

/// Namespace and name of any object. A slash, which neither can contain, parts them: one text takes a third of the memory of two.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ObjectName(Box<str>);

impl ObjectName {
    fn new(namespace: &str, name: &str) -> Self {
        Self(format!("{namespace}/{name}").into())
    }
}

/// One line.
#[derive(Deserialize)]
pub(super) struct Event<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'a str,
    #[serde(borrow)]
    pub(super) object: &'a RawValue,
}

impl<'a> Event<'a> {
    pub(super) fn read(line: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(line)
    }

    /// What an `ERROR` says, as if the watch had been refused.
    pub(super) fn refusal(&self, path: &str) -> Error {
        let said = serde_json::from_str::<Refusal>(self.object.get()).unwrap_or_default();
        Error::Refused {
            verb: "watch",
            path: path.to_owned(),
            status: said.code,
            message: said.message,
            retry_after: None,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    code: u16,
    message: String,
}

/// As much of an object as can be read of any.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Head {
    metadata: Meta,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Meta {
    namespace: String,
    name: String,
    resource_version: String,
}

impl Head {
    /// Of an object that cannot be read at all: one without a name.
    pub(super) fn of(object: &RawValue) -> Self {
        serde_json::from_str(object.get()).unwrap_or_default()
    }

    pub(super) fn name(&self) -> ObjectName {
        ObjectName::new(&self.metadata.namespace, &self.metadata.name)
    }

    pub(super) fn version(self) -> Option<String> {
        Some(self.metadata.resource_version).filter(|version| !version.is_empty())
    }
}

/// Namespace and name of an object.
pub(super) fn name_of<R: Resource>(object: &R) -> ObjectName {
    ObjectName::new(&object.meta().namespace, &object.meta().name)
}
