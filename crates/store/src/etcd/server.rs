//! The real etcd, for tests: one member on loopback with its data in a folder that vanishes.
//!
//! The program is the one that `./x cluster tool etcd` builds, as the gate does; `AXONEME_ETCD` names another.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Certificates of a member that speaks TLS only.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Its certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Authority of its clients.
    pub clients: PathBuf,
}

/// A member, ended when dropped.
pub struct Server {
    program: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    hidden: Option<u16>,
    peer: u16,
    tls: Option<Tls>,
    child: Option<Child>,
}

/// Where the program lies: where `AXONEME_ETCD` says, else the newest that `./x cluster tool etcd` has built.
pub fn program() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("AXONEME_ETCD") {
        return Some(path.into());
    }
    let cache = std::env::var_os("AXONEME_CACHE").map(PathBuf::from);
    let cache = cache.or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(Path::new(&home).join(".cache/axoneme"))
    })?;
    let built = std::fs::read_dir(cache.join("cluster")).ok()?;
    let built = built.filter_map(Result::ok).filter(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with("bin-etcd-")
    });
    let age = |entry: &std::fs::DirEntry| entry.metadata().and_then(|of| of.modified()).ok();
    let newest = built.max_by_key(age)?.path().join("etcd");
    newest.exists().then_some(newest)
}

/// Whether there is a program; if not, says that the test is left out. With CI=true that is a failure.
#[allow(clippy::print_stdout, reason = "the gate counts this line")]
pub fn is_there() -> Result<bool> {
    if program().is_some() {
        return Ok(true);
    }
    if std::env::var("CI").is_ok_and(|ci| ci == "true") {
        bail!("needs etcd: run ./x cluster tool etcd");
    }
    println!("skipped, needs etcd: run ./x cluster tool etcd");
    Ok(false)
}

impl Server {
    /// Starts one.
    pub fn start() -> Result<Self> {
        Self::with(None)
    }

    /// Starts one that speaks TLS and knows its clients by certificates.
    pub fn with_tls(tls: Tls) -> Result<Self> {
        Self::with(Some(tls))
    }

    fn with(tls: Option<Tls>) -> Result<Self> {
        let mut server = Self {
            program: program().context("needs etcd: run ./x cluster tool etcd")?,
            folder: tempfile::tempdir()?,
            port: free_port()?,
            hidden: None,
            peer: free_port()?,
            tls,
            child: None,
        };
        server.run()?;
        Ok(server)
    }

