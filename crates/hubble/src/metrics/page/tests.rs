use std::{fs, net::Ipv4Addr};

use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::{
    intake::Intake,
    metrics::parse,
    ring::{Capacity, Ring},
    sample::{Shop, opened},
    server::{TlsFiles, tests::authority::Authority},
};

struct Running {
    address: SocketAddr,
    shutdown: CancellationToken,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

async fn start(security: Security, formats: Formats) -> Running {
    let intake = Intake::new(Arc::new(Ring::new(Capacity::default())), Arc::new(Shop));
    let wanted = parse("flow:sourceContext=pod");
    intake.metrics().apply(&wanted).unwrap();
    intake.record(opened());
    let page = Page::bind((Ipv4Addr::LOCALHOST, 0).into(), security);
    let page = page.await.unwrap();
    let (address, shutdown) = (page.address().unwrap(), CancellationToken::new());
    let shown = Shown {
        metrics: Arc::clone(intake.metrics()),
        ring: Arc::clone(intake.ring()),
    };
    tokio::spawn(page.serve(registry(shown), formats, shutdown.clone()));
    Running { address, shutdown }
}

async fn ask(
    mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    accept: &str,
) -> String {
    let request = format!(
        "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn plain(running: &Running, accept: &str) -> String {
    let stream = TcpStream::connect(running.address).await.unwrap();
    ask(stream, accept).await
}

#[tokio::test]
async fn the_page_shows_flows_losses_and_its_own_requests() {
    let running = start(Security::Plain, Formats::Plain).await;
    let answer = plain(&running, OPEN_METRICS).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(
        answer.contains("content-type: text/plain; version=0.0.4"),
        "{answer}"
    );
    assert!(
        answer.contains(r#"type="PolicyVerdict",verdict="FORWARDED"} 2"#),
        "{answer}"
    );
    assert!(!answer.contains("# EOF"));
    let answer = plain(&running, "*/*").await;
    assert!(answer.contains(r#"hubble_metrics_http_handler_requests_total{code="200"} 1"#));
    assert!(
        answer.contains(
            r#"hubble_metrics_http_handler_request_duration_seconds_count{code="200"} 1"#
        )
    );
}

#[tokio::test]
async fn open_metrics_are_for_those_who_ask() {
    let running = start(Security::Plain, Formats::OpenMetrics).await;
    let answer = plain(
        &running,
        "application/openmetrics-text;version=1.0.0;q=0.6,*/*;q=0.1",
    )
    .await;
    assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0"));
    assert!(answer.contains("# EOF"), "{answer}");
    let answer = plain(&running, "text/plain").await;
    assert!(answer.contains("content-type: text/plain; version=0.0.4"));
}

#[tokio::test]
async fn with_an_authority_for_clients_only_those_with_a_certificate_are_answered() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let (certificate, key) = authority.issue("n1");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let files = TlsFiles {
        certificate: write("crt", &certificate),
        key: write("key", &key),
        client_authorities: vec![write("ca", &authority.pem())],
    };
    let running = start(Security::Tls(files), Formats::Plain).await;
    let connect = async |own: Option<(String, String)>| {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let certificate = write("own.crt", &certificate);
                let key = write("own.key", &key);
                builder
                    .with_client_auth_cert(
                        crate::tls::certificates(&certificate).unwrap(),
                        crate::tls::key(&key).unwrap(),
                    )
                    .unwrap()
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let stream = TcpStream::connect(running.address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        connector
            .connect(ServerName::try_from("n1").unwrap(), stream)
            .await
    };
    let stream = connect(Some(authority.issue("prometheus"))).await.unwrap();
    let answer = ask(stream, "*/*").await;
    assert!(answer.contains("hubble_flows_processed_total"), "{answer}");
    // In TLS 1.3 the server's refusal comes after the client's handshake.
    if let Ok(mut stream) = connect(None).await {
        let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        assert!(stream.read_to_end(&mut answer).await.is_err());
        assert!(answer.is_empty());
    }
}
