//! What the sockets of both ends measure gets into the connection's entry, each on its own side.
#![allow(clippy::unwrap_used, reason = "tests")]

use datapath::{
    abi::{Address, connection::RoundTrip},
    maps::Table,
    paths::round_trip::{End, note},
    world::{World, run_case},
};

const CLIENT: (&str, u16) = ("10.0.1.5", 40000);
const BACKEND: (&str, u16) = ("10.0.1.6", 80);

const DIRECT: &str = "topology\n\
    packet from_container 5 | eth m5>m105 | ipv4 10.0.1.5>10.0.1.6 | tcp 40000>80 S seq=100\n\
    packet from_container 6 | eth m6>m106 | ipv4 10.0.1.6>10.0.1.5 | tcp 80>40000 SA seq=500 ack=101\n";
const BY_SERVICE: &str = "topology\n\
    set services=1\n\
    frontend 10.96.0.11 8000 tcp service=7 slots=1\n\
    slot 7 0 53\n\
    backend 53 10.0.1.6 80 tcp\n\
    packet from_container 5 | eth m5>m105 | ipv4 10.0.1.5>10.96.0.11 | tcp 40000>8000 S seq=100\n\
    packet from_container 6 | eth m6>m106 | ipv4 10.0.1.6>10.0.1.5 | tcp 80>40000 SA seq=500 ack=101\n";

fn end((address, port): (&str, u16)) -> End {
    let address: std::net::Ipv4Addr = address.parse().unwrap();
    End {
        address: Address::v4(address.octets()),
        port: port.to_be(),
    }
}

const fn measured(smoothed_us: u32) -> RoundTrip {
    RoundTrip {
        smoothed_us,
        least_us: smoothed_us / 2,
    }
}

fn told(world: &World) -> [RoundTrip; 2] {
    let entries = world.entries(Table::Answered);
    let (_, entry) = entries.first().unwrap();
    [entry.round_trip_sent, entry.round_trip_received]
}

#[test]
fn each_end_is_told_on_its_side_also_where_the_client_asked_for_a_service() {
    for (history, asked) in [(DIRECT, BACKEND), (BY_SERVICE, ("10.96.0.11", 8000))] {
        let mut world = World::default();
        run_case(history, &mut world);
        assert_eq!(told(&world), [RoundTrip::default(); 2]);
        note(&end(CLIENT), &end(asked), measured(300), &world);
        assert_eq!(told(&world), [measured(300), RoundTrip::default()]);
        note(&end(BACKEND), &end(CLIENT), measured(700), &world);
        assert_eq!(told(&world), [measured(300), measured(700)]);
    }
}

#[test]
fn who_has_no_connection_here_changes_nothing() {
    let mut world = World::default();
    run_case(BY_SERVICE, &mut world);
    for (local, remote) in [
        // A process of the node, another port, and a client that never saw the backend.
        (("192.168.0.1", 40000), BACKEND),
        (("10.0.1.5", 40001), ("10.96.0.11", 8000)),
        (CLIENT, BACKEND),
    ] {
        note(&end(local), &end(remote), measured(300), &world);
        assert_eq!(told(&world), [RoundTrip::default(); 2], "{local:?}");
    }
}
