//! Connections over TLS: clients who trust the server, and clients of an older version who do not and say so.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use testkit::kubelet::RunningPod;

use super::traffic::{connect, listen, serve};
use crate::answers::at;

pub(super) const PORT: u16 = 443;
/// What clients ask for.
pub(super) const SERVER_NAME: &str = "vault.shop";
/// Handshakes that both sides agree on, of version 1.3, and those that the client ends, of version 1.2.
pub(super) const TRUST: u64 = 4;
pub(super) const DISTRUST: u64 = 2;
/// The alert of who does not know the authority.
pub(super) const UNKNOWN_CA: u64 = 48;

/// Shakes hands as often as it says above, with a request inside where it goes well.
pub(super) fn talk(client: &RunningPod, server: &RunningPod) {
    let made = rcgen::generate_simple_self_signed(vec![SERVER_NAME.to_owned()]);
    let made = made.expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let certificate = made.cert.der().clone();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS12, &TLS13])
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("a configuration");
    let config = Arc::new(config);
    let serving = serve(listen(server, PORT), TRUST + DISTRUST, move |stream| {
        answer(Arc::clone(&config), stream);
    });
    let of_client = |version, roots| {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(&[version]);
        let config = builder.expect("a version").with_root_certificates(roots);
        Arc::new(config.with_no_client_auth())
    };
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a root");
    let (knows, knows_not) = (
        of_client(&TLS13, roots),
        of_client(&TLS12, RootCertStore::empty()),
    );
    for _ in 0..TRUST {
        ask(&knows, connect(&client.sandbox, at(server, PORT))).expect("an answer");
    }
    for _ in 0..DISTRUST {
        let asked = ask(&knows_not, connect(&client.sandbox, at(server, PORT)));
        assert!(asked.is_err(), "the certificate is not trusted");
    }
    serving.join().expect("the server");
}

fn ask(config: &Arc<ClientConfig>, mut stream: TcpStream) -> std::io::Result<()> {
    let name = SERVER_NAME.try_into().expect("a name");
    let made = ClientConnection::new(Arc::clone(config), name);
    let mut connection = made.expect("a connection");
    let mut tls = rustls::Stream::new(&mut connection, &mut stream);
    tls.write_all(b"GET /secret HTTP/1.1\r\n\r\n")?;
    tls.read_exact(&mut [0; 2])?;
    connection.send_close_notify();
    connection.complete_io(&mut stream).map(drop)
}

/// Two octets for a request; nothing for who does not trust.
fn answer(config: Arc<ServerConfig>, mut stream: TcpStream) {
    let mut connection = ServerConnection::new(config).expect("a connection");
    let mut tls = rustls::Stream::new(&mut connection, &mut stream);
    let mut buffer = [0; 64];
    if tls.read(&mut buffer).is_ok_and(|length| length > 0) {
        tls.write_all(b"ok").expect("an answer");
        // Until the end.
        let _ = tls.read(&mut buffer);
    }
}
