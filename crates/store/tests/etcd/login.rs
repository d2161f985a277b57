//! An etcd that asks who its clients are.

use std::time::Duration;

use store::etcd::server::Server;
use store::etcd::{Error, Etcd, Identities, Options, Own, User};

use super::world::{self, World};

const PASSWORD: &str = "open sesame";

fn as_user(server: &Server, name: &str, password: &str) -> Etcd {
    let user = User {
        name: name.to_owned(),
        password: password.to_owned(),
    };
    let options = Options {
        user: Some(user),
        ..Options::at([server.url()])
    };
    Etcd::new(world::quick(options)).unwrap()
}

fn refusal(result: Result<(), Error>) -> String {
    match result {
        Err(Error::Refused { message, .. }) => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn only_who_says_who_he_is_reads_and_writes() {
    need!(world::etcd());
    let server = Server::start().unwrap();
    // Before etcd asks, a user does no harm.
    let etcd = as_user(&server, "agent", PASSWORD);
    etcd.put("a", "before").await.unwrap();
    server.ask_for_users("agent", PASSWORD).unwrap();
    etcd.put("a", "after").await.unwrap();
    assert_eq!(etcd.get("a").await.unwrap().unwrap().text(), Some("after"));

    let nobody = world::client(&server).put("a", "x").await;
    assert_eq!(refusal(nobody), "etcdserver: user name is empty");
    let wrong = as_user(&server, "agent", "guessed");
    let guarded = world::guard(&wrong);
    let said = wrong.put("a", "x").await.unwrap_err().to_string();
    assert_eq!(
        said,
        "etcd: authenticate agent: etcdserver: authentication failed, invalid user ID or password"
    );
    let mut health = wrong.health();
    let fault = health.wait_for(|of| of.fault.is_some()).await.unwrap();
    assert_eq!(fault.fault.as_deref(), Some(&*said));
    guarded.cancel();
    assert_eq!(etcd.get("a").await.unwrap().unwrap().text(), Some("after"));
}

#[tokio::test]
async fn tokens_that_are_lost_or_of_before_are_made_anew_and_nothing_is_missed() {
    let mut world = need!(World::start());
    world.server.ask_for_users("agent", PASSWORD).unwrap();
    let etcd = as_user(&world.server, "agent", PASSWORD);
    let guarded = world::guard(&etcd);
    let table = world.mirror_of(&etcd, "own/");
    let node = world.node_of(etcd.clone(), "a", Duration::from_secs(10));
    node.want([("own/1", Own::Leased("one".into()))]);
    world.until(&table, |rows| rows.len() == 1).await;
    // Under a lock, and with leases.
    let agent = Identities::new(etcd.clone(), "10.0.0.1".to_owned(), node.lease.clone());
    let labels = "k8s:app=shop;";
    let number = agent.number(labels, None, 1234..=1234).await.unwrap();
    assert_eq!(number, Some(1234));

    // Other users: tokens of before are refused. Then none is known any more.
    world.server.add_role("another", PASSWORD).unwrap();
    node.want([("own/2", Own::Leased("two".into()))]);
    world
        .until(&table, |rows| rows.len() == 1 && rows.contains_key("own/2"))
        .await;
    world.server.kill().unwrap();
    world.server.run().unwrap();
    node.want([("own/3", Own::Leased("three".into()))]);
    world
        .until(&table, |rows| rows.len() == 1 && rows.contains_key("own/3"))
        .await;
    let again = agent.number(labels, None, 1..=65535).await.unwrap();
    assert_eq!(again, Some(1234));
    // Many at once need one token.
    world.server.kill().unwrap();
    world.server.run().unwrap();
    let get = async || loop {
        match etcd.get("own/3").await {
            // The connection went with the member.
            Err(Error::Unanswered { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
            found => break found,
        }
    };
    let all = (0..50).map(|_| get());
    for found in futures::future::join_all(all).await {
        assert_eq!(found.unwrap().unwrap().text(), Some("three"));
    }
    let health = etcd.health().borrow().clone();
    assert_eq!(health.fault, None);
    guarded.cancel();
}
