//! The requests that need no connection of their own, over HTTP/2.

use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use testkit::kubelet::RunningPod;

use super::{HTTP2, PATIENCE, Request, SLOW, THINKS, sent_to};
use crate::answers::at;

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

/// Sends all of them over one connection, one after the other; how long the slow ones took.
pub(super) fn request(client: &RunningPod, server: &RunningPod, times: u64) -> Vec<Duration> {
    let serving = serve(server);
    let connect = || TcpStream::connect_timeout(&at(server, HTTP2), PATIENCE);
    let stream = client.sandbox.run(connect).expect("a namespace");
    let stream = stream.expect("a connection");
    stream.set_nonblocking(true).expect("not blocking");
    let work = async {
        let stream = tokio::net::TcpStream::from_std(stream).expect("a stream");
        let (sender, connection) = h2::client::handshake(stream).await.expect("a handshake");
        let asking = async {
            let mut slow = Vec::new();
            for of in sent_to(HTTP2) {
                for _ in 0..of.count * times {
                    let took = exchange(sender.clone(), of).await;
                    if of.path == SLOW {
                        slow.push(took);
                    }
                }
            }
            slow
        };
        tokio::pin!(connection);
        let slow = tokio::select! {
            slow = asking => slow,
            ended = &mut connection => panic!("the connection ended: {ended:?}"),
        };
        drop(sender);
        connection.await.expect("an end in order");
        slow
    };
    let slow = runtime().block_on(work);
    serving.join().expect("the server");
    slow
}

async fn exchange(sender: h2::client::SendRequest<bytes::Bytes>, of: &Request) -> Duration {
    let request = http::Request::builder()
        .method(of.method)
        .uri(format!("http://shop{}", of.path))
        .body(())
        .expect("a request");
    let mut sender = sender.ready().await.expect("it is ready");
    let begun = Instant::now();
    let is_whole = of.sent == 0;
    let (answer, mut body) = sender.send_request(request, is_whole).expect("a request");
    if !is_whole {
        body.send_data(vec![b'x'; of.sent].into(), true)
            .expect("a body");
    }
    let answer = answer.await.expect("an answer");
    let took = begun.elapsed();
    assert_eq!(Some(answer.status().as_u16()), of.status, "{}", of.path);
    assert_eq!(read(answer.into_body()).await, of.got, "{}", of.path);
    took
}

async fn read(mut body: h2::RecvStream) -> usize {
    let mut read = 0;
    while let Some(octets) = body.data().await {
        let length = octets.expect("a body").len();
        read += length;
        let flow = body.flow_control();
        flow.release_capacity(length).expect("capacity");
    }
    read
}

/// Serves one connection.
fn serve(server: &RunningPod) -> JoinHandle<()> {
    let listener = server.sandbox.run(|| TcpListener::bind(at(server, HTTP2)));
    let listener = listener.expect("a namespace").expect("a listener");
    listener.set_nonblocking(true).expect("not blocking");
    let work = async {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut connection = h2::server::handshake(stream).await.expect("a handshake");
        let mut answers = tokio::task::JoinSet::new();
        while let Some(request) = connection.accept().await {
            let (request, respond) = request.expect("a request");
            answers.spawn(answer(request, respond));
        }
        answers.join_all().await;
    };
    std::thread::spawn(move || runtime().block_on(work))
}

async fn answer(
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<bytes::Bytes>,
) {
    let path = request.uri().path().to_owned();
    let of = sent_to(HTTP2).find(|of| of.path == path);
    let of = of.expect("a path of the table");
    assert_eq!(read(request.into_body()).await, of.sent, "{path}");
    if of.path == SLOW {
        tokio::time::sleep(THINKS).await;
    }
    let head = http::Response::builder()
        .status(of.status.expect("an answer"))
        .body(())
        .expect("an answer");
    let mut body = respond.send_response(head, false).expect("an answer");
    body.send_data(vec![b'x'; of.got].into(), true)
        .expect("a body");
}
