//! Real clients over a unix socket and over TCP with and without the right certificates.

pub(crate) mod authority;
mod wire;

use std::{fs, net::Ipv4Addr, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};

use api::hubble::{
    observer::{
        GetFlowsRequest, ServerStatusRequest, get_flows_response::ResponseTypes,
        observer_client::ObserverClient,
    },
    peer::{NotifyRequest, peer_client::PeerClient},
};
use authority::Authority;
use rustls::pki_types::ServerName;
use tokio::{net::TcpStream, sync::watch, task::JoinHandle};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Uri};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::*;
use crate::{
    intake::Intake,
    observer::Config,
    peer::{PeerConfig, PeerNode, PeerTls, Prefer},
    ring::{Capacity, Ring},
    sample::{Shop, opened},
};

struct Running {
    intake: Intake,
    observer: Observer,
    tcp: Option<SocketAddr>,
    shutdown: CancellationToken,
    served: JoinHandle<Result<(), ServeError>>,
}

async fn start(capacity: u64, listen: Listen) -> Running {
    let ring = Arc::new(Ring::new(Capacity::new(capacity).unwrap()));
    let intake = Intake::new(ring, Arc::new(Shop));
    let shutdown = CancellationToken::new();
    let config = Config {
        node: "n1".into(),
        ..Config::default()
    };
    let observer = Observer::new(&intake, config, shutdown.clone());
    let node = PeerNode {
        cluster: "default".into(),
        name: "n1".into(),
        addresses: vec![Ipv4Addr::new(10, 0, 0, 1).into()],
    };
    let (_, nodes) = watch::channel(Arc::from([node]));
    let config = PeerConfig {
        port: 4244,
        prefer: Prefer::Ipv4,
        tls: PeerTls::Plain,
    };
    let peers = PeerService::new(nodes, config, shutdown.clone());
    let server = Server::bind(observer.clone(), peers, listen).await.unwrap();
    let tcp = server.tcp_address();
    let served = tokio::spawn(server.run(shutdown.clone()));
    Running {
        intake,
        observer,
        tcp,
        shutdown,
        served,
    }
}

async fn unix_channel(path: &Path) -> Channel {
    let path = path.to_owned();
    let connector = tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move {
            let stream = tokio::net::UnixStream::connect(path).await?;
            Ok::<_, io::Error>(hyper_util::rt::TokioIo::new(stream))
        }
    });
    Endpoint::from_static("http://x")
        .connect_with_connector(connector)
        .await
        .unwrap()
}

fn unix(path: &Path) -> Listen {
    Listen {
        socket: Some(path.to_owned()),
        tcp: None,
    }
}

#[tokio::test]
async fn the_unix_socket_serves_flows_peers_health_and_its_version() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run/hubble.sock");
    let server = start(4095, unix(&path)).await;
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o660
    );
    server.intake.record(opened());
    let channel = unix_channel(&path).await;

    let response = ObserverClient::new(channel.clone())
        .get_flows(GetFlowsRequest::default())
        .await;
    let response = response.unwrap();
    assert_eq!(
        response.metadata().get(VERSION_HEADER).unwrap(),
        crate::VERSION
    );
    let mut flows = response.into_inner();
    let mut count = 0;
    while let Some(response) = flows.message().await.unwrap() {
        assert!(matches!(
            response.response_types,
            Some(ResponseTypes::Flow(_))
        ));
        count += 1;
    }
    assert_eq!(count, 3);

    let mut peers = PeerClient::new(channel.clone())
        .notify(NotifyRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        peers.message().await.unwrap().unwrap().address,
        "10.0.0.1:4244"
    );

    for name in ["", HEALTH_SERVICE] {
        let request = HealthCheckRequest {
            service: name.into(),
        };
        let health = HealthClient::new(channel.clone())
            .check(request)
            .await
            .unwrap();
        assert_eq!(health.into_inner().status, 1);
    }
    server.shutdown.cancel();
    server.served.await.unwrap().unwrap();
    assert!(!path.exists(), "the socket is taken away");
}

#[tokio::test]
async fn a_client_that_does_not_read_falls_behind_and_gets_the_exact_count() {
    const FLOWS: u64 = 3 * 20_000;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hubble.sock");
    let server = start(255, unix(&path)).await;
    let request = GetFlowsRequest {
        follow: true,
        ..GetFlowsRequest::default()
    };
    let mut client = ObserverClient::new(unix_channel(&path).await);
    let mut flows = client.get_flows(request).await.unwrap().into_inner();
    for _ in 0..FLOWS / 3 {
        server.intake.record(opened());
    }
    let (mut seen, mut lost) = (0, 0);
    while seen + lost < FLOWS {
        let response = tokio::time::timeout(Duration::from_secs(20), flows.message());
        match response.await.unwrap().unwrap().unwrap().response_types {
            Some(ResponseTypes::Flow(_)) => seen += 1,
            Some(ResponseTypes::LostEvents(event)) => lost += event.num_events_lost,
            other => panic!("unexpected: {other:?}"),
        }
    }
    assert_eq!(seen + lost, FLOWS);
    assert!(lost > 0 && seen > 0, "{seen} seen, {lost} lost");
    server.shutdown.cancel();
    server.served.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_any_other_file_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let stale = directory.path().join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    unix::Socket::bind(stale).unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "precious").unwrap();
    let error = unix::Socket::bind(file.clone()).err().unwrap();
    assert!(
        error.to_string().contains(&*file.to_string_lossy()),
        "{error}"
    );
    assert_eq!(fs::read_to_string(file).unwrap(), "precious");
}

