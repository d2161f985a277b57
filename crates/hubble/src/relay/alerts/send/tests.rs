use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::post as on_post;
use tokio::net::TcpListener;

use super::super::rules;
use super::super::state::{Alerts, advance};
use super::*;

/// An alert that fires, and the same when it is over.
fn alerts() -> (Vec<Alert>, Vec<Alert>) {
    let text = "groups: [{name: g, rules: [{alert: A, expr: up, annotations: {summary: s}}]}]";
    let rule = rules::read(text).unwrap().remove(0).rules.remove(0);
    let mut alerts = Alerts::new();
    let found = [([("source", "web")].into_iter().collect(), 1.0)];
    let firing = advance(&rule, &mut alerts, &found, 1_700_000_000_000).unwrap();
    let over = advance(&rule, &mut alerts, &[], 1_700_000_060_000).unwrap();
    (firing, over)
}

#[test]
fn alertmanager_is_given_a_list_with_ends() {
    let (firing, over) = alerts();
    let expected = json!([{
        "labels": { "alertname": "A", "source": "web" },
        "annotations": { "summary": "s" },
        "startsAt": "2023-11-14T22:13:20Z",
        "endsAt": "2023-11-14T22:18:20Z",
    }]);
    assert_eq!(
        message(Shape::Alertmanager, &firing, 1_700_000_060_000),
        expected
    );
    assert_eq!(
        message(Shape::Alertmanager, &over, 1_700_000_090_000)[0]["endsAt"],
        "2023-11-14T22:14:20Z"
    );
}

#[test]
fn a_webhook_is_given_what_changed() {
    let (firing, over) = alerts();
    let told = message(Shape::Webhook, &firing, 0);
    assert_eq!(
        (&told["status"], &told["alerts"][0]["status"]),
        (&json!("firing"), &json!("firing"))
    );
    let told = message(Shape::Webhook, &over, 0);
    assert_eq!(
        (&told["status"], &told["alerts"][0]["endsAt"]),
        (&json!("resolved"), &json!("2023-11-14T22:14:20Z"))
    );
}

#[test]
fn a_destination_is_an_address_of_http() {
    let uri =
        |shape, text| Destination::new(shape, text).map(|destination| destination.uri.to_string());
    assert_eq!(
        uri(Shape::Alertmanager, "http://am:9093/"),
        Ok("http://am:9093/api/v2/alerts".into())
    );
    assert_eq!(
        uri(Shape::Webhook, "http://hook:80/x?y=1"),
        Ok("http://hook:80/x?y=1".into())
    );
    for bad in ["am:9093", "https://am", "", "http://", "ftp://am"] {
        assert!(uri(Shape::Webhook, bad).is_err(), "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again_and_what_is_refused_is_not() {
    // The first answer is an error of the server, the one to the second message is one of the client.
    let answers = [503, 200, 400, 200];
    let (told, heard) = mpsc::channel(8);
    let place = Arc::new(Mutex::new(answers.into_iter()));
    let routes = Router::new().route(
        "/hook",
        on_post(move |body: String| async move {
            let code = place.lock().unwrap().next().unwrap_or(500);
            told.send((code, body)).await.unwrap();
            StatusCode::from_u16(code).unwrap()
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, routes).await });
    let (queue, messages) = mpsc::channel(8);
    for message in ["one", "two", "three"] {
        queue.send(message.to_owned()).await.unwrap();
    }
    let stop = CancellationToken::new();
    let to = Destination::new(Shape::Webhook, &format!("http://{address}/hook")).unwrap();
    let sending = tokio::spawn(deliver(to, messages, stop.clone()));
    let mut heard = heard;
    let mut all = Vec::new();
    while all.len() < 4 {
        all.push(heard.recv().await.unwrap());
    }
    let expected = [(503, "one"), (200, "one"), (400, "two"), (200, "three")];
    assert_eq!(all, expected.map(|(code, body)| (code, body.to_owned())));
    stop.cancel();
    sending.await.unwrap();
    server.abort();
}

#[tokio::test]
async fn who_does_not_answer_has_a_bounded_queue_and_holds_up_nobody() {
    let destinations = ["http://127.0.0.1:9/a", "http://127.0.0.1:9/b"]
        .map(|text| Destination::new(Shape::Webhook, text).unwrap());
    let mut receivers = Vec::new();
    let queues = destinations.into_iter().map(|destination| {
        let (queue, messages) = mpsc::channel(2);
        receivers.push(messages);
        (destination, queue)
    });
    let delivery = Delivery {
        queues: queues.collect(),
    };
    let (firing, _) = alerts();
    for _ in 0..5 {
        delivery.changed(&firing, 0);
        // The first reads, the second does not.
        receivers[0].try_recv().unwrap();
    }
    assert_eq!(receivers[1].len(), 2);
    delivery.again(&firing, 0);
    assert!(
        receivers[0].is_empty(),
        "a webhook is told of changes alone"
    );
}
