//! What a process costs while it is looked at: processor time, memory, what it hears from the API server.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use netlink::diag::Diag;
use netlink::{Family, Namespace};

use crate::bench::machine;
use crate::bench::statistics::{median, percentile};

const EVERY: Duration = Duration::from_secs(1);
/// Looks between two of those that walk over all pages of a process.
const RARELY: usize = 10;
/// `/proc/PID/stat` counts in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process to be looked at.
pub(super) struct Watched<'a> {
    pub name: String,
    pub pid: u32,
    /// Where its sockets are.
    pub namespace: &'a Namespace,
    /// The other end of its connections to the API server.
    pub server: SocketAddr,
}

/// What was seen of one process.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub name: String,
    /// Shares of one processor, in percent.
    shares: Vec<f64>,
    /// Resident memory, MiB.
    resident: Vec<f64>,
    /// Of it what is the process' own and no file's, MiB.
    anonymous: Vec<f64>,
    /// Resident memory with shared pages divided, MiB.
    proportional: Vec<f64>,
    /// Memory of the maps it holds, MiB.
    pub maps: f64,
    /// The most resident memory since it started, MiB.
    pub most: f64,
    /// Octets from the API server, each socket's by its cookie.
    received: BTreeMap<u64, (u64, u64)>,
    seconds: f64,
}

impl Seen {
    /// The most resident memory at any look, MiB.
    pub(super) fn peak(&self) -> f64 {
        self.resident.iter().copied().fold(0.0, f64::max)
    }

    /// Octets a second from the API server.
    fn heard(&self) -> f64 {
        let sum: u64 = self
            .received
            .values()
            .map(|(first, last)| last - first)
            .sum();
        sum as f64 / self.seconds.max(1.0)
    }

    /// The line of the table.
    pub(super) fn figure(&self) -> String {
        let middle = |values: &[f64]| median(values).unwrap_or_default();
        let top = |values: &[f64]| percentile(values, 100.0).unwrap_or_default();
        let mean = self.shares.iter().sum::<f64>() / (self.shares.len().max(1) as f64);
        format!(
            "{}: CPU {:.1} % of one (median {:.1}, most {:.0}), RSS {:.0} MiB (most {:.0}, since its start {:.0}), \
             of it anonymous {:.0}, PSS {:.0}, maps {:.0} MiB, {:.1} kB/s from the API server",
            self.name,
            mean,
            middle(&self.shares),
            top(&self.shares),
            middle(&self.resident),
            self.peak(),
            self.most,
            middle(&self.anonymous),
            middle(&self.proportional),
            self.maps,
            self.heard() / 1e3,
        )
    }
}

