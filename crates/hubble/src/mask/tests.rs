use api::hubble::{Timestamp, flow as pb};

use super::*;

fn flow() -> Flow {
    Flow {
        time: Some(Timestamp {
            seconds: 5,
            nanos: 6,
        }),
        verdict: 2,
        node_name: "default/n1".into(),
        source: Some(pb::Endpoint {
            id: 7,
            identity: 1000,
            namespace: "shop".into(),
            pod_name: "web-1".into(),
            ..pb::Endpoint::default()
        }),
        l4: Some(pb::Layer4 {
            protocol: Some(pb::layer4::Protocol::Tcp(pb::Tcp {
                source_port: 1,
                destination_port: 2,
                flags: Some(pb::TcpFlags {
                    syn: true,
                    ..pb::TcpFlags::default()
                }),
            })),
        }),
        source_names: vec!["a".into(), "b".into()],
        ..Flow::default()
    }
}

fn masked(paths: &[&str]) -> Flow {
    let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
    Mask::new(&paths).unwrap().unwrap().apply(&flow())
}

#[test]
fn only_the_listed_fields_are_kept() {
    let kept = masked(&[
        "verdict",
        "source.pod_name",
        "source_names",
        "l4.TCP.destination_port",
    ]);
    let expected = Flow {
        verdict: 2,
        source: Some(pb::Endpoint {
            pod_name: "web-1".into(),
            ..pb::Endpoint::default()
        }),
        source_names: vec!["a".into(), "b".into()],
        l4: Some(pb::Layer4 {
            protocol: Some(pb::layer4::Protocol::Tcp(pb::Tcp {
                destination_port: 2,
                ..pb::Tcp::default()
            })),
        }),
        ..Flow::default()
    };
    assert_eq!(kept, expected);
}

#[test]
fn a_parent_takes_its_whole_message_whatever_the_order() {
    for paths in [["source", "source.pod_name"], ["source.pod_name", "source"]] {
        assert_eq!(
            masked(&paths),
            Flow {
                source: flow().source,
                ..Flow::default()
            }
        );
    }
}

#[test]
fn no_path_is_no_mask() {
    assert!(Mask::new(&[]).unwrap().is_none());
}

#[test]
fn unknown_paths_are_named() {
    for path in [
        "",
        "nope",
        "source.nope",
        "verdict.x",
        "source.",
        "sourceNames",
        "time.seconds",
    ] {
        let result = Mask::new(&["verdict".into(), path.into()]);
        if path == "time.seconds" {
            // A well-known message has fields like any other.
            assert!(result.is_ok());
        } else {
            assert_eq!(result.err(), Some(UnknownPath { path: path.into() }));
        }
    }
}
