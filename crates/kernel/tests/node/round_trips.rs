//! What sockets below the cgroup measure gets into their connections' entries.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use datapath::abi::Address;
use datapath::abi::connection::{Connection, ConnectionKey, RoundTrip, flags};

use crate::stage::Stage;

/// Questions and answers on one connection: more than a handshake.
const ROUNDS: usize = 20;
/// Each answer takes so long, by which the client's round trip is no shorter.
const ANSWER: Duration = Duration::from_millis(5);

/// What the child process of the next test does: it runs in the node's cgroup.
#[test]
fn child_that_asks_again_and_again() {
    let Ok(server) = std::env::var("AX_SERVER") else {
        return;
    };
    let mut stream = TcpStream::connect(server).expect("connect");
    stream.set_nodelay(true).expect("no delay");
    let mut answer = [0; 4];
    // The server begins, when it is ready.
    for _ in 0..=ROUNDS {
        stream.read_exact(&mut answer).expect("read");
        stream.write_all(b"ping").expect("write");
    }
    assert_eq!(stream.read(&mut answer).expect("the end"), 0);
}

/// The entry of the connection that a peer made to this listener, as the packet path makes it.
fn entry(kernel: &kernel::Kernel, client: SocketAddr, server: SocketAddr) -> ConnectionKey {
    let loopback = Address::v4(Ipv4Addr::LOCALHOST.octets());
    let (client, server) = (client.port().to_be(), server.port().to_be());
    let (key, is_low) = ConnectionKey::of((&loopback, client), (&loopback, server), 6, 0);
    let value = Connection {
        flags: if is_low { flags::INITIATOR_LOW } else { 0 },
        ..Connection::default()
    };
    kernel.maps.connections.set(&key, &value).expect("an entry");
    key
}

fn answers(mut stream: TcpStream) {
    stream.set_nodelay(true).expect("no delay");
    let mut word = *b"pong";
    for _ in 0..=ROUNDS {
        std::thread::sleep(ANSWER);
        stream.write_all(&word).expect("write");
        stream.read_exact(&mut word).expect("read");
    }
}

fn measured(stage: &Stage, kernel: &kernel::Kernel, server: &str) -> [RoundTrip; 2] {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let address = listener.local_addr().expect("address");
    let cgroup = stage.cgroup();
    kernel::attach::attach_round_trips(kernel, cgroup.path()).expect("attach");
    let to = format!("{server}:{}", address.port());
    let key = std::thread::scope(|scope| {
        let serving = scope.spawn(|| {
            let (stream, client) = listener.accept().expect("accept");
            let key = entry(kernel, client, address);
            answers(stream);
            key
        });
        let output = cgroup.run_test(
            "round_trips::child_that_asks_again_and_again",
            &[("AX_SERVER", &to)],
        );
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}");
        serving.join().expect("server")
    });
    kernel::attach::detach_round_trips(&kernel.pins).expect("detach");
    let entry = kernel.maps.connections.get(&key).expect("read");
    let entry = entry.expect("the entry");
    [entry.round_trip_sent, entry.round_trip_received]
}

#[test]
fn a_socket_of_the_cgroup_tells_its_round_trip_and_others_do_not() {
    let Some(stage) = Stage::new("rtt") else {
        return;
    };
    let kernel = stage.load();
    // The second is how a program with one socket for both families has an IPv4 connection.
    for server in ["127.0.0.1", "[::ffff:127.0.0.1]"] {
        let [client, other] = measured(&stage, &kernel, server);
        println!("{server}: {client:?}");
        assert_eq!(other, RoundTrip::default(), "not in the cgroup");
        let is_short = client.least_us > 0 && u128::from(client.least_us) < ANSWER.as_micros();
        assert!(is_short, "acknowledged at once: {client:?}");
        let smoothed = Duration::from_micros(client.smoothed_us.into());
        assert!(smoothed < 20 * ANSWER, "{client:?}");
        assert!(client.smoothed_us >= client.least_us, "{client:?}");
    }
}
