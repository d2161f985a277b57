//! Starts over pins of another size or layout.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use datapath::abi::connection::{Alias, ConnectionKey};
use kernel::{Config, Kernel, LoadError, PinDirectory, resize};

use crate::pods::{Family, Node, Offloads, Policy};
use crate::stage::Stage;

fn key(port: u16) -> ConnectionKey {
    ConnectionKey {
        low_port: port.to_be(),
        high_port: 80_u16.to_be(),
        ..ConnectionKey::default()
    }
}

fn files(directory: &Path) -> Vec<(PathBuf, u64)> {
    use std::os::unix::fs::MetadataExt;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let entry = entry.expect("an entry");
        let metadata = entry.metadata().expect("metadata");
        if metadata.is_dir() {
            found.extend(files(&entry.path()));
        }
        found.push((entry.path(), metadata.ino()));
    }
    found.sort();
    found
}

/// Both ways to find out say the same, and neither has touched anything.
fn refused(stage: &Stage, config: &Config) -> String {
    let before = files(stage.bpffs());
    let said = resize::check(stage.bpffs(), config).expect_err("a check");
    let error = Kernel::load(stage.bpffs(), config, Stage::features()).expect_err("a start");
    assert!(matches!(error, LoadError::Pin(_)), "{error}");
    assert_eq!(said.to_string(), error.to_string());
    assert_eq!(files(stage.bpffs()), before, "something was touched");
    error.to_string()
}

#[test]
fn a_table_changes_its_size_and_keeps_what_it_holds() {
    let Some(stage) = Stage::new("size") else {
        return;
    };
    let node = Node::new(&stage, "z");
    let entries = 1500;
    for port in 1..=entries {
        let of = Alias { primary: key(port) };
        node.kernel.maps.aliases.set(&key(port), &of).expect("set");
    }
    let drops = node.kernel.maps.drops.clone();
    let dropped = datapath::abi::event::DropKey::default();
    let counted = datapath::abi::event::Count {
        packets: 3,
        bytes: 4,
    };
    drops.set(&dropped, &counted).expect("set");
    let larger = Config {
        aliases: 8192,
        drops: 32_768,
        cidrs: 1024,
        ..Stage::config()
    };
    let load = |config| {
        let load = || Kernel::load(stage.bpffs(), config, Stage::features());
        node.namespace.run(load).expect("namespace").expect("load")
    };
    let kernel = load(&larger);
    let mut held = kernel.maps.aliases.dump().expect("dump");
    held.sort_by_key(|(key, _)| u16::from_be(key.low_port));
    assert_eq!(held.len(), usize::from(entries));
    for ((key, alias), port) in held.iter().zip(1..) {
        assert_eq!((*key, alias.primary), (self::key(port), self::key(port)));
    }
    let copied = kernel.maps.drops.get(&dropped).expect("get");
    assert_eq!(
        copied,
        drops.get(&dropped).expect("get"),
        "each processor's own"
    );
    let pins = files(stage.bpffs());
    assert!(pins.iter().all(|(path, _)| !path.ends_with("aliases-new")));
    // 1,500 do not fit into 80 % of 1,024, and all tables stay as they are.
    let smaller = Config {
        aliases: 1024,
        ..larger
    };
    assert_eq!(
        refused(&stage, &smaller),
        "map 'aliases' has capacity 8192 and 1500 entries, too many for the capacity 1024 that is asked for; nothing was touched"
    );
    let kernel = load(&Config {
        aliases: 2048,
        ..larger
    });
    assert_eq!(
        kernel.maps.aliases.count().expect("count"),
        usize::from(entries)
    );
}

#[test]
fn a_connection_goes_on_while_the_table_that_it_is_in_changes_its_size() {
    let Some(stage) = Stage::new("live") else {
        return;
    };
    let node = Node::new(&stage, "l");
    let (client, server) = (
        node.pod(1, Policy::Enforced { index: 8 }, Offloads::On),
        node.pod(2, Policy::Enforced { index: 7 }, Offloads::On),
    );
    super::allow_the_port(&node);
    let to = SocketAddr::new(server.address(Family::V4), crate::pods::PORT);
    let listener = server.namespace.run(|| TcpListener::bind(to));
    let listener = listener.expect("namespace").expect("listen");
    let stream = client.namespace.run(|| TcpStream::connect(to));
    let mut stream = stream.expect("namespace").expect("connect");
    let (mut there, _) = listener.accept().expect("accept");
    exchange(&mut stream, &mut there);
    let config = Config {
        connections: 8192,
        openings: 8192,
        ..Stage::config()
    };
    let load = || Kernel::load(stage.bpffs(), &config, Stage::features());
    let loaded = node.namespace.run(load).expect("namespace").expect("load");
    // Only the entry says that the server may answer: it may begin nothing itself.
    exchange(&mut there, &mut stream);
    exchange(&mut stream, &mut there);
    let handle = netlink::Handle::open_in(&node.namespace).expect("netlink");
    for pod in [&client, &server] {
        let found = kernel::attach::verify_pod(&handle, pod.ifindex, &loaded.programs);
        assert_eq!(
            found.expect("verify"),
            [kernel::attach::Attachment::Current; 2]
        );
    }
    let held = loaded.maps.connections.dump().expect("dump");
    let [(_, entry)] = held.as_slice() else {
        panic!("one connection: {held:#?}");
    };
    let before = node.kernel.maps.connections.dump().expect("dump")[0].1;
    assert!(
        entry.sent.packets > before.sent.packets,
        "the new table counts on"
    );
}

fn exchange(from: &mut TcpStream, to: &mut TcpStream) {
    use std::io::Read;
    to.set_read_timeout(Some(std::time::Duration::from_secs(5)))
        .expect("timeout");
    from.write_all(b"long lived").expect("write");
    let mut word = [0; 10];
    to.read_exact(&mut word).expect("read");
    assert_eq!(&word, b"long lived");
}

#[test]
fn a_map_of_another_layout_stops_the_start_by_its_name_and_both_numbers() {
    let Some(stage) = Stage::new("layouts") else {
        return;
    };
    drop(stage.load());
    let maps = PinDirectory::new(stage.bpffs()).path().join("maps");
    // As a later release would leave it: its own beside what it no longer uses.
    std::fs::rename(maps.join("hops"), maps.join("hops-3")).expect("rename");
    assert_eq!(
        refused(&stage, &Stage::config()),
        format!(
            "map 'hops' is pinned in {} with layout 3, this release has layout 1; nothing was touched, and the programs of \
             the other release go on",
            maps.display()
        )
    );
    std::fs::rename(maps.join("hops-3"), maps.join("hops")).expect("rename");
    // A map that only another release has is nothing that we could misread.
    std::fs::rename(maps.join("drops"), maps.join("mesh_keys-2")).expect("rename");
    drop(stage.load());
}

#[test]
fn pins_that_are_arranged_in_another_way_stop_the_start() {
    let Some(stage) = Stage::new("other") else {
        return;
    };
    drop(stage.load());
    let ours = PinDirectory::new(stage.bpffs()).path().to_owned();
    let theirs = ours.with_file_name("abi-2");
    std::fs::rename(&ours, &theirs).expect("rename");
    let expected = format!(
        "{} has pins of another release, this one pins in 'abi-1'",
        theirs.display()
    );
    let said = refused(&stage, &Stage::config());
    assert!(said.starts_with(&expected), "{said}");
}
