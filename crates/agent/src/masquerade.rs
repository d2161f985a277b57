//! Destinations that are not masqueraded, from a file in the format of the ip-masq-agent, read again and again.
//!
//! The file may come, change and go while the agent runs. One that cannot be read or understood leaves the last list in
//! force, also over a restart (what a file said last is kept in the state directory), and the status names the field.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use reconcile::TaskGroup;
use serde_yaml_ng::Value;
use tokio::sync::watch;

/// What the ip-masq-agent spares when its file names no prefixes: private and reserved ranges.
const DEFAULT: [&str; 11] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
];
const LINK_LOCAL: &str = "169.254.0.0/16";
const LINK_LOCAL_IPV6: &str = "fe80::/10";
/// Name of the file of the last good content, in the state directory.
const KEPT: &str = "masquerade-list";
const LAST: &str = "the last good list is in force";
const NEVER: &str =
    "there was no good list, the private ranges are spared as if the file were empty";
const RESYNC: Duration = Duration::from_mins(1);

/// The list in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spared {
    /// Prefixes, sorted.
    pub nets: Arc<[IpNet]>,
    /// What is wrong with the file as it is now.
    pub problem: Option<String>,
}

/// What a file says.
#[derive(Debug, PartialEq, Eq)]
struct List {
    nets: Vec<IpNet>,
    resync: Duration,
}

/// The file, and what it last said.
struct File {
    path: PathBuf,
    /// Its last good content.
    kept: PathBuf,
    sender: watch::Sender<Spared>,
}

/// Follows a file, which is read once before this returns; without one nothing is spared.
pub fn follow(
    path: Option<PathBuf>,
    state_dir: &Path,
    tasks: &TaskGroup,
) -> watch::Receiver<Spared> {
    let (sender, receiver) = watch::channel(Spared::default());
    let Some(path) = path else {
        return receiver;
    };
    let file = File {
        path,
        kept: state_dir.join(KEPT),
        sender,
    };
    let mut resync = file.take_in(RESYNC);
    tasks.spawn("masquerade list", move |stop| async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(resync) => {}
            }
            resync = file.take_in(resync);
        }
    });
    receiver
}

impl File {
    /// Reads the file; says when to read it again.
    fn take_in(&self, resync: Duration) -> Duration {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            // No file is a file that says nothing.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return self.complain(&error.to_string(), resync),
        };
        let list = match parse(&text) {
            Ok(list) => list,
            Err(problem) => return self.complain(&problem, resync),
        };
        let spared = Spared {
            nets: list.nets.into(),
            problem: self.keep(&text).err(),
        };
        self.sender.send_if_modified(|now| {
            let differs = *now != spared;
            if differs {
                let (path, prefixes) = (self.path.display(), spared.nets.len());
                tracing::info!(%path, prefixes, "destinations are not masqueraded");
                *now = spared;
            }
            differs
        });
        list.resync
    }

    /// Keeps a good content for the next start, unless it is kept already.
    fn keep(&self, text: &str) -> Result<(), String> {
        if std::fs::read_to_string(&self.kept).is_ok_and(|kept| kept == text) {
            return Ok(());
        }
        let temporary = self.kept.with_extension("new");
        std::fs::write(&temporary, text)
            .and_then(|()| std::fs::rename(&temporary, &self.kept))
            .map_err(|error| {
                let kept = self.kept.display();
                format!("{kept}: the list of destinations is not kept for the next start: {error}")
            })
    }

    fn complain(&self, problem: &str, resync: Duration) -> Duration {
        let problem = format!(
            "ip-masq-agent-config-path {}: {problem}",
            self.path.display()
        );
        self.sender.send_if_modified(|now| {
            let begun = now.problem.is_some() || !now.nets.is_empty();
            let (nets, instead) = if begun {
                (Arc::clone(&now.nets), LAST)
            } else {
                self.kept_before()
            };
            let begins = format!("{problem}; ");
            if now
                .problem
                .as_ref()
                .is_some_and(|said| said.starts_with(&begins))
            {
                return false;
            }
            let problem = begins + instead;
            tracing::error!(problem, "the list of destinations cannot be used");
            *now = Spared {
                nets,
                problem: Some(problem),
            };
            true
        });
        resync
    }

    /// What a former run had in force; a file that was never good says nothing.
    fn kept_before(&self) -> (Arc<[IpNet]>, &'static str) {
        let kept = std::fs::read_to_string(&self.kept).ok();
        if let Some(list) = kept.and_then(|text| parse(&text).ok()) {
            return (list.nets.into(), LAST);
        }
        let nets = parse("").map(|list| list.nets).unwrap_or_default();
        (nets.into(), NEVER)
    }
}

/// JSON or YAML; the error names the field.
fn parse(text: &str) -> Result<List, String> {
    let value: Value = serde_yaml_ng::from_str(text).map_err(|error| error.to_string())?;
    if !value.is_mapping() && !value.is_null() {
        return Err("the file is not a mapping of fields".to_owned());
    }
    let mut nets = prefixes(value.get("nonMasqueradeCIDRs"))?;
    if nets.is_empty() {
        nets.extend(DEFAULT.iter().filter_map(|net| net.parse::<IpNet>().ok()));
    }
    for (field, net) in [
        ("masqLinkLocal", LINK_LOCAL),
        ("masqLinkLocalIPv6", LINK_LOCAL_IPV6),
    ] {
        if !flag(value.get(field), field)? {
            nets.extend(net.parse::<IpNet>());
        }
    }
    nets.sort_unstable();
    nets.dedup();
    Ok(List {
        nets,
        resync: interval(value.get("resyncInterval"))?,
    })
}

fn prefixes(of: Option<&Value>) -> Result<Vec<IpNet>, String> {
    let entries = match of {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Sequence(entries)) => entries,
        Some(_) => return Err("nonMasqueradeCIDRs: not a list".to_owned()),
    };
    let entries = entries.iter().enumerate();
    entries
        .map(|(at, entry)| {
            let net = entry.as_str().and_then(|text| text.parse::<IpNet>().ok());
            net.filter(|net| net.trunc() == *net).ok_or_else(|| {
                let shown = serde_yaml_ng::to_string(entry).unwrap_or_default();
                format!("nonMasqueradeCIDRs[{at}]: {} is not a prefix", shown.trim())
            })
        })
        .collect()
}

fn flag(of: Option<&Value>, field: &str) -> Result<bool, String> {
    match of {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(set)) => Ok(*set),
        Some(_) => Err(format!("{field}: neither true nor false")),
    }
}

fn interval(of: Option<&Value>) -> Result<Duration, String> {
    let bad = || "resyncInterval: not a duration like 60s".to_owned();
    let span = match of {
        None | Some(Value::Null) => return Ok(RESYNC),
        Some(value) => value.as_str().ok_or_else(bad)?,
    };
    let span: jiff::SignedDuration = span.parse().map_err(|_| bad())?;
    let span = Duration::try_from(span).map_err(|_| bad())?;
    if span.is_zero() { Err(bad()) } else { Ok(span) }
}

#[cfg(test)]
mod tests;
