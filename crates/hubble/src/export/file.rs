//! A file that is put aside when it is full, under a name with the time; only so many are kept.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;

/// Where lines go.
pub(super) enum Output {
    Stdout,
    File(Rotated),
}

impl Output {
    /// Writes whole lines; the path of a file that was put aside meanwhile.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<Option<PathBuf>> {
        match self {
            Self::Stdout => io::stdout().lock().write_all(lines).map(|()| None),
            Self::File(file) => file.write(lines),
        }
    }
}

/// A file with a size that it does not exceed, but for a single line that is longer.
pub(super) struct Rotated {
    path: PathBuf,
    max_size: u64,
    open: Option<(File, u64)>,
}

impl Rotated {
    pub(super) fn new(path: PathBuf, max_size: u64) -> Self {
        Self {
            path,
            max_size,
            open: None,
        }
    }

    fn write(&mut self, mut lines: &[u8]) -> io::Result<Option<PathBuf>> {
        let mut aside = None;
        while !lines.is_empty() {
            let (mut file, size) = match self.open.take() {
                Some(open) => open,
                None => self.open()?,
            };
            let fits = whole_lines(lines, self.max_size.saturating_sub(size));
            if fits == 0 && size > 0 {
                drop(file);
                aside = Some(self.put_aside()?);
                continue;
            }
            // A line that is longer than a file may be gets a file of its own.
            let length = if fits == 0 { first_line(lines) } else { fits };
            let (now, rest) = lines.split_at(length);
            file.write_all(now)?;
            self.open = Some((file, size + now.len() as u64));
            lines = rest;
        }
        Ok(aside)
    }

    fn open(&self) -> io::Result<(File, u64)> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut options = OpenOptions::new();
        let file = options
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.path)?;
        let size = file.metadata()?.len();
        Ok((file, size))
    }

    /// Gives the full file its name among those put aside.
    fn put_aside(&self) -> io::Result<PathBuf> {
        let (stem, extension) = parts(&self.path);
        let mut time = Timestamp::now();
        loop {
            let stamp = time.strftime("%Y-%m-%dT%H-%M-%S%.3f");
            let name = self
                .path
                .with_file_name(format!("{stem}-{stamp}{extension}"));
            if !name.exists() && !compressed(&name).exists() {
                fs::rename(&self.path, &name)?;
                return Ok(name);
            }
            time += std::time::Duration::from_millis(1);
        }
    }
}

/// Length of the first lines that together have at most `room` octets.
fn whole_lines(lines: &[u8], room: u64) -> usize {
    let room = usize::try_from(room).unwrap_or(usize::MAX).min(lines.len());
    let within = &lines[..room];
    let end = within.iter().rposition(|octet| *octet == b'\n');
    end.map_or(0, |end| end + 1)
}

fn first_line(lines: &[u8]) -> usize {
    let end = lines.iter().position(|octet| *octet == b'\n');
    end.map_or(lines.len(), |end| end + 1)
}

/// Name without extension, and the extension with its dot.
fn parts(path: &Path) -> (String, String) {
    let text = |part: Option<&std::ffi::OsStr>| {
        part.map(|part| part.to_string_lossy().into_owned())
            .unwrap_or_default()
    };
    let extension = match text(path.extension()) {
        extension if extension.is_empty() => extension,
        extension => format!(".{extension}"),
    };
    (text(path.file_stem()), extension)
}

fn compressed(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".gz");
    name.into()
}

/// Compresses a file that was put aside, if wanted, and removes the oldest beyond `keep`.
pub(super) fn tidy(path: &Path, aside: &Path, compress: bool, keep: usize) -> io::Result<()> {
    if compress {
        let unfinished = aside.with_extension("unfinished");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut encoder = GzEncoder::new(options.open(&unfinished)?, Compression::default());
        io::copy(&mut File::open(aside)?, &mut encoder)?;
        encoder.finish()?;
        fs::rename(unfinished, compressed(aside))?;
        fs::remove_file(aside)?;
    }
    let mut all = aside_of(path)?;
    let too_many = all.len().saturating_sub(keep);
    all.sort();
    for (_, old) in all.iter().take(too_many) {
        fs::remove_file(old)?;
    }
    Ok(())
}

/// The files put aside for a path, with their times.
fn aside_of(path: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let (stem, extension) = parts(path);
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let plain = name.strip_suffix(".gz").unwrap_or(&name);
        let stamp = plain
            .strip_prefix(stem.as_str())
            .and_then(|rest| rest.strip_prefix('-'))
            .and_then(|rest| rest.strip_suffix(extension.as_str()));
        if let Some(stamp) = stamp.filter(|stamp| is_stamp(stamp)) {
            all.push((stamp.to_owned(), entry.path()));
        }
    }
    Ok(all)
}

/// Whether it looks like `2026-01-31T12-00-00.000`, so that no file of somebody else is touched.
fn is_stamp(text: &str) -> bool {
    const LIKE: &[u8] = b"0000-00-00T00-00-00.000";
    text.len() == LIKE.len()
        && text.bytes().zip(LIKE).all(|(octet, like)| match like {
            b'0' => octet.is_ascii_digit(),
            like => octet == *like,
        })
}

#[cfg(test)]
mod tests;
