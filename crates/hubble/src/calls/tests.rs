use prometheus_client::registry::Registry;
use prost::bytes::Bytes;

use super::*;

fn lines(calls: &Arc<Calls>, wanted: &str) -> Vec<String> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Arc::clone(calls)));
    let text = daemon::metrics::text(&registry);
    text.lines()
        .filter(|line| line.starts_with(wanted))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn a_stream_is_counted_with_its_messages_and_its_end() {
    let calls = Arc::new(Calls::default());
    let replies = |all: Vec<Result<Bytes, Status>>| {
        let call = calls.started(Method::GetFlows);
        let answer = Response::new(futures::stream::iter(all).boxed());
        Calls::follow(Some(call), Ok(answer)).unwrap().into_inner()
    };
    let whole = replies(vec![Ok(Bytes::new()), Ok(Bytes::new())]);
    assert_eq!(whole.count().await, 2);
    let failing = replies(vec![Ok(Bytes::new()), Err(Status::unavailable("away"))]);
    assert_eq!(failing.count().await, 2);
    drop(replies(vec![Ok(Bytes::new())]));
    let labels =
        "grpc_method=\"GetFlows\",grpc_service=\"observer.Observer\",grpc_type=\"server_stream\"";
    assert_eq!(
        lines(&calls, "grpc_server_handled_total"),
        [
            format!("grpc_server_handled_total{{{labels},grpc_code=\"OK\"}} 1"),
            format!("grpc_server_handled_total{{{labels},grpc_code=\"Canceled\"}} 1"),
            format!("grpc_server_handled_total{{{labels},grpc_code=\"Unavailable\"}} 1"),
        ]
    );
    let counted = |name: &str| lines(&calls, name).first().cloned().unwrap();
    assert_eq!(
        counted("grpc_server_started_total"),
        format!("grpc_server_started_total{{{labels}}} 3")
    );
    assert_eq!(
        counted("grpc_server_msg_sent_total"),
        format!("grpc_server_msg_sent_total{{{labels}}} 3")
    );
}

#[test]
fn paths_name_methods() {
    assert_eq!(
        Method::of("/observer.Observer/GetNodes"),
        Some(Method::GetNodes)
    );
    assert_eq!(Method::of("/observer.Observer/GetNode"), None);
    assert_eq!(Method::of(""), None);
    for (index, (method, ..)) in METHODS.iter().enumerate() {
        assert_eq!(*method as usize, index, "counts are found by position");
    }
}
