use super::*;

fn told(event: &Bytes) -> String {
    let response = GetFlowsResponse::decode(event.clone()).unwrap();
    assert!(response.time.is_some() && !response.node_name.is_empty());
    match response.response_types {
        Some(ResponseTypes::NodeStatus(event)) => format!(
            "{} {}: {}",
            event.state_change().as_str_name(),
            event.node_names.join(" "),
            event.message
        ),
        other => panic!("unexpected: {other:?}"),
    }
}

#[tokio::test]
async fn equal_errors_become_one_event_and_another_one_ends_the_wait() {
    let (mut faults, now) = (Faults::default(), Instant::now());
    assert_eq!(faults.due(), None);
    assert_eq!(faults.add("b", "away".into(), now), None);
    assert_eq!(faults.add("a", "away".into(), now + WINDOW / 2), None);
    assert_eq!(faults.due(), Some(now + WINDOW), "counted from the first");
    let first = faults.add("c", "mad".into(), now + WINDOW / 2).unwrap();
    assert_eq!(told(&first), "NODE_ERROR a b: away");
    assert_eq!(faults.due(), Some(now + WINDOW / 2 + WINDOW));
    assert_eq!(told(&faults.take().unwrap()), "NODE_ERROR c: mad");
    assert_eq!(faults.take(), None);
}
