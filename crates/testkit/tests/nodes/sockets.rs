//! Real sockets in namespaces, every wait bounded.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, ensure};
use netlink::Namespace;

/// How long to wait for what may well not come.
pub(crate) const WAIT: Duration = Duration::from_secs(2);
/// How long to wait for what must come, also on a machine that is busy with something else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// Echoes one connection's octets until its end.
pub(crate) struct EchoServer {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    thread: JoinHandle<std::io::Result<()>>,
}

impl EchoServer {
    pub(crate) fn listen(namespace: &Namespace, ip: IpAddr) -> anyhow::Result<Self> {
        let listener = namespace
            .run(|| TcpListener::bind((ip, 0)))?
            .with_context(|| format!("listen on {ip}"))?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let thread = std::thread::spawn(move || echo(&listener));
        Ok(Self { address, thread })
    }

    pub(crate) fn finish(self) -> anyhow::Result<()> {
        self.thread
            .join()
            .map_err(|_| anyhow::anyhow!("the echo server panicked"))?
            .context("echo")
    }
}

fn echo(listener: &TcpListener) -> std::io::Result<()> {
    let end = std::time::Instant::now() + PATIENCE + WAIT;
    let (mut stream, _) = loop {
        match listener.accept() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if std::time::Instant::now() > end {
                    return Err(error);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            other => break other?,
        }
    };
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 16384];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            length => stream.write_all(&buffer[..length])?,
        }
    }
}

/// A connection from `client`; it and each read and write of it wait as long as told.
pub(crate) fn connect(
    client: &Namespace,
    to: SocketAddr,
    wait: Duration,
) -> anyhow::Result<TcpStream> {
    let stream = client
        .run(|| TcpStream::connect_timeout(&to, wait))?
        .with_context(|| format!("connect to {to}"))?;
    stream.set_read_timeout(Some(wait))?;
    stream.set_write_timeout(Some(wait))?;
    Ok(stream)
}

/// Sends octets and reads them back.
pub(crate) fn exchange(stream: &mut TcpStream, octets: usize) -> anyhow::Result<()> {
    let sent: Vec<u8> = (0..octets).map(|n| (n * 31 % 251) as u8).collect();
    let mut writer = stream.try_clone()?;
    let outgoing = sent.clone();
    let writing = std::thread::spawn(move || writer.write_all(&outgoing));
    let mut received = vec![0; octets];
    stream.read_exact(&mut received).context("read back")?;
    writing
        .join()
        .map_err(|_| anyhow::anyhow!("the writer panicked"))?
        .context("write")?;
    ensure!(received == sent, "octets came back changed");
    Ok(())
}

/// TCP with enough octets that segments are aggregated, back and forth, closed in order.
pub(crate) fn tcp(client: &Namespace, server: &Namespace, ip: IpAddr) -> anyhow::Result<()> {
    let echo = EchoServer::listen(server, ip)?;
    let mut stream = connect(client, echo.address, PATIENCE)?;
    exchange(&mut stream, 1 << 19)?;
    drop(stream);
    echo.finish()
}

/// One datagram there and one back, the largest that a pod's MTU carries not among them.
pub(crate) fn udp(client: &Namespace, server: &Namespace, ip: IpAddr) -> anyhow::Result<()> {
    let there = server.run(|| UdpSocket::bind((ip, 0)))??;
    let any: SocketAddr = if ip.is_ipv4() {
        "0.0.0.0:0".parse()?
    } else {
        "[::]:0".parse()?
    };
    let here = client.run(|| UdpSocket::bind(any))??;
    for socket in [&there, &here] {
        socket.set_read_timeout(Some(WAIT))?;
    }
    here.connect(there.local_addr()?)?;
    let mut buffer = [0; 2048];
    for length in [1, 1200] {
        here.send(&vec![7; length])?;
        let (received, from) = there.recv_from(&mut buffer).context("server receives")?;
        there.send_to(&buffer[..received], from)?;
        ensure!(
            here.recv(&mut buffer).context("client receives")? == length,
            "length"
        );
    }
    Ok(())
}