/// Looks at all of them once a second until told to stop, and at least twice.
pub(super) fn look(all: &[Watched<'_>], stop: &AtomicBool) -> anyhow::Result<Vec<Seen>> {
    let mut seen: Vec<Seen> = all
        .iter()
        .map(|of| Seen {
            name: of.name.clone(),
            ..Seen::default()
        })
        .collect();
    let sockets: Vec<Diag> = all
        .iter()
        .map(|of| Diag::open_in(of.namespace))
        .collect::<Result<_, _>>()?;
    let (begun, mut looks, mut last) = (Instant::now(), 0_usize, Instant::now());
    let mut used: Vec<f64> = all
        .iter()
        .map(|of| seconds(of.pid))
        .collect::<anyhow::Result<_>>()?;
    while looks < 2 || !stop.load(Ordering::Relaxed) {
        std::thread::sleep(EVERY);
        let took = last.elapsed().as_secs_f64();
        last = Instant::now();
        for (((of, seen), diag), used) in all.iter().zip(&mut seen).zip(&sockets).zip(&mut used) {
            let now = seconds(of.pid)?;
            seen.shares.push(100.0 * (now - *used) / took);
            *used = now;
            memory(of.pid, seen, looks.is_multiple_of(RARELY))?;
            hear(diag, of.server, seen)?;
        }
        looks += 1;
    }
    for (of, seen) in all.iter().zip(&mut seen) {
        seen.seconds = begun.elapsed().as_secs_f64();
        seen.maps = machine::maps_mib(of.pid)?;
    }
    Ok(seen)
}

/// Processor time of a process so far, seconds.
fn seconds(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    // The second field is the name, which may contain anything.
    let (_, rest) = text.rsplit_once(')').context("a stat without a name")?;
    let fields = rest.split_whitespace().skip(11).take(2);
    let ticks: Vec<f64> = fields.filter_map(|field| field.parse().ok()).collect();
    ensure!(ticks.len() == 2, "{path} has no times");
    Ok(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}

fn memory(pid: u32, seen: &mut Seen, walk: bool) -> anyhow::Result<()> {
    let read = |name: &str| {
        let path = format!("/proc/{pid}/{name}");
        fs::read_to_string(&path).with_context(|| format!("read {path}"))
    };
    let status = read("status")?;
    let of = |name: &str| machine::kibibytes(&status, name).map(|kib| kib / 1024.0);
    seen.resident.push(of("VmRSS:").context("no VmRSS")?);
    seen.anonymous.push(of("RssAnon:").context("no RssAnon")?);
    seen.most = of("VmHWM:").context("no VmHWM")?;
    if walk {
        let pages = read("smaps_rollup")?;
        let kib = machine::kibibytes(&pages, "Pss:").context("no Pss")?;
        seen.proportional.push(kib / 1024.0);
    }
    Ok(())
}

/// What has come over the connections to the API server; what one brought after the last look at it is not known.
fn hear(diag: &Diag, server: SocketAddr, seen: &mut Seen) -> anyhow::Result<()> {
    let first = seen.received.is_empty();
    for (socket, octets) in diag.received(Family::V4)? {
        if socket.canonical_remote() != server {
            continue;
        }
        // What came before the first look is not ours to count.
        let begin = if first { octets } else { 0 };
        let entry = seen
            .received
            .entry(socket.cookie())
            .or_insert((begin, octets));
        entry.1 = octets;
    }
    Ok(())
}

/// Sum of the series of a counter on a page of metrics, for each value of a label.
pub(super) fn counted(page: &str, family: &str, label: &str) -> BTreeMap<String, f64> {
    let begin = format!("{family}{{");
    let wanted = format!("{label}=\"");
    let mut sums = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with(&begin)) {
        let value = line
            .rsplit(' ')
            .next()
            .and_then(|text| text.parse::<f64>().ok());
        let label = line
            .split_once(&wanted)
            .and_then(|(_, rest)| rest.split('"').next());
        if let (Some(value), Some(label)) = (value, label) {
            *sums.entry(label.to_owned()).or_insert(0.0) += value;
        }
    }
    sums
}

/// Where the API server is.
pub(super) fn server(address: impl Into<IpAddr>) -> SocketAddr {
    SocketAddr::new(address.into(), 6443)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_one_label_are_added_up_and_other_families_left_out() {
        let page = "calls{method=\"GET\",code=\"200\"} 3\ncalls{method=\"GET\",code=\"404\"} 1\n\
                    calls{method=\"POST\",code=\"201\"} 2\ncalls_more{method=\"GET\"} 9\n";
        let expected = BTreeMap::from([("GET".to_owned(), 4.0), ("POST".to_owned(), 2.0)]);
        assert_eq!(counted(page, "calls", "method"), expected);
    }

    #[test]
    fn octets_count_from_the_first_look_on_and_a_new_socket_from_its_begin() {
        let seen = Seen {
            received: BTreeMap::from([(1, (100, 150)), (2, (0, 30))]),
            seconds: 8.0,
            ..Seen::default()
        };
        assert!((seen.heard() - 10.0).abs() < 1e-9);
    }
}
