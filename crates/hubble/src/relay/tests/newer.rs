//! A node and a client that know more than the relay: what it does not understand passes through.

use std::{convert::Infallible, net::Ipv4Addr};

use prost::bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status,
    body::Body,
    client,
    codegen::{BoxFuture, http, http::uri::PathAndQuery},
    server::{Grpc, NamedService},
    service::Routes,
    transport::Endpoint,
};

use super::fleet::{Fleet, Plan, within};
use crate::{
    peer::PeerNode,
    relay::wire::Raw,
    server::{Security, Tcp},
};

/// Answers every request for flows with the request's own bytes, and a field that nobody knows.
#[derive(Clone)]
struct Echo;

/// 2000 unknown = 42
const UNKNOWN: [u8; 3] = [0x80, 0x7d, 42];

impl NamedService for Echo {
    const NAME: &'static str = "observer.Observer";
}

impl tower::Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let echo = tower::service_fn(|request: Request<Bytes>| async move {
                let asked = request.get_ref();
                let reply = [
                    &[0x12, asked.len() as u8 + 2, 0x1a, asked.len() as u8],
                    &asked[..],
                    &UNKNOWN,
                ];
                let reply = Ok::<_, Status>(Bytes::from(reply.concat()));
                Ok::<_, Status>(Response::new(futures::stream::iter([reply])))
            });
            Ok(Grpc::new(Raw).server_streaming(echo, request).await)
        })
    }
}

#[tokio::test]
async fn fields_that_the_relay_does_not_know_reach_the_node_and_the_client() {
    let fleet = Fleet::start(1, Plan::default()).await;
    let at = Ipv4Addr::new(127, 0, 0, 99);
    let address = (at, fleet.nodes[0].wire.address.port()).into();
    let server = Tcp::bind(address, Security::Plain).await.unwrap();
    let stop = CancellationToken::new();
    let ended = stop.clone();
    tokio::spawn(async move { server.serve(Routes::new(Echo), "x-version", &ended).await });
    let newer = PeerNode {
        cluster: "default".into(),
        name: "newer".into(),
        addresses: vec![at.into()],
    };
    fleet.peers.send_replace([newer].into());
    fleet
        .until(|nodes| nodes.len() == 1 && nodes[0].name == "newer" && nodes[0].state == 4)
        .await;
    let channel = Endpoint::from_shared(format!("http://{}", fleet.relay)).unwrap();
    let mut client = client::Grpc::new(channel.connect().await.unwrap());
    client.ready().await.unwrap();
    let path = PathAndQuery::from_static("/observer.Observer/GetFlows");
    let asked = Bytes::from_static(&UNKNOWN);
    let mut replies = client
        .server_streaming(Request::new(asked), path, Raw)
        .await
        .unwrap()
        .into_inner();
    let status = within(replies.message()).await.unwrap().unwrap();
    assert_eq!(status[0], 0x12, "the status of the nodes");
    let reply = within(replies.message()).await.unwrap().unwrap();
    let expected = [&[0x12, 5, 0x1a, 3][..], &UNKNOWN, &UNKNOWN].concat();
    assert_eq!(reply, expected);
    assert_eq!(within(replies.message()).await.unwrap(), None);
    stop.cancel();
    fleet.end().await;
}
