//! Numbers of the process itself, as Prometheus' clients name them.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Ticks in a second of the times in `/proc`, the same on all architectures that Linux supports (USER_HZ).
const TICKS: f64 = 100.0;
/// Octets of a page; `/proc/self/status` gives kB instead, which needs no page size.
const KILO: f64 = 1024.0;

/// `process_…` of this process. What `/proc` does not say is left out.
#[derive(Debug)]
pub struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let memory = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field))?;
            let number: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
            Some(number * KILO)
        };
        let files = std::fs::read_dir("/proc/self/fd").map(Iterator::count);
        let files = files.ok().and_then(|number| u32::try_from(number).ok());
        if let Some(seconds) = cpu_seconds() {
            // The format appends `_total`.
            let (name, help) = ("process_cpu_seconds", "CPU time, user and system");
            let counter = ConstCounter::new(seconds);
            let family = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            counter.encode(family)?;
        }
        for (name, help, value) in [
            ("resident_memory_bytes", "Memory in use", memory("VmRSS:")),
            (
                "virtual_memory_bytes",
                "Memory that is mapped",
                memory("VmSize:"),
            ),
            ("open_fds", "Open files", files.map(f64::from)),
            ("max_fds", "Open files, at most", most_files()),
            ("start_time_seconds", "Start, in Unix time", start()),
        ] {
            let Some(gauge) = value.map(ConstGauge::new) else {
                continue;
            };
            let name = format!("process_{name}");
            let family = encoder.encode_descriptor(&name, help, None, gauge.metric_type())?;
            gauge.encode(family)?;
        }
        Ok(())
    }
}

/// The fields of `/proc/self/stat` after the name, which may contain anything (proc(5)).
fn fields() -> Option<Vec<f64>> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields = rest
        .split(' ')
        .map(|field| field.trim().parse().unwrap_or_default());
    Some(fields.collect())
}

fn cpu_seconds() -> Option<f64> {
    // utime and stime are the fields 14 and 15; the first after the name is the third.
    let fields = fields()?;
    Some((fields.get(11)? + fields.get(12)?) / TICKS)
}

fn start() -> Option<f64> {
    let since_boot = fields()?.get(19)? / TICKS;
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let boot = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    let boot: f64 = boot.trim().parse().ok()?;
    Some(boot + since_boot)
}

fn most_files() -> Option<f64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
