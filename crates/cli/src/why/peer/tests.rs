//! Two flow servers as two nodes have them: that of this one over a unix socket, that of the other over TCP with mutual TLS.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hubble::intake::Intake;
use hubble::names::NoNames;
use hubble::observer::{Config, Observer};
use hubble::peer::{PeerConfig, PeerNode, PeerService, PeerTls, Prefer, server_name};
use hubble::records::{Judgement, Mode, Party as End, Record, Side, What};
use hubble::ring::{Capacity, Ring};
use hubble::server::{Listen, Security, Server as FlowServer, TlsFiles};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::super::party::{Party, Port, Protocol};
use super::*;

const BATCH: [u8; 4] = [10, 0, 0, 9];
const API: [u8; 4] = [10, 0, 1, 2];
/// Where the other node's server listens here.
const OTHER: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A denial as the other node saw it.
fn denial() -> Record {
    let end = |address: [u8; 4], port, identity, endpoint| End {
        address: address.into(),
        port,
        identity,
        endpoint,
    };
    Record {
        time_ns: 1_700_000_000_000_000_000,
        source: end(BATCH, 40000, 1009, 0),
        destination: end(API, 8080, 1002, 8),
        asked: None,
        translated_source: None,
        protocol: 6,
        tcp_flags_or_icmp_type: 2,
        icmp_code: 0,
        interface: 3,
        macs: None,
        what: What::Denied {
            side: Side::Ingress,
            judgement: Judgement {
                rule: 0,
                match_type: 0,
                mode: Mode::Enforced,
                proxy_port: 0,
            },
            reason: 133,
        },
    }
}

/// The files of one who has a certificate.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn write(&self, path: &Path) -> PathBuf {
        fs::write(path, self.0.pem()).unwrap();
        path.to_owned()
    }

    fn issue(&self, directory: &Path, name: &str) -> Files {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let files = Files {
            certificate: directory.join(format!("{name}.crt")),
            key: directory.join(format!("{name}.key")),
        };
        fs::write(
            &files.certificate,
            params.signed_by(&key, &self.0).unwrap().pem(),
        )
        .unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }
}

struct Nodes {
    runtime: Runtime,
    directory: tempfile::TempDir,
    authority: PathBuf,
    client: Files,
    port: u16,
}

fn observer(records: &[Record]) -> Observer {
    let ring = Arc::new(Ring::new(Capacity::default()));
    let intake = Intake::new(ring, Arc::new(NoNames));
    for record in records {
        intake.record(*record);
    }
    Observer::new(&intake, Config::default(), CancellationToken::new())
}

fn peers(port: u16) -> PeerService {
    let node = |name: &str, address: Ipv4Addr| PeerNode {
        cluster: "default".into(),
        name: name.into(),
        addresses: vec![address.into()],
    };
    let nodes = [node("n1", Ipv4Addr::new(127, 0, 0, 7)), node("n2", OTHER)];
    let (sender, nodes) = tokio::sync::watch::channel(Arc::from(nodes));
    // The nodes do not change as long as somebody may ask.
    std::mem::forget(sender);
    let config = PeerConfig {
        port,
        prefer: Prefer::Ipv4,
        tls: PeerTls::Named,
    };
    PeerService::new(nodes, config, CancellationToken::new())
}