    /// Its URL.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port())
    }

    fn port(&self) -> u16 {
        self.hidden.unwrap_or(self.port)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts it again, with what it has on its disk.
    pub fn run(&mut self) -> Result<()> {
        let (url, peer) = (self.url(), format!("http://127.0.0.1:{}", self.peer));
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))?;
        let mut command = Command::new(&self.program);
        command
            .arg(format!("--data-dir={}", self.data().display()))
            .args(["--name=one", "--unsafe-no-fsync", "--log-level=warn"])
            .arg(format!("--listen-client-urls={url}"))
            .arg(format!("--advertise-client-urls={url}"))
            .arg(format!("--listen-peer-urls={peer}"))
            .arg(format!("--initial-advertise-peer-urls={peer}"))
            .arg(format!("--initial-cluster=one={peer}"));
        if let Some(tls) = &self.tls {
            command
                .arg("--client-cert-auth")
                .arg(format!("--cert-file={}", tls.certificate.display()))
                .arg(format!("--key-file={}", tls.key.display()))
                .arg(format!("--trusted-ca-file={}", tls.clients.display()));
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| self.program.display().to_string())?;
        self.child = Some(child);
        self.until_it_listens()
    }

    fn until_it_listens(&mut self) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(("127.0.0.1", self.port())).is_err() {
            let ended = self
                .child
                .as_mut()
                .map(Child::try_wait)
                .transpose()?
                .flatten();
            if ended.is_some() || Instant::now() > end {
                let log = std::fs::read_to_string(self.folder.path().join("log"));
                bail!("etcd does not listen: {}", log.unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Kills it; what it has written stays.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Runs where its clients do not find it, or again where they do.
    pub fn elsewhere(&mut self, elsewhere: bool) -> Result<()> {
        self.kill()?;
        if elsewhere {
            self.hidden = Some(free_port()?);
        } else {
            self.hidden = None;
        }
        self.run()
    }

    /// Lets it forget what was before a revision.
    pub fn compact(&self, revision: i64) -> Result<()> {
        let body = format!("{{\"revision\": {revision}, \"physical\": true}}");
        self.post("kv/compaction", &body, None).map(drop)
    }

    /// Lets it ask from now on who its clients are. It knows `root` and another one, who may read and write all keys, both with
    /// this password.
    pub fn ask_for_users(&self, other: &str, password: &str) -> Result<()> {
        let all = r#"{"permType": "READWRITE", "key": "AA==", "range_end": "AA=="}"#;
        for name in ["root", other] {
            let user = format!(r#"{{"name": "{name}", "password": "{password}"}}"#);
            self.post("auth/user/add", &user, None)?;
            let role = format!(r#"{{"name": "{name}"}}"#);
            self.post("auth/role/add", &role, None)?;
            let grant = format!(r#"{{"user": "{name}", "role": "{name}"}}"#);
            self.post("auth/user/grant", &grant, None)?;
        }
        let grant = format!(r#"{{"name": "{other}", "perm": {all}}}"#);
        self.post("auth/role/grant", &grant, None)?;
        self.post("auth/enable", "{}", None).map(drop)
    }

    /// Changes something about its users, so that tokens are of before.
    pub fn add_role(&self, name: &str, password: &str) -> Result<()> {
        let root = format!(r#"{{"name": "root", "password": "{password}"}}"#);
        let answer = self.post("auth/authenticate", &root, None)?;
        let (_, body) = answer.split_once("\r\n\r\n").context("no body")?;
        let body: serde_json::Value = serde_json::from_str(body.trim())?;
        let token = body["token"].as_str().context("no token")?;
        let role = format!(r#"{{"name": "{name}"}}"#);
        self.post("auth/role/add", &role, Some(token)).map(drop)
    }

    fn post(&self, path: &str, body: &str, token: Option<&str>) -> Result<String> {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port()))?;
        let token = token.map_or_else(String::new, |token| format!("Authorization: {token}\r\n"));
        write!(
            stream,
            "POST /v3/{path} HTTP/1.0\r\nHost: etcd\r\n{token}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        anyhow::ensure!(answer.contains(" 200 "), "{path}: {answer}");
        Ok(answer)
    }

    /// Lets it stand still, or go on.
    pub fn pause(&self, pause: bool) -> Result<()> {
        let id = self.child.as_ref().context("etcd does not run")?.id();
        let signal = if pause { "-STOP" } else { "-CONT" };
        let status = Command::new("kill")
            .args([signal, &id.to_string()])
            .status()?;
        anyhow::ensure!(status.success(), "kill {signal} {id}: {status}");
        Ok(())
    }

    /// Loses all it has, and starts anew at the same place.
    pub fn wipe(&mut self) -> Result<()> {
        self.kill()?;
        std::fs::remove_dir_all(self.data())?;
        self.run()
    }

    /// Keeps a copy of what it has; it stands still meanwhile.
    pub fn back_up(&mut self) -> Result<()> {
        self.kill()?;
        copy(&self.data(), &self.folder.path().join("backup"))?;
        self.run()
    }

    /// Goes back to the copy.
    pub fn restore(&mut self) -> Result<()> {
        self.kill()?;
        std::fs::remove_dir_all(self.data())?;
        copy(&self.folder.path().join("backup"), &self.data())?;
        self.run()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
