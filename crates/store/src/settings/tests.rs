#![allow(clippy::unwrap_used, reason = "a failed step of a test ends the test")]

use api::cilium::NodeConfigSpec;
use api::kubernetes::ObjectMeta;

use super::*;

fn settings(pairs: &[(&str, &str)]) -> Settings {
    let owned = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    owned.collect()
}

fn config(name: &str, selector: LabelSelector, defaults: &[(&str, &str)]) -> CiliumNodeConfig {
    CiliumNodeConfig {
        metadata: ObjectMeta {
            name: name.to_owned(),
            ..ObjectMeta::default()
        },
        spec: NodeConfigSpec {
            node_selector: selector,
            defaults: settings(defaults),
        },
        ..CiliumNodeConfig::default()
    }
}

fn requirement(key: &str, operator: &str, values: &[&str]) -> LabelSelector {
    LabelSelector {
        match_expressions: vec![LabelRequirement {
            key: key.to_owned(),
            operator: operator.to_owned(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        }],
        ..LabelSelector::default()
    }
}

#[test]
fn sources_are_understood_as_upstreams_chart_writes_them() {
    let parse = |text| Source::parse(text, "kube-system", "n1");
    let map = |namespace: &str, name: &str| Source::ConfigMap {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    assert_eq!(
        parse("config-map:cilium-config").unwrap(),
        map("kube-system", "cilium-config")
    );
    assert_eq!(parse("config-map:net/other").unwrap(), map("net", "other"));
    let of = |namespace: &str| Source::CiliumNodeConfig {
        namespace: namespace.to_owned(),
    };
    assert_eq!(parse("cilium-node-config").unwrap(), of("kube-system"));
    assert_eq!(parse("cilium-node-config:net").unwrap(), of("net"));
    assert_eq!(parse("node:").unwrap(), Source::Node { name: "n1".into() });
    assert_eq!(
        parse("node:n7").unwrap(),
        Source::Node { name: "n7".into() }
    );
    assert!(parse("config-map:").is_err());
    assert!(parse("secret:cilium-config").is_err());
}

#[test]
fn a_later_layer_overrides_only_what_may_be_overridden() {
    let layers = vec![
        settings(&[("debug", "false"), ("mtu", "1500")]),
        settings(&[("debug", "true"), ("mtu", "9000"), ("devices", "eth1")]),
    ];
    let overrides = |allow: &[&str], deny: &[&str]| Overrides {
        allow_config_keys: allow.iter().map(|&key| key.to_owned()).collect(),
        deny_config_keys: deny.iter().map(|&key| key.to_owned()).collect(),
    };
    let (merged, refused) = merge(layers.clone(), &overrides(&[], &["mtu"]));
    assert_eq!(
        merged,
        settings(&[("debug", "true"), ("devices", "eth1"), ("mtu", "1500")])
    );
    assert_eq!(Vec::from_iter(refused), ["mtu"]);
    // Where some are named as the only ones, what is denied does not matter.
    let (merged, refused) = merge(layers, &overrides(&["mtu"], &["mtu"]));
    assert_eq!(merged, settings(&[("debug", "false"), ("mtu", "9000")]));
    assert_eq!(Vec::from_iter(refused), ["debug", "devices"]);
}

#[test]
fn of_several_objects_for_a_node_the_last_by_name_wins() {
    let labels = settings(&[("zone", "a"), ("arm", "")]);
    let configs = [
        config(
            "z",
            requirement("zone", "In", &["a", "b"]),
            &[("debug", "z")],
        ),
        config(
            "a",
            LabelSelector::default(),
            &[("debug", "a"), ("mtu", "1400")],
        ),
        config(
            "other",
            requirement("zone", "NotIn", &["a"]),
            &[("debug", "other")],
        ),
        config(
            "no-arm",
            requirement("arm", "DoesNotExist", &[]),
            &[("mtu", "1")],
        ),
        config(
            "arm",
            requirement("arm", "Exists", &[]),
            &[("devices", "eth9")],
        ),
    ];
    let specs = configs.iter().map(|of| (&*of.metadata.name, &of.spec));
    let layers = [vec![Settings::new()], of_node(specs, &labels)].concat();
    let (merged, _) = merge(layers, &Overrides::default());
    assert_eq!(
        merged,
        settings(&[("debug", "z"), ("devices", "eth9"), ("mtu", "1400")])
    );
}

#[test]
fn sources_are_written_as_upstreams_agent_reads_them() {
    let sources: Vec<Source> = ["config-map:cilium-config", "cilium-node-config:", "node:"]
        .map(|text| Source::parse(text, "kube-system", "n1").unwrap())
        .into();
    let written = r#"[{"kind":"config-map","namespace":"kube-system","name":"cilium-config"},{"kind":"cilium-node-config","namespace":"kube-system"},{"kind":"node","name":"n1"}]"#;
    assert_eq!(serde_json::to_string(&sources).unwrap(), written);
    // Upstream writes fields that a kind has no use for, too.
    let theirs = written.replace(
        r#""node","name":"n1""#,
        r#""node","namespace":"","name":"n1""#,
    );
    assert_eq!(
        serde_json::from_str::<Vec<Source>>(&theirs).unwrap(),
        sources
    );
    assert_eq!(
        serde_json::to_string(&Overrides::default()).unwrap(),
        r#"{"allowConfigKeys":[],"denyConfigKeys":[]}"#
    );
}
