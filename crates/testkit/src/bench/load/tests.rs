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
    let (done, answered) = std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            let mut stream = listener.accept().expect("accept").0;
            std::iter::repeat_with(|| reply(&mut stream))
                .take_while(Result::is_ok)
                .count() as u64
        });
        let done = made(Kind::RequestResponse, &listener);
        (done, server.join().expect("server"))
    });
    // More were answered, in the warm time.
    assert!(
        done.units > 0 && answered >= done.units,
        "{done:?}, {answered} answered"
    );
}

/// Answers one connection after the other, each after a pause, until one asks nothing; how many did.
fn answer_each(listener: &TcpListener, pause: Duration) -> u64 {
    let mut answered = 0;
    loop {
        let (stream, _) = listener.accept().expect("accept");
        std::thread::sleep(pause);
        if answer(stream).is_err() {
            return answered;
        }
        answered += 1;
    }
}

/// What was done, and how many connections were answered meanwhile.
fn with_connections(kind: Kind, pause: Duration) -> (Done, u64) {
    let listener = served();
    std::thread::scope(|scope| {
        let server = scope.spawn(|| answer_each(&listener, pause));
        let done = made(kind, &listener);
        let to = listener.local_addr().expect("address");
        drop(TcpStream::connect(to).expect("connect"));
        (done, server.join().expect("server"))
    })
}

#[test]
fn each_request_of_a_connection_kind_has_a_connection_of_its_own() {
    let (done, accepted) = with_connections(Kind::ConnectRequestClose, Duration::ZERO);
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
    let slow = Duration::from_millis(2);
    let (done, _) = with_connections(Kind::Connect, slow);
    assert!(done.units > 0, "{done:?}");
    assert!(
        done.seconds < done.units as f64 * slow.as_secs_f64() / 2.0,
        "{done:?}: the answers counted too"
    );
}

#[test]
fn paced_connections_come_as_often_as_they_are_due_and_no_oftener() {
    let (done, _) = with_connections(Kind::PacedConnections, Duration::ZERO);
    // Those that were due in the warm time may be made within the window.
    let due = (done.seconds + WARM.as_secs_f64()) * f64::from(PACE) + 1.0;
    assert!(done.units > 0 && done.units as f64 <= due, "{done:?}");
}
