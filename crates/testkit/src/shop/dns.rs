//! A DNS server whose names come from a file, and the small resolver of the other programs.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use hickory_proto::op::{Header, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_server::ServerFuture;
use hickory_server::authority::MessageResponseBuilder;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::RwLock;

const TTL_SECONDS: u32 = 5;

type Addresses = HashMap<String, Vec<IpAddr>>;

/// Names and addresses, one `ADDRESS NAME...` a line as in a hosts file, read again when the file changes.
struct Names {
    file: PathBuf,
    /// Names for which the server fails.
    broken: Vec<String>,
    /// When the file was changed that was read last, and what it said.
    read: RwLock<(Option<SystemTime>, Addresses)>,
}

impl Names {
    async fn lookup(&self, name: &str) -> Option<Vec<IpAddr>> {
        let modified = std::fs::metadata(&self.file)
            .and_then(|m| m.modified())
            .ok();
        if self.read.read().await.0 != modified {
            *self.read.write().await = (modified, parse_names(&self.file));
        }
        self.read.read().await.1.get(name).cloned()
    }
}

fn parse_names(file: &Path) -> HashMap<String, Vec<IpAddr>> {
    let mut names: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for line in std::fs::read_to_string(file).unwrap_or_default().lines() {
        let mut words = line.split_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse) else {
            continue;
        };
        for name in words {
            names
                .entry(name.trim_end_matches('.').to_ascii_lowercase())
                .or_default()
                .push(address);
        }
    }
    names
}

#[async_trait::async_trait]
impl RequestHandler for Names {
    async fn handle_request<R: ResponseHandler>(
        &self,
        request: &Request,
        mut answer: R,
    ) -> ResponseInfo {
        let builder = MessageResponseBuilder::from_message_request(request);
        let mut header = Header::response_from_request(request.header());
        header.set_authoritative(true);
        let Ok(info) = request.request_info() else {
            header.set_response_code(ResponseCode::FormErr);
            return sent(
                answer.send_response(builder.build_no_records(header)).await,
                header,
            );
        };
        let name = Name::from(info.query.name());
        let kind = info.query.query_type();
        let text = name.to_utf8();
        let text = text.trim_end_matches('.').to_ascii_lowercase();
        let records = match self.lookup(&text).await {
            _ if self.broken.contains(&text) => {
                header.set_response_code(ResponseCode::ServFail);
                Vec::new()
            }
            None => {
                header.set_response_code(ResponseCode::NXDomain);
                Vec::new()
            }
            Some(addresses) => addresses
                .iter()
                .filter_map(|address| record(&name, kind, *address))
                .collect(),
        };
        let response = builder.build(header, records.iter(), [], [], []);
        sent(answer.send_response(response).await, header)
    }
}

fn sent(result: std::io::Result<ResponseInfo>, header: Header) -> ResponseInfo {
    result.unwrap_or_else(|_| header.into())
}

fn record(name: &Name, kind: RecordType, address: IpAddr) -> Option<Record> {
    let data = match (kind, address) {
        (RecordType::A, IpAddr::V4(v4)) => RData::A(v4.into()),
        (RecordType::AAAA, IpAddr::V6(v6)) => RData::AAAA(v6.into()),
        _ => return None,
    };
    Some(Record::from_rdata(name.clone(), TTL_SECONDS, data))
}

/// Serves the names of `file` on `listen`, UDP and TCP, until the process ends; SERVFAIL for the `broken` ones.
pub async fn serve(listen: SocketAddr, file: PathBuf, broken: Vec<String>) -> anyhow::Result<()> {
    let mut server = ServerFuture::new(Names {
        file,
        broken,
        read: RwLock::default(),
    });
    server.register_socket(
        UdpSocket::bind(listen)
            .await
            .with_context(|| format!("bind UDP {listen}"))?,
    );
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("bind TCP {listen}"))?;
    server.register_listener(listener, Duration::from_secs(5));
    server.block_until_done().await.context("serve DNS")
}

/// Asks `server` for the addresses of `name`; an address is its own answer. Two tries of two seconds.
pub async fn resolve(server: SocketAddr, name: &str, family: RecordType) -> anyhow::Result<IpAddr> {
    if let Ok(address) = name.parse() {
        return Ok(address);
    }
    let mut last = None;
    for _ in 0..2 {
        match ask(server, name, family).await {
            Ok(address) => return Ok(address),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| anyhow::anyhow!("no try")))
        .with_context(|| format!("resolve {name} at {server}"))
}

async fn ask(server: SocketAddr, name: &str, family: RecordType) -> anyhow::Result<IpAddr> {
    let any: IpAddr = if server.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    let mut query = Message::new();
    let id: u16 = rand::random();
    let mut full = Name::from_utf8(name)?;
    full.set_fqdn(true);
    query
        .set_id(id)
        .set_message_type(MessageType::Query)
        .set_op_code(OpCode::Query)
        .set_recursion_desired(true);
    query.add_query(Query::query(full, family));
    socket.send(&query.to_vec()?).await?;
    let mut buffer = [0; 1500];
    let length = tokio::time::timeout(Duration::from_secs(2), socket.recv(&mut buffer))
        .await
        .context("no answer in 2 s")??;
    let answer = Message::from_vec(buffer.get(..length).unwrap_or_default())?;
    if answer.id() != id {
        bail!("answer to another question");
    }
    if answer.response_code() != ResponseCode::NoError {
        bail!("{}", answer.response_code());
    }
    answer
        .answers()
        .iter()
        .find_map(|record| record.data().ip_addr())
        .context("no address in the answer")
}
