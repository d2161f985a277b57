//! A backend: answers each octet or datagram with its number.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use netlink::Namespace;

/// Where backends listen.
pub(crate) const PORT: u16 = 8080;

/// A running backend; it ends when dropped.
pub(crate) struct Server {
    stop: Arc<AtomicBool>,
}

impl Server {
    /// Listens in the namespace, both families, TCP and UDP.
    pub(crate) fn start(namespace: &Namespace, id: u8) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (listener, socket) = namespace
            .run(|| {
                let any = (Ipv6Addr::UNSPECIFIED, PORT);
                (TcpListener::bind(any), UdpSocket::bind(any))
            })
            .expect("enter the namespace");
        let (listener, socket) = (listener.expect("listen"), socket.expect("bind"));
        listener.set_nonblocking(true).expect("listener");
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .expect("socket");
        let stopped = Arc::clone(&stop);
        std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((_, from)) = socket.recv_from(&mut buffer) {
                    let _ = socket.send_to(&[id], from);
                }
            }
        });
        let stopped = Arc::clone(&stop);
        std::thread::spawn(move || serve_streams(&listener, id, &stopped));
        Self { stop }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn serve_streams(listener: &TcpListener, id: u8, stop: &AtomicBool) {
    let mut streams: Vec<TcpStream> = Vec::new();
    let mut buffer = [0; 64];
    while !stop.load(Ordering::Relaxed) {
        while let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true).expect("stream");
            streams.push(stream);
        }
        streams.retain_mut(|stream| match stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(_) => stream.write_all(&[id]).is_ok(),
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        });
        std::thread::sleep(Duration::from_millis(2));
    }
}
