//! One CustomResourceDefinition from a type and what the type does not say.

use api::kubernetes::{CustomResourceDefinition, ObjectMeta, Resource};
use schemars::JsonSchema;
use serde_json::{Value, json};

use crate::columns::Column;
use crate::structural::schema_of;
use crate::{SCHEMA_VERSION, SCHEMA_VERSION_LABEL};

/// What a kind belongs to, beside being one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Plain,
    Policy,
    Bgp,
}

/// Whether the status is a resource of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatusResource {
    Separate,
    /// Absent, or written with the object.
    Inline,
}

/// A version that is served beside the one that is stored, with what is other in its schema.
pub(crate) struct Deprecated {
    pub(crate) name: &'static str,
    pub(crate) change: fn(&mut Value),
}

/// What a type does not say of its kind.
pub(crate) struct Details {
    pub(crate) short_names: &'static [&'static str],
    pub(crate) family: Family,
    pub(crate) status: StatusResource,
    pub(crate) columns: &'static [Column],
    pub(crate) deprecated: Option<Deprecated>,
}

/// The definition of `R`.
pub(crate) fn definition<R: Resource + JsonSchema>(details: &Details) -> CustomResourceDefinition {
    let schema = schema_of::<R>();
    let mut versions = vec![version(R::VERSION, details, &schema)];
    versions[0]["storage"] = json!(true);
    if let Some(old) = &details.deprecated {
        let mut schema = schema;
        (old.change)(&mut schema);
        let mut old = version(old.name, details, &schema);
        old["deprecated"] = json!(true);
        versions.push(old);
    }
    let label = (SCHEMA_VERSION_LABEL.to_owned(), SCHEMA_VERSION.to_owned());
    CustomResourceDefinition {
        metadata: ObjectMeta {
            name: format!("{}.{}", R::PLURAL, R::GROUP),
            labels: [label].into(),
            ..ObjectMeta::default()
        },
        spec: json!({
            "group": R::GROUP,
            "scope": if R::NAMESPACED { "Namespaced" } else { "Cluster" },
            "names": names::<R>(details),
            "versions": versions,
        }),
        ..CustomResourceDefinition::default()
    }
}

fn names<R: Resource>(details: &Details) -> Value {
    let categories = match details.family {
        Family::Plain => &["cilium"][..],
        Family::Policy => &["cilium", "ciliumpolicy"],
        Family::Bgp => &["cilium", "ciliumbgp"],
    };
    let mut names = json!({
        "kind": R::KIND,
        "listKind": format!("{}List", R::KIND),
        "plural": R::PLURAL,
        "singular": R::KIND.to_lowercase(),
        "categories": categories,
    });
    if !details.short_names.is_empty() {
        names["shortNames"] = json!(details.short_names);
    }
    names
}

fn version(name: &str, details: &Details, schema: &Value) -> Value {
    let mut version = json!({
        "name": name,
        "served": true,
        "storage": false,
        "schema": {"openAPIV3Schema": schema},
    });
    if details.status == StatusResource::Separate {
        version["subresources"] = json!({"status": {}});
    }
    if !details.columns.is_empty() {
        let columns = details.columns.iter().map(|column| column.to_value());
        version["additionalPrinterColumns"] = columns.collect();
    }
    version
}
