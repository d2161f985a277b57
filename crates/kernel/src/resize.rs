//! Tables that change their size while programs use them: copied, then every program replaced at once, then copied again
//! for what came meanwhile.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use netlink::Handle;

use crate::attach;
use crate::config::Config;
use crate::layout::{self, MapKind, MapSpec};
use crate::maps::possible_cpus;
use crate::object::{LoadError, Programs};
use crate::pin::{PinDirectory, PinError};
use crate::sys::{self, BatchEnd};

/// Entries that one call asks for at first.
const BATCH: u32 = 1024;
/// Of a table that shrinks, at most so much may be in use afterwards: the collector keeps it there, too.
const IN_USE_PERCENT: u64 = 80;

/// A pinned map that has another capacity than is asked for.
#[derive(Debug)]
pub(crate) struct Resized {
    /// What is asked for.
    pub(crate) spec: MapSpec,
    old: OwnedFd,
}

/// Whether a start with `config` over what is pinned under `bpffs` is possible. Changes nothing.
pub fn check(bpffs: &Path, config: &Config) -> Result<(), LoadError> {
    config.validate()?;
    survey(&PinDirectory::new(bpffs), &layout::maps(config))?;
    Ok(())
}

/// The pinned maps whose capacity is to change; refuses what cannot be taken over. Changes nothing.
pub(crate) fn survey(pins: &PinDirectory, specs: &[MapSpec]) -> Result<Vec<Resized>, PinError> {
    pins.check_layouts(specs)?;
    let mut resized = Vec::new();
    for spec in specs {
        let Some(info) = pins.info(spec)? else {
            continue;
        };
        let found = info.max_entries;
        let as_found = MapSpec {
            max_entries: found,
            ..*spec
        };
        let Some(old) = pins.open_map(&as_found)? else {
            continue;
        };
        if found == spec.max_entries {
            continue;
        }
        let entries = match spec.kind {
            MapKind::Ring => 0,
            _ if found < spec.max_entries => 0,
            _ => count(spec, old.as_fd()).map_err(|error| failed("count", spec, pins, error))?,
        };
        if u64::from(entries) > u64::from(spec.max_entries) * IN_USE_PERCENT / 100 {
            return Err(PinError::Full {
                map: spec.name,
                found,
                entries,
                wanted: spec.max_entries,
            });
        }
        resized.push(Resized { spec: *spec, old });
    }
    Ok(resized)
}

/// Brings the new maps, which lie under their temporary names, into force: `programs` use them, and take the place of those
/// that run. Who is killed between the two steps loses what programs wrote since the first.
pub(crate) fn bring_into_force(
    pins: &PinDirectory,
    resized: &[Resized],
    programs: &Programs,
) -> Result<(), LoadError> {
    if resized.is_empty() {
        return Ok(());
    }
    let mut pairs = Vec::new();
    for map in resized {
        let path = pins.map(&map.spec);
        let new = PinDirectory::open(&PinDirectory::unfinished(&path))?;
        let new = new.ok_or_else(|| PinError::Missing { path: path.clone() })?;
        copy(&map.spec, map.old.as_fd(), new.as_fd())
            .map_err(|error| failed("copy", &map.spec, pins, error))?;
        pairs.push((map, path, new));
    }
    for (_, path, _) in &pairs {
        PinDirectory::finish(path)?;
    }
    let replaced = Handle::open().map_err(attach::AttachError::from);
    replaced
        .and_then(|handle| attach::replace_all(&handle, pins, programs))
        .map_err(|error| LoadError::Replace(Box::new(error)))?;
    for (map, _, new) in &pairs {
        copy(&map.spec, map.old.as_fd(), new.as_fd())
            .map_err(|error| failed("copy", &map.spec, pins, error))?;
    }
    Ok(())
}

fn failed(
    operation: &'static str,
    spec: &MapSpec,
    pins: &PinDirectory,
    source: io::Error,
) -> PinError {
    PinError::Io {
        operation,
        path: pins.map(spec),
        source,
    }
}

/// Copies entries that the new map does not have.
fn copy(spec: &MapSpec, old: BorrowedFd<'_>, new: BorrowedFd<'_>) -> io::Result<()> {
    // What waits in a ring is for the reader of the programs that wrote it.
    if spec.kind == MapKind::Ring {
        return Ok(());
    }
    walk(spec, old, |key, value| {
        match sys::update(new, key, value, sys::CREATE) {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
            done => done,
        }
    })
}

fn count(spec: &MapSpec, map: BorrowedFd<'_>) -> io::Result<u32> {
    let mut count = 0;
    walk(spec, map, |_, _| {
        count += 1;
        Ok(())
    })?;
    Ok(count)
}

/// Key and value of every entry, as bytes; entries that come or go meanwhile may be missed.
fn walk(
    spec: &MapSpec,
    map: BorrowedFd<'_>,
    mut visit: impl FnMut(&[u8], &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let key_size = spec.key_size as usize;
    let value_size = match spec.kind {
        MapKind::PerCpuHash | MapKind::PerCpuArray => {
            (spec.value_size as usize).next_multiple_of(8) * possible_cpus()
        }
        _ => spec.value_size as usize,
    };
    let (mut cursor, mut first, mut size) = (vec![0; key_size.max(4)], true, BATCH);
    loop {
        let mut keys = vec![0; size as usize * key_size];
        let mut values = vec![0; size as usize * value_size];
        let found = sys::lookup_batch(map, first, &mut cursor, &mut keys, &mut values, size);
        let (found, end) = match found {
            // A bucket of the hash holds more than that.
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && size < 1 << 20 => {
                size *= 2;
                continue;
            }
            found => found?,
        };
        let entries = keys
            .chunks_exact(key_size)
            .zip(values.chunks_exact(value_size));
        for (key, value) in entries.take(found as usize) {
            visit(key, value)?;
        }
        if end == BatchEnd::Done {
            return Ok(());
        }
        first = false;
    }
}
