use api::hubble::peer::Tls;

use super::*;

#[test]
fn a_change_is_one_line() {
    let change = ChangeNotification {
        name: "n1".into(),
        address: "10.0.0.1:4244".into(),
        r#type: ChangeNotificationType::PeerAdded.into(),
        tls: Some(Tls {
            server_name: "n1.default.hubble-grpc.cilium.io".into(),
        }),
    };
    assert_eq!(
        line(&change),
        "PEER_ADDED   10.0.0.1:4244 n1 (TLS.ServerName: n1.default.hubble-grpc.cilium.io)"
    );
    let plain = ChangeNotification {
        tls: None,
        r#type: 9,
        ..change
    };
    assert_eq!(line(&plain), "UNKNOWN      10.0.0.1:4244 n1");
}
