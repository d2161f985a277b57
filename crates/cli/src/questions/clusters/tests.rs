use api::hubble::answers::{
    Caller, ExposedAnswer, Exposure, HttpAnswer, MapAnswer, PartyKind, Requests, Resolution,
    ResolvedAnswer,
};

use super::*;
use crate::questions::tables::{Of, cells};

fn workload(cluster: &str, name: &str) -> Party {
    Party {
        cluster: cluster.into(),
        namespace: "shop".into(),
        name: name.into(),
        ..Party::default()
    }
}

fn entity(cluster: &str, name: &str) -> Party {
    Party {
        cluster: cluster.into(),
        name: name.into(),
        kind: PartyKind::Entity.into(),
        ..Party::default()
    }
}

#[test]
fn ends_and_services_are_named_with_their_cluster() {
    let row = |source, destination| Row {
        edge: Some(Edge {
            source: Some(source),
            destination: Some(destination),
            service: "shop/api".into(),
            port: 80,
            ..Edge::default()
        }),
        ..Row::default()
    };
    let mut answer = Answer::Map(MapAnswer {
        edges: vec![
            row(workload("east", "web"), workload("west", "api")),
            row(entity("west", "host"), entity("", "world")),
        ],
        ..MapAnswer::default()
    });
    name(&mut answer);
    let rows = cells(Of::Map, &answer, 0).rows;
    assert_eq!(
        rows.iter().map(|row| &row[..3]).collect::<Vec<_>>(),
        [
            ["east:shop/web", "west:shop/api", "west:shop/api"],
            ["west:host", "world", "shop/api"],
        ]
    );
}

#[test]
fn answers_without_edges_are_named_as_well() {
    let mut http = Answer::Http(HttpAnswer {
        requests: vec![Requests {
            destination: Some(workload("west", "api")),
            callers: vec![Caller {
                party: Some(workload("east", "web")),
                requests: 3,
            }],
            ..Requests::default()
        }],
        ..HttpAnswer::default()
    });
    name(&mut http);
    let text = format!("{:?}", cells(Of::Requests, &http, 0).rows);
    assert!(text.contains("west:shop/api"), "{text}");
    assert!(text.contains("east:shop/web (3)"), "{text}");
    let mut exposed = Answer::Exposed(ExposedAnswer {
        exposures: vec![Exposure {
            destination: Some(workload("west", "api")),
            service: "shop/api".into(),
            ..Exposure::default()
        }],
        ..ExposedAnswer::default()
    });
    name(&mut exposed);
    let text = format!("{:?}", cells(Of::Exposures, &exposed, 0).rows);
    assert_eq!(text.matches("west:shop/api").count(), 2, "{text}");
    let mut resolved = Answer::Resolved(ResolvedAnswer {
        resolutions: vec![Resolution {
            source: Some(workload("west", "api")),
            ..Resolution::default()
        }],
        ..ResolvedAnswer::default()
    });
    name(&mut resolved);
    let text = format!("{:?}", cells(Of::Resolutions, &resolved, 0).rows);
    assert!(text.contains("west:shop/api"), "{text}");
}