const SERVER_NAME: &str = "n1.default.hubble-grpc.cilium.io";

struct Secured {
    server: Running,
    authority: Authority,
    files: TlsFiles,
    _directory: tempfile::TempDir,
}

async fn secured() -> Secured {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let files = TlsFiles {
        certificate: directory.path().join("tls.crt"),
        key: directory.path().join("tls.key"),
        client_authorities: vec![directory.path().join("ca.crt")],
    };
    let (certificate, key) = authority.issue(SERVER_NAME);
    fs::write(&files.certificate, certificate).unwrap();
    fs::write(&files.key, key).unwrap();
    fs::write(&files.client_authorities[0], authority.pem()).unwrap();
    let listen = Listen {
        socket: None,
        tcp: Some((
            (Ipv4Addr::LOCALHOST, 0).into(),
            Security::Tls(files.clone()),
        )),
    };
    Secured {
        server: start(7, listen).await,
        authority,
        files,
        _directory: directory,
    }
}

async fn ask(
    address: SocketAddr,
    trusted: &Authority,
    identity: Option<(String, String)>,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(trusted.pem()))
        .domain_name(SERVER_NAME);
    if let Some((certificate, key)) = identity {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    let channel = Endpoint::from_shared(format!("https://{address}"))?
        .tls_config(tls)?
        .connect()
        .await?;
    ObserverClient::new(channel)
        .server_status(ServerStatusRequest {})
        .await?;
    Ok(())
}

#[tokio::test]
async fn only_clients_with_a_certificate_of_the_right_authority_are_served() {
    let secured = secured().await;
    let address = secured.server.tcp.unwrap();
    let right = secured.authority.issue("client");
    ask(address, &secured.authority, Some(right.clone()))
        .await
        .unwrap();
    ask(address, &secured.authority, None).await.unwrap_err();
    let other = Authority::new();
    ask(address, &secured.authority, Some(other.issue("client")))
        .await
        .unwrap_err();
    ask(address, &other, Some(right.clone())).await.unwrap_err();
    let over = secured.authority.issue_with("client", |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    ask(address, &secured.authority, Some(over))
        .await
        .unwrap_err();
    let early = secured.authority.issue_with("client", |params| {
        params.not_before = rcgen::date_time_ymd(2990, 1, 1);
    });
    ask(address, &secured.authority, Some(early))
        .await
        .unwrap_err();
    // Those that were refused did no harm to the others.
    ask(address, &secured.authority, Some(right)).await.unwrap();
}

#[tokio::test]
async fn tls_1_2_is_refused() {
    let secured = secured().await;
    let address = secured.server.tcp.unwrap();
    let connect = async |versions: &[&'static rustls::SupportedProtocolVersion]| {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(secured.authority.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let stream = TcpStream::connect(address).await.unwrap();
        connector
            .connect(ServerName::try_from(SERVER_NAME).unwrap(), stream)
            .await
            .map(|_| ())
    };
    // In 1.3 the client's side is done before the server asks for its certificate.
    connect(&[&rustls::version::TLS13]).await.unwrap();
    let error = connect(&[&rustls::version::TLS12]).await.unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
}

#[tokio::test]
async fn changed_certificates_are_used_and_broken_ones_are_not() {
    let secured = secured().await;
    let address = secured.server.tcp.unwrap();
    let client = secured.authority.issue("client");
    fs::write(&secured.files.certificate, "broken").unwrap();
    ask(address, &secured.authority, Some(client))
        .await
        .unwrap();
    let next = Authority::new();
    let (certificate, key) = next.issue(SERVER_NAME);
    fs::write(&secured.files.certificate, certificate).unwrap();
    fs::write(&secured.files.key, key).unwrap();
    fs::write(&secured.files.client_authorities[0], next.pem()).unwrap();
    ask(address, &next, Some(next.issue("client")))
        .await
        .unwrap();
    let former = secured.authority.issue("client");
    ask(address, &next, Some(former)).await.unwrap_err();
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_named() {
    let secured = secured().await;
    let good = secured.files.clone();
    let directory = good.key.parent().unwrap();
    let (missing, empty) = (directory.join("missing"), directory.join("empty"));
    fs::write(&empty, "").unwrap();
    for (bad, files) in [
        (
            &missing,
            TlsFiles {
                certificate: missing.clone(),
                ..good.clone()
            },
        ),
        (
            &missing,
            TlsFiles {
                key: missing.clone(),
                ..good.clone()
            },
        ),
        (
            &missing,
            TlsFiles {
                client_authorities: vec![missing.clone()],
                ..good.clone()
            },
        ),
        (
            &empty,
            TlsFiles {
                certificate: empty.clone(),
                ..good.clone()
            },
        ),
        (
            &empty,
            TlsFiles {
                key: empty.clone(),
                ..good.clone()
            },
        ),
        (
            &empty,
            TlsFiles {
                client_authorities: vec![empty.clone()],
                ..good.clone()
            },
        ),
    ] {
        let error = tls::Acceptor::new(files).err().unwrap();
        assert_eq!(&error.path, bad, "{error}");
        assert!(
            error.to_string().contains(&*bad.to_string_lossy()),
            "{error}"
        );
    }
}
