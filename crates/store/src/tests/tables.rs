use std::time::Duration;

use api::kubernetes::Namespace;
use tokio_util::sync::CancellationToken;

use super::fake::{Fake, client, follow, serve, until_equal, until_rows};
use crate::Scope;

#[tokio::test]
async fn a_table_follows_the_server_through_faults_and_compactions() {
    let fake = Fake::new(10);
    for n in 0..20 {
        fake.set(&format!("n{n:02}"), "first");
    }
    let client = client(&[serve(&fake).await]).await;
    let stop = CancellationToken::new();
    let table = follow(&client, &stop);
    until_equal(&table, &fake).await;
    for round in 0..30 {
        fake.set(&format!("n{:02}", round % 20), &round.to_string());
        fake.set(&format!("m{round}"), "new");
        if round % 3 == 0 {
            fake.remove(&format!("m{round}"));
        }
        if round % 10 == 5 {
            fake.compact();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    until_equal(&table, &fake).await;
    stop.cancel();
}

#[tokio::test]
async fn a_watch_costs_no_second_list_while_all_is_well() {
    let fake = Fake::new(0);
    fake.set("a", "1");
    let client = client(&[serve(&fake).await]).await;
    let stop = CancellationToken::new();
    let table = follow(&client, &stop);
    until_equal(&table, &fake).await;
    fake.set("b", "2");
    fake.remove("a");
    until_equal(&table, &fake).await;
    assert_eq!(fake.state.lock().unwrap().lists, 1);
    stop.cancel();
}

#[tokio::test]
async fn a_table_is_not_initialized_and_not_emptied_while_the_server_is_away() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let client = client(&[dead]).await;
    let stop = CancellationToken::new();
    let table = follow(&client, &stop);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!table.snapshot().is_initialized());
    stop.cancel();
}

#[tokio::test]
async fn an_error_names_verb_path_and_status() {
    let fake = Fake::new(100);
    let client = client(&[serve(&fake).await]).await;
    let error = client
        .list_page::<Namespace>(&Scope::all(), 10, "")
        .await
        .unwrap_err();
    assert_eq!(error.status(), Some(500), "{error}");
    assert!(
        error
            .to_string()
            .starts_with("list /api/v1/namespaces?limit=10: 500"),
        "{error}"
    );
}

#[tokio::test]
async fn an_object_that_cannot_be_read_keeps_its_last_row_and_stops_no_other() {
    let fake = Fake::new(0);
    fake.set("a", "broken");
    fake.set("b", "good");
    let client = client(&[serve(&fake).await]).await;
    let stop = CancellationToken::new();
    let table = follow(&client, &stop);
    until_rows(&table, &[("b", "good")]).await;
    fake.set("b", "broken");
    fake.set("c", "good");
    until_rows(&table, &[("b", "good"), ("c", "good")]).await;
    fake.set_and_compact("d", "good");
    until_rows(&table, &[("b", "good"), ("c", "good"), ("d", "good")]).await;
    assert_eq!(fake.state.lock().unwrap().lists, 2, "it was listed again");
    fake.set("b", "mended");
    fake.remove("a");
    until_rows(&table, &[("b", "mended"), ("c", "good"), ("d", "good")]).await;
    fake.set("b", "broken");
    fake.remove("b");
    until_rows(&table, &[("c", "good"), ("d", "good")]).await;
    stop.cancel();
}
