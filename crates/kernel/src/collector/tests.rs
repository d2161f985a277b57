use datapath::abi::Address;
use datapath::abi::connection::{Connection, ConnectionKey, flags, kind};

use super::alias_key;

fn address(last: u8) -> Address {
    Address::v4([10, 0, 0, last])
}

#[test]
fn the_alias_of_a_translated_connection_is_the_tuple_of_its_reply() {
    let (client, service, backend) = (address(1), address(200), address(9));
    let (key, client_is_low) = ConnectionKey::of((&client, 40_000), (&service, 80), 6, 0);
    assert!(client_is_low);
    let connection = Connection {
        flags: flags::INITIATOR_LOW | flags::DESTINATION_NAT,
        to: backend,
        to_port: 8080,
        ..Connection::default()
    };
    let (reply, _) = ConnectionKey::of((&backend, 8080), (&client, 40_000), 6, kind::ALIAS);
    assert_eq!(alias_key(&key, &connection), Some(reply));

    let masqueraded = Connection {
        flags: flags::INITIATOR_LOW | flags::SOURCE_NAT,
        from: address(100),
        from_port: 50_000,
        ..Connection::default()
    };
    let (reply, _) = ConnectionKey::of((&service, 80), (&address(100), 50_000), 6, kind::ALIAS);
    assert_eq!(alias_key(&key, &masqueraded), Some(reply));
    assert_eq!(alias_key(&key, &Connection::default()), None);
}
