//! Every kind of load against its server, over the loop-back device.

use super::*;

fn served() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("bind")
}

fn made(kind: Kind, listener: &TcpListener) -> Done {
    let to = listener.local_addr().expect("address");
    make(kind, to, Duration::from_millis(50)).expect("load")
}

#[test]
fn a_stream_counts_what_was_written_within_the_window() {
    let listener = served();
    let done = std::thread::scope(|scope| {
        scope.spawn(|| drain(listener.accept().expect("accept").0));
        made(Kind::Throughput, &listener)
    });
    assert!(
        done.units >= WRITE as u64 && done.units.is_multiple_of(WRITE as u64),
        "{done:?}"
    );
    assert!(done.seconds >= 0.05, "{done:?}");
}

#[test]
fn requests_are_counted_one_by_one() {
    let listener = served();
    let done = std::thread::scope(|scope| {
        scope.spawn(|| echo(listener.accept().expect("accept").0));
        made(Kind::RequestResponse, &listener)
    });
    assert!(done.units > 10, "{done:?}");
}

#[test]
fn each_request_of_a_connection_kind_has_a_connection_of_its_own() {
    let listener = served();
    let to = listener.local_addr().expect("address");
    let (done, accepted) = std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            let mut accepted = 0_u64;
            loop {
                let (stream, _) = listener.accept().expect("accept");
                if answer(stream).is_err() {
                    return accepted;
                }
                accepted += 1;
            }
        });
        let done = made(Kind::ConnectRequestClose, &listener);
        // One that asks nothing ends the server.
        drop(TcpStream::connect(to).expect("connect"));
        (done, server.join().expect("server"))
    });
    assert!(
        done.units > 0 && accepted >= done.units,
        "{done:?}, {accepted} accepted"
    );
}

#[test]
fn a_server_that_is_not_there_is_a_failure_that_names_it() {
    let listener = served();
    let to = listener.local_addr().expect("address");
    drop(listener);
    let error = make(Kind::RequestResponse, to, Duration::from_millis(1)).expect_err("refused");
    assert!(error.to_string().contains(&to.to_string()), "{error:#}");
}

#[test]
fn of_a_connect_only_the_connect_counts() {
    let listener = served();
    let slow = Duration::from_millis(2);
    let done = std::thread::scope(|scope| {
        scope.spawn(|| {
            let end = Instant::now() + Duration::from_millis(500);
            listener.set_nonblocking(true).expect("set");
            while Instant::now() < end {
                if let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(false).expect("set");
                    std::thread::sleep(slow);
                    let _ = answer(stream);
                }
            }
        });
        made(Kind::Connect, &listener)
    });
    assert!(done.units > 0, "{done:?}");
    assert!(
        done.seconds < done.units as f64 * slow.as_secs_f64() / 2.0,
        "{done:?}: the answers counted too"
    );
}
