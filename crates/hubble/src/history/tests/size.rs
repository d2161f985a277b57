//! Octets on disk of what the records of a node are mostly made of.

use std::collections::BTreeMap;

use datapath::abi::sample::Sample;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::connections::Entry;
use crate::truth::{Batch, Generator, Reader, Step, Way};

const BEGIN_NS: u64 = 1_000_000_000_000;
const WALL: u64 = 1_800_000_000;
/// Connections, as many as `./x bench` makes.
const CONNECTIONS: usize = 20_000;

/// Octets of a record on disk, and of all in each column.
type Size = (f64, BTreeMap<String, i64>);

/// Keeps what is said to and by a port, or all that is told of connections.
#[allow(
    clippy::cast_precision_loss,
    reason = "octets, by the ten thousand records"
)]
fn octets(batch: &Batch, port: Option<u16>) -> Size {
    let directory = tempfile::tempdir().unwrap();
    let place = Some((directory.path(), 1 << 40));
    let mut reader = Reader::new(place, BEGIN_NS, WALL).unwrap();
    let is_of = |sample: &Sample, port: u16| {
        let ports = [sample.key.low_port, sample.key.high_port, sample.to_port];
        ports.contains(&port.to_be())
    };
    let (mut said, mut gone) = (0, 0);
    for (at_ns, step) in &batch.steps {
        let is_wanted = match (step, port) {
            (Step::Second, _) | (Step::Event(..) | Step::Entry(..), None) => true,
            (Step::Sample(sample, _), Some(port)) => is_of(sample, port),
            _ => false,
        };
        if is_wanted {
            reader.take(*at_ns, step, |_| said += 1);
            gone += u64::from(match step {
                Step::Event(..) => true,
                Step::Entry(_, _, entry, _) => *entry == Entry::Goes,
                _ => false,
            });
        }
    }
    let history = reader.history().unwrap();
    history.seal().unwrap();
    let mut columns = BTreeMap::new();
    for entry in std::fs::read_dir(directory.path().join("records")).unwrap() {
        let octets = std::fs::read(entry.unwrap().path()).unwrap();
        let read = SerializedFileReader::new(bytes::Bytes::from(octets)).unwrap();
        let groups = read.metadata().row_groups().iter();
        for column in groups.flat_map(RowGroupMetaData::columns) {
            *columns.entry(column.column_path().string()).or_default() += column.compressed_size();
        }
    }
    (history.bytes() as f64 / (said + gone) as f64, columns)
}

#[test]
fn records_take_few_octets_on_disk() {
    let batch = Generator::new(1, BEGIN_NS).batch(CONNECTIONS, Way::Whole);
    // A third of the requests has a trace.
    let sizes = [
        ("connection", None, 9.0),
        ("request", Some(8080), 18.0),
        ("question", Some(53), 13.0),
    ];
    let told = sizes.map(|(what, port, bound)| {
        let (octets, columns) = octets(&batch, port);
        println!("figure: {octets:.1} octets of a {what}");
        (what, octets, bound, columns)
    });
    for (what, octets, bound, columns) in told {
        assert!(octets < bound, "{octets} octets of a {what}: {columns:?}");
    }
}
