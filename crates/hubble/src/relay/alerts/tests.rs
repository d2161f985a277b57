use axum::body::to_bytes;
use axum::http::Request;
use reconcile::{Table, TaskGroup};
use serde_json::{Value as Json, json};
use tower::ServiceExt;

use super::*;
use crate::relay::answers::Nodes;

/// An evaluation over no nodes; expressions need no counts.
fn evaluation(source: Source) -> Evaluation {
    let (_, peers) = Table::new("peers", &[]);
    let board = Board::new(Some(&source));
    let queries = Queries::new(Arc::new(Nodes::new(peers)));
    let delivery = Delivery::new(Vec::new(), &TaskGroup::new());
    Evaluation::new(source, queries, board, delivery)
}

async fn asked(board: &Board, path: &str) -> Json {
    let request = Request::get(format!("/api/v1/{path}"))
        .body(axum::body::Body::empty())
        .unwrap();
    let response = routes(board.clone()).oneshot(request).await.unwrap();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    serde_json::from_slice(&body).unwrap()
}

fn rules(expr: &str) -> String {
    format!(
        "groups: [{{name: g, rules: [{{alert: A, expr: '{expr}', labels: {{severity: low}}, annotations: {{summary: 'it is {{{{ $value }}}}'}}}}]}}]"
    )
}

#[tokio::test]
async fn an_alert_that_fires_is_listed_with_its_rule() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rules.yaml");
    std::fs::write(&path, rules("vector(2) > 1")).unwrap();
    let mut evaluation = evaluation(Source::File(path.clone()));
    let board = evaluation.board.clone();
    evaluation.read().await;
    let unknown = asked(&board, "rules").await;
    assert_eq!(
        unknown["data"]["groups"][0]["rules"][0]["health"],
        "unknown"
    );
    evaluation.evaluate().await;
    let listed = asked(&board, "rules").await;
    let group = &listed["data"]["groups"][0];
    assert_eq!(
        (&group["name"], &group["file"]),
        (&json!("g"), &json!(path.display().to_string()))
    );
    let rule = &group["rules"][0];
    for (key, expected) in [
        ("state", "firing"),
        ("name", "A"),
        ("query", "vector(2) > 1"),
        ("health", "ok"),
        ("type", "alerting"),
    ] {
        assert_eq!(rule[key], expected, "{rule}");
    }
    let alerts = asked(&board, "alerts").await;
    let alert = &alerts["data"]["alerts"][0];
    assert_eq!(
        alert["labels"],
        json!({ "alertname": "A", "severity": "low" })
    );
    assert_eq!(
        (&alert["annotations"]["summary"], &alert["value"]),
        (&json!("it is 2"), &json!("2e+00"))
    );
}

#[tokio::test]
async fn a_broken_file_is_named_and_the_last_good_rules_and_their_alerts_stay() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rules.yaml");
    std::fs::write(&path, rules("vector(2)")).unwrap();
    let mut evaluation = evaluation(Source::File(path.clone()));
    let board = evaluation.board.clone();
    evaluation.read().await;
    evaluation.evaluate().await;
    let good = asked(&board, "rules").await;
    assert_eq!(good.get("warnings"), None);
    std::fs::write(&path, rules("sum(")).unwrap();
    evaluation.read().await;
    let broken = asked(&board, "rules").await;
    assert_eq!(broken["data"], good["data"]);
    let warning = broken["warnings"][0].as_str().unwrap();
    for part in ["rules.yaml", "group \"g\"", "rule \"A\"", "parse error"] {
        assert!(warning.contains(part), "{warning}");
    }
    let other = rules("vector(2)").replace("]}]", "]}, {name: h}]");
    std::fs::write(&path, other).unwrap();
    evaluation.read().await;
    let mended = asked(&board, "rules").await;
    assert_eq!(mended.get("warnings"), None);
    assert_eq!(mended["data"]["groups"].as_array().unwrap().len(), 2);
    assert_eq!(
        mended["data"]["groups"][0]["rules"][0]["state"], "firing",
        "the rule is as it was"
    );
}

#[tokio::test]
async fn a_rule_that_cannot_be_evaluated_says_why_and_others_are_evaluated() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rules.yaml");
    let bad = rules("label_replace(vector(1), \"a\", \"b\", \"c\", \"(\")");
    let text = bad
        .replace("]}]", ", {alert: B, expr: 1}]}]")
        .replace("expr: 1}", "expr: '1'}");
    std::fs::write(&path, text).unwrap();
    let mut evaluation = evaluation(Source::File(path));
    evaluation.read().await;
    evaluation.evaluate().await;
    let listed = asked(&evaluation.board, "rules").await;
    let rules = &listed["data"]["groups"][0]["rules"];
    assert_eq!(
        (&rules[0]["health"], &rules[1]["health"]),
        (&json!("err"), &json!("ok"))
    );
    assert!(
        rules[0]["lastError"]
            .as_str()
            .unwrap()
            .contains("regular expression")
    );
    assert_eq!(rules[1]["state"], "firing");
}
