//! Calls of gRPC, of which the server refuses some.

use std::thread::JoinHandle;

use testkit::kubelet::RunningPod;

use super::traffic::{connect, listen};
use crate::answers::at;

pub(super) const PORT: u16 = 50051;
pub(super) const CALL: &str = "/shop.Cart/Get";
/// Codes, and how many calls each has: one of them says that the server is not there.
pub(super) const CODES: &[(u8, u64)] = &[(0, 5), (14, 3)];

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

fn codes() -> impl Iterator<Item = u8> {
    let all = CODES.iter();
    all.flat_map(|(code, count)| std::iter::repeat_n(*code, usize::try_from(*count).expect("few")))
}

/// Calls as often as the table says, over one connection.
pub(super) fn call(client: &RunningPod, server: &RunningPod) {
    let serving = serve(server);
    let stream = connect(&client.sandbox, at(server, PORT));
    stream.set_nonblocking(true).expect("not blocking");
    runtime().block_on(async {
        let stream = tokio::net::TcpStream::from_std(stream).expect("a stream");
        let (sender, connection) = h2::client::handshake(stream).await.expect("a handshake");
        let calling = async {
            for code in codes() {
                call_once(sender.clone(), code).await;
            }
        };
        tokio::pin!(connection);
        tokio::select! {
            () = calling => {}
            ended = &mut connection => panic!("the connection ended: {ended:?}"),
        }
        drop(sender);
        connection.await.expect("an end in order");
    });
    serving.join().expect("the server");
}

async fn call_once(sender: h2::client::SendRequest<bytes::Bytes>, code: u8) {
    let request = http::Request::post(format!("http://shop{CALL}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("a request");
    let mut sender = sender.ready().await.expect("it is ready");
    let (answer, mut body) = sender.send_request(request, false).expect("a request");
    // A message without octets.
    body.send_data(vec![0; 5].into(), true).expect("a body");
    let mut body = answer.await.expect("an answer").into_body();
    while let Some(octets) = body.data().await {
        let length = octets.expect("a body").len();
        body.flow_control()
            .release_capacity(length)
            .expect("capacity");
    }
    let trailers = body.trailers().await.expect("an end").expect("trailers");
    assert_eq!(trailers["grpc-status"], code.to_string());
}

/// Serves one connection, on which each call has the next code.
fn serve(server: &RunningPod) -> JoinHandle<()> {
    let listener = listen(server, PORT);
    listener.set_nonblocking(true).expect("not blocking");
    let work = async {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut connection = h2::server::handshake(stream).await.expect("a handshake");
        let mut codes = codes();
        while let Some(call) = connection.accept().await {
            let (_, mut respond) = call.expect("a call");
            let head = http::Response::builder().header("content-type", "application/grpc");
            let head = head.body(()).expect("an answer");
            let mut body = respond.send_response(head, false).expect("an answer");
            body.send_data(vec![0; 5].into(), false).expect("a body");
            let code = codes.next().expect("no more than these");
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", code.to_string().parse().expect("a value"));
            body.send_trailers(trailers).expect("trailers");
        }
    };
    std::thread::spawn(move || runtime().block_on(work))
}
