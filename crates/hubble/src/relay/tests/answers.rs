//! Questions to a relay: what all nodes counted, and who did not answer.

use api::hubble::answers::{MapAnswer, Question, answers_client::AnswersClient};
use api::hubble::relay::NodeState;

use super::fleet::Fleet;
use crate::sample::opened;

async fn map(fleet: &Fleet) -> MapAnswer {
    let client = AnswersClient::connect(format!("http://{}", fleet.relay)).await;
    let answer = client.unwrap().map(Question::default()).await;
    answer.unwrap().into_inner()
}

#[tokio::test]
async fn rows_of_all_nodes_add_up_and_a_node_that_is_away_is_named() {
    let fleet = Fleet::connected(3).await;
    for node in &fleet.nodes {
        node.intake.record(opened());
    }
    let opened = |answer: &MapAnswer| {
        let [row] = answer.edges.as_slice() else {
            panic!("{answer:?}");
        };
        row.counters.unwrap().opened
    };
    let answer = map(&fleet).await;
    assert_eq!(opened(&answer), 3);
    let completeness = answer.completeness.unwrap();
    assert_eq!((completeness.nodes, completeness.missing.len()), (3, 0));
    assert!((completeness.share - 1.0).abs() < 1e-9);
    fleet.nodes[1].wire.cut();
    fleet
        .until(|nodes| {
            let cut = nodes.iter().find(|node| node.name == "n2");
            cut.is_some_and(|node| node.state() == NodeState::NodeUnavailable)
        })
        .await;
    let answer = map(&fleet).await;
    assert_eq!(opened(&answer), 2);
    let completeness = answer.completeness.unwrap();
    assert_eq!(
        (completeness.nodes, completeness.missing),
        (2, vec!["n2".to_owned()])
    );
    fleet.end().await;
}