/// Starts both servers.
fn nodes() -> Nodes {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let name = server_name("default", "n2");
    let server = authority.issue(directory.path(), &name);
    let client = authority.issue(directory.path(), "client");
    let authority = authority.write(&directory.path().join("ca.crt"));
    let tls = Security::Tls(TlsFiles {
        certificate: server.certificate,
        key: server.key,
        client_authorities: vec![authority.clone()],
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let port = runtime.block_on(async {
        let listen = Listen {
            socket: None,
            tcp: Some(((OTHER, 0).into(), tls)),
        };
        let other = FlowServer::bind(observer(&[denial()]), peers(0), listen)
            .await
            .unwrap();
        let port = other.tcp_address().unwrap().port();
        let listen = Listen {
            socket: Some(directory.path().join("hubble.sock")),
            tcp: None,
        };
        let local = FlowServer::bind(observer(&[]), peers(port), listen)
            .await
            .unwrap();
        for server in [other, local] {
            tokio::spawn(server.run(CancellationToken::new()));
        }
        port
    });
    Nodes {
        runtime,
        directory,
        authority,
        client,
        port,
    }
}

impl Nodes {
    /// Flags with the socket of this node, and with certificates.
    fn servers(&self) -> Servers {
        Servers {
            peer_server: None,
            connect: ConnectArgs {
                tls_ca_cert_files: vec![self.authority.clone()],
                tls_client_cert_file: Some(self.client.certificate.clone()),
                tls_client_key_file: Some(self.client.key.clone()),
                ..self.without_certificates().connect
            },
        }
    }

    fn without_certificates(&self) -> Servers {
        let socket = self.directory.path().join("hubble.sock");
        Servers {
            peer_server: None,
            connect: ConnectArgs::to(format!("unix://{}", socket.display())),
        }
    }
}

fn question(place: Place) -> Question {
    let party = |address: [u8; 4], place| Party {
        name: "shop/x".into(),
        address: address.into(),
        identity: 1000,
        labels: String::new(),
        place,
    };
    let here = Place::Here {
        endpoint: 9,
        interface: "lxc9".into(),
    };
    let port = Port {
        number: 8080,
        protocol: Protocol::Tcp,
    };
    Question {
        from: party(BATCH, here),
        to_name: "shop/x".into(),
        service: None,
        targets: vec![(party(API, place), port)],
    }
}

fn there(address: Ipv4Addr) -> Question {
    question(Place::There {
        node: "n2".into(),
        address: address.to_string(),
    })
}

#[track_caller]
fn saw_the_denial(half: Option<Half>) {
    let Some(Half::Known(lines)) = half else {
        panic!("{half:?}")
    };
    let [line] = lines.as_slice() else {
        panic!("one drop: {lines:?}")
    };
    assert!(
        line.contains("DROPPED POLICY_DENIED INGRESS 10.0.0.9 → 10.0.1.2"),
        "{line}"
    );
}

#[track_caller]
fn unknown(half: Option<Half>, words: &[&str]) {
    let Some(Half::Unknown(why)) = half else {
        panic!("{half:?}")
    };
    for word in words {
        assert!(why.contains(word), "{word:?} is not in {why:?}");
    }
}

#[test]
fn the_other_nodes_half_comes_from_the_server_that_this_nodes_server_names() {
    let nodes = nodes();
    // The address that the agent has for the node is not asked when its server is known.
    saw_the_denial(ask(&nodes.servers(), &there(Ipv4Addr::new(192, 0, 2, 1))));
    drop(nodes.runtime);
}

#[test]
fn a_server_that_is_named_is_asked_with_the_name_of_its_certificate() {
    let nodes = nodes();
    let mut servers = nodes.servers();
    servers.peer_server = Some(format!("tls://{OTHER}:{}", nodes.port));
    servers.connect.tls_server_name = Some(server_name("default", "n2"));
    saw_the_denial(ask(&servers, &there(OTHER)));
    servers.connect.tls_server_name = Some("n3.default.hubble-grpc.cilium.io".into());
    unknown(
        ask(&servers, &there(OTHER)),
        &["node n2", &nodes.port.to_string()],
    );
}

#[test]
fn without_the_right_certificates_the_half_is_unknown_and_says_what_is_missing() {
    let nodes = nodes();
    unknown(
        ask(&nodes.without_certificates(), &there(OTHER)),
        &["node n2", "--tls-ca-cert-files", "--tls-client-cert-file"],
    );
    let stranger = Authority::new();
    let mut servers = nodes.servers();
    let foreign = stranger.issue(nodes.directory.path(), "stranger");
    servers.connect.tls_client_cert_file = Some(foreign.certificate);
    servers.connect.tls_client_key_file = Some(foreign.key);
    unknown(ask(&servers, &there(OTHER)), &["node n2"]);
}

#[test]
fn without_a_local_server_the_nodes_address_and_usual_port_are_asked() {
    let servers = Servers {
        peer_server: None,
        connect: ConnectArgs::to("unix:///nowhere/hubble.sock".into()),
    };
    // Nobody listens on this address of the loopback.
    let half = ask(&servers, &there(Ipv4Addr::new(127, 77, 0, 9)));
    unknown(half, &["node n2 at 127.77.0.9:4244"]);
}

#[test]
fn nothing_is_asked_where_both_are_of_this_node() {
    let here = Place::Here {
        endpoint: 8,
        interface: "lxc8".into(),
    };
    assert_eq!(ask(&Servers::default(), &question(here)), None);
}
