//! What a real client and a real server say to each other.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

type Said = Arc<Mutex<Script>>;

/// Passes on what comes, and writes it down.
async fn pass(
    mut from: tokio::io::ReadHalf<DuplexStream>,
    mut to: tokio::io::WriteHalf<DuplexStream>,
    direction: Direction,
    said: Said,
) {
    let mut buffer = vec![0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        {
            let mut script = said.lock().unwrap();
            *script = std::mem::take(&mut *script).say(direction, &buffer[..count]);
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// Answers every request by its path: `/STATUS/OCTETS`.
async fn serve(io: DuplexStream, table: u32) {
    let mut connection = h2::server::Builder::new()
        .max_header_list_size(1 << 20)
        .header_table_size(table)
        .handshake::<_, Bytes>(io)
        .await
        .unwrap();
    while let Some(accepted) = connection.accept().await {
        let (request, mut respond) = accepted.unwrap();
        tokio::spawn(async move {
            let parts: Vec<u16> = request
                .uri()
                .path()
                .split('/')
                .filter_map(|part| part.parse().ok())
                .collect();
            let grpc = request.uri().path().contains("Call");
            let mut body = request.into_body();
            while let Some(Ok(data)) = body.data().await {
                let _ = body.flow_control().release_capacity(data.len());
            }
            let mut answer = http::Response::builder()
                .status(parts[0])
                .header("server", "peer")
                .header("x-count", parts[1]);
            if grpc {
                answer = answer.header("content-type", "application/grpc");
            }
            let octets = Bytes::from(vec![b'r'; parts[1].into()]);
            let mut stream = respond
                .send_response(answer.body(()).unwrap(), octets.is_empty() && !grpc)
                .unwrap();
            if !octets.is_empty() || grpc {
                stream.send_data(octets, !grpc).unwrap();
            }
            if grpc {
                let mut trailers = http::HeaderMap::new();
                trailers.insert("grpc-status", "5".parse().unwrap());
                trailers.insert("grpc-message", "not found".parse().unwrap());
                stream.send_trailers(trailers).unwrap();
            }
        });
    }
}

/// A request: path, octets of its body, octets of a header of its own.
type Ask<'a> = (&'a str, usize, usize);

async fn ask(client: &h2::client::SendRequest<Bytes>, (path, octets, cookie): Ask<'_>) {
    let mut client = client.clone().ready().await.unwrap();
    let method = if octets > 0 { "POST" } else { "GET" };
    let mut request = http::Request::builder()
        .method(method)
        .uri(format!("http://shop{path}?secret=1"))
        .header("user-agent", "peer");
    if path.contains("Call") {
        request = request.header("content-type", "application/grpc");
    }
    if cookie > 0 {
        request = request.header("cookie", "c".repeat(cookie));
    }
    let (answer, mut body) = client
        .send_request(request.body(()).unwrap(), octets == 0)
        .unwrap();
    if octets > 0 {
        body.send_data(Bytes::from(vec![b'q'; octets]), true)
            .unwrap();
    }
    let mut answer = answer.await.unwrap().into_body();
    while let Some(Ok(data)) = answer.data().await {
        let _ = answer.flow_control().release_capacity(data.len());
    }
    let _ = answer.trailers().await;
}

/// What is said when these requests are sent, some after each other, those in one list at once.
fn said(rounds: &[&[Ask<'_>]], tables: [u32; 2]) -> Script {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let said = Said::default();
    runtime.block_on(async {
        let (client, near) = duplex(1 << 16);
        let (far, server) = duplex(1 << 16);
        let ((near_read, near_write), (far_read, far_write)) =
            (tokio::io::split(near), tokio::io::split(far));
        tokio::spawn(pass(
            near_read,
            far_write,
            Direction::ToServer,
            said.clone(),
        ));
        tokio::spawn(pass(
            far_read,
            near_write,
            Direction::ToClient,
            said.clone(),
        ));
        tokio::spawn(serve(server, tables[1]));
        let (send, connection) = h2::client::Builder::new()
            .header_table_size(tables[0])
            .handshake::<_, Bytes>(client)
            .await
            .unwrap();
        tokio::spawn(connection);
        for round in rounds {
            let mut asked = Vec::new();
            for one in *round {
                asked.push(Box::pin(ask(&send, *one)));
            }
            for one in asked {
                one.await;
            }
        }
    });
    drop(runtime);
    Arc::into_inner(said)
        .expect("the runtime is gone, and its tasks with it")
        .into_inner()
        .unwrap()
}

fn record((path, octets, _): Ask<'_>) -> Http {
    let parts: Vec<u16> = path
        .split('/')
        .filter_map(|part| part.parse().ok())
        .collect();
    let method = if octets > 0 { "POST" } else { "GET" };
    let mut record = Http {
        method: Seen::Known(method.into()),
        ..expected(path, parts[0], (octets as u64, parts[1].into()))
    };
    if path.contains("Call") {
        let (service, method) = path[1..].rsplit_once('/').unwrap();
        record.grpc = Seen::Known(Grpc {
            service: Seen::Known(service.into()),
            method: Seen::Known(method.into()),
            status: Seen::Known(5),
        });
    }
    record
}

fn check(rounds: &[&[Ask<'_>]], tables: [u32; 2]) {
    let script = said(rounds, tables);
    let expected: Vec<_> = rounds
        .iter()
        .flat_map(|round| round.iter().copied())
        .map(record)
        .collect();
    let faith = play_all(&script, &records(expected));
    assert!(faith.whole * 5 > faith.records, "{faith:?}");
}

#[test]
fn requests_one_after_the_other() {
    check(
        &[
            &[("/200/5", 0, 0)],
            &[("/404/0", 7, 0)],
            &[("/200/5", 0, 0)],
            &[("/503/9", 0, 0)],
        ],
        [4096, 4096],
    );
}

#[test]
fn calls_of_grpc_with_trailers() {
    check(
        &[
            &[("/shop.Cart/200/3/Call", 5, 0)],
            &[("/shop.Cart/200/0/Call", 5, 0)],
        ],
        [4096, 4096],
    );
}

#[test]
fn tables_of_other_sizes_and_none() {
    check(
        &[
            &[("/200/1", 0, 30)],
            &[("/200/2", 0, 60)],
            &[("/204/0", 0, 60)],
        ],
        [0, 100],
    );
    check(
        &[
            &[("/200/1", 0, 30)],
            &[("/200/2", 0, 60)],
            &[("/200/1", 0, 90)],
        ],
        [65_536, 65_536],
    );
}

#[test]
fn blocks_of_several_frames_and_requests_at_once() {
    let rounds: &[&[Ask<'_>]] = &[
        &[("/200/3000", 3000, 20_000)],
        &[("/200/1", 0, 0), ("/404/2", 1, 0), ("/500/3", 0, 0)],
    ];
    let script = said(rounds, [4096, 4096]);
    let expected: Vec<_> = rounds
        .iter()
        .flat_map(|round| round.iter().copied())
        .map(record)
        .collect();
    for most in [1, 7, 100, 1000, 9000] {
        for played in [
            script.clone(),
            script.in_segments_of(most),
            script.in_segments_of(most).reordered(),
        ] {
            // One octet at a time is more packets than the classification takes.
            if most > 1 {
                assert_eq!(
                    sorted(&played.play()),
                    sorted(&records(expected.clone())),
                    "{most}"
                );
            }
        }
    }
}
