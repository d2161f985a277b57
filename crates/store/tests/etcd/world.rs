//! An etcd, tables that mirror it, and nodes that own keys in it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reconcile::{Table, TableWriter};
use store::etcd::server::{Server, Tls};
use store::etcd::{Etcd, Loss, Options, Own, Owned, Patience, SharedLease, mirror};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long tables wait here for a key to come back.
pub(crate) const PATIENCE: Patience = Patience {
    deleted: Duration::from_millis(1500),
    broken: Duration::from_secs(8),
};
const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn quick(options: Options) -> Options {
    Options {
        answer: Duration::from_secs(2),
        look: Duration::from_millis(400),
        heartbeat: HEARTBEAT,
        requests_per_second: 5000.0,
        burst: 5000.0,
        ..options
    }
}

/// Whether there is an etcd to test with.
pub(crate) fn etcd() -> Option<()> {
    store::etcd::server::is_there().unwrap().then_some(())
}

/// A client without a guard.
pub(crate) fn client(server: &Server) -> Etcd {
    Etcd::new(quick(Options::at([server.url()]))).unwrap()
}

/// Looks after a client until cancelled.
pub(crate) fn guard(etcd: &Etcd) -> CancellationToken {
    let stop = CancellationToken::new();
    let (etcd, token) = (etcd.clone(), stop.clone());
    tokio::spawn(async move { etcd.guard(token).await });
    stop
}

type Rows = BTreeMap<String, String>;
type Mirrored = Table<String, String>;

pub(crate) struct World {
    pub(crate) server: Server,
    etcd: Etcd,
    folder: tempfile::TempDir,
    stop: CancellationToken,
    losses: Arc<Mutex<Vec<Loss>>>,
}

impl World {
    /// `None` where there is no etcd.
    pub(crate) fn start() -> Option<Self> {
        etcd()?;
        let server = Server::start().unwrap();
        let etcd = client(&server);
        let stop = guard(&etcd);
        let losses = Arc::<Mutex<Vec<Loss>>>::default();
        let (mut receiver, noted) = (etcd.losses(), Arc::clone(&losses));
        tokio::spawn(async move {
            while let Ok(loss) = receiver.recv().await {
                noted.lock().unwrap().push(loss);
            }
        });
        Some(Self {
            server,
            etcd,
            folder: tempfile::tempdir().unwrap(),
            stop,
            losses,
        })
    }

    pub(crate) fn etcd(&self) -> &Etcd {
        &self.etcd
    }

    pub(crate) fn mirror(&self, prefix: &str) -> Mirrored {
        self.mirror_of(&self.etcd, prefix)
    }

    pub(crate) fn mirror_of(&self, etcd: &Etcd, prefix: &str) -> Mirrored {
        let (writer, table) = Table::new("mirror", &["etcd"]);
        let row = |pair: &store::etcd::Pair| Some((pair.key.clone(), pair.text()?.to_owned()));
        let (etcd, prefix, stop) = (etcd.clone(), prefix.to_owned(), self.stop.clone());
        tokio::spawn(mirror(etcd, prefix, "etcd", writer, row, PATIENCE, stop));
        table
    }

    /// A node with a name, by which it knows the leases of its former runs. It has a client of its own, and follows the keys
    /// that it owns, as an agent does.
    pub(crate) fn node(&self, name: &str, ttl: Duration) -> Node {
        self.node_of(client(&self.server), name, ttl)
    }

    /// The same with this client.
    pub(crate) fn node_of(&self, etcd: Etcd, name: &str, ttl: Duration) -> Node {
        let (writer, wanted) = Table::new("wanted", &["node"]);
        let file = self.folder.path().join(name);
        let owned = Owned::new(etcd.clone(), wanted, ttl, file);
        let stop = guard(&etcd);
        let follow = self.mirror_of(&etcd, "own/");
        Node {
            lease: owned.lease(),
            task: tokio::spawn(owned.run(stop.clone())),
            writer: Mutex::new(writer),
            etcd,
            stop,
            _follow: follow,
        }
    }

    pub(crate) async fn until(&self, table: &Mirrored, is: impl Fn(&Rows) -> bool) {
        let mut subscription = table.subscribe();
        let mut rows = Rows::new();
        let wait = async {
            loop {
                let now = table.snapshot();
                rows = now.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
                if is(&rows) {
                    return;
                }
                subscription.changed().await;
            }
        };
        let done = tokio::time::timeout(LIMIT, wait).await;
        assert!(done.is_ok(), "still {rows:?}");
    }

    pub(crate) async fn until_key(&self, key: &str, is: impl Fn(Option<&str>) -> bool) {
        let end = tokio::time::Instant::now() + LIMIT;
        loop {
            let found = self.etcd.get(key).await;
            if let Ok(found) = &found
                && is(found.as_ref().and_then(|pair| pair.text()))
            {
                return;
            }
            assert!(tokio::time::Instant::now() < end, "{key} still {found:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How often a mirror found this key gone.
    pub(crate) fn losses_of(&self, key: &str) -> usize {
        let losses = self.losses.lock().unwrap();
        let is = |loss: &&Loss| matches!(loss, Loss::Key(of) if &**of == key);
        losses.iter().filter(is).count()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) struct Node {
    pub(crate) etcd: Etcd,
    pub(crate) lease: SharedLease,
    task: JoinHandle<()>,
    writer: Mutex<TableWriter<Arc<str>, Own>>,
    stop: CancellationToken,
    _follow: Mirrored,
}

impl Node {
    pub(crate) fn want<const N: usize>(&self, rows: [(&str, Own); N]) {
        let mut writer = self.writer.lock().unwrap();
        writer.replace(rows.map(|(key, own)| (key.into(), own)));
        writer.mark_initialized("node");
    }

    /// Ends at once, without any farewell.
    pub(crate) async fn die(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
        self.stop.cancel();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Certificates of a server and of a client by one authority, and of a client by another, `stranger.crt`.
pub(crate) fn certificates(
    folder: &Path,
) -> (
    Tls,
    (std::path::PathBuf, std::path::PathBuf),
    (std::path::PathBuf, std::path::PathBuf),
) {
    let authority = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut of = rcgen::CertificateParams::new(Vec::new()).unwrap();
        of.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        of.distinguished_name.push(rcgen::DnType::CommonName, name);
        let certificate = of.self_signed(&key).unwrap();
        std::fs::write(folder.join(format!("{name}.crt")), certificate.pem()).unwrap();
        rcgen::Issuer::new(of, key)
    };
    let leaf = |name: &str, by: &rcgen::Issuer<'_, rcgen::KeyPair>| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut of = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        of.distinguished_name.push(rcgen::DnType::CommonName, name);
        let certificate = of.signed_by(&key, by).unwrap();
        let (at, key_at) = (
            folder.join(format!("{name}.crt")),
            folder.join(format!("{name}.key")),
        );
        std::fs::write(&at, certificate.pem()).unwrap();
        std::fs::write(&key_at, key.serialize_pem()).unwrap();
        (at, key_at)
    };
    let (ca, other) = (authority("ca"), authority("stranger"));
    let (certificate, key) = leaf("server", &ca);
    let tls = Tls {
        certificate,
        key,
        clients: folder.join("ca.crt"),
    };
    (tls, leaf("client", &ca), leaf("other-client", &other))
}
