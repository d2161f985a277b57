//! Container images without a container engine: one layer made of files of this machine, as an archive that `ctr images
//! import`, `docker load` and tools for OCI layouts read. The same contents give the same bytes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

#[cfg(test)]
mod tests;

/// How the layer lies in the archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Packing {
    /// As it is: what stays on this machine is imported faster.
    #[default]
    Plain,
    /// Compressed by gzip: what is sent to others.
    Gzip,
}

/// What an image consists of. Paths inside are absolute; folders above them are made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    /// Names with tags, as pods name them.
    pub(crate) refs: Vec<String>,
    /// Path inside → file of this machine. It stays executable if it is.
    pub(crate) files: BTreeMap<String, PathBuf>,
    /// Path inside → what the symbolic link points to.
    pub(crate) links: BTreeMap<String, String>,
    /// Path inside → contents.
    pub(crate) texts: BTreeMap<String, String>,
    /// Folders that would else not be there.
    pub(crate) folders: Vec<String>,
    /// The program and its first words.
    pub(crate) entrypoint: Vec<String>,
    /// Words that a pod's `args` replace.
    pub(crate) cmd: Vec<String>,
    /// `NAME=value`.
    pub(crate) env: Vec<String>,
    /// User, or user:group, by number; root if empty.
    pub(crate) user: String,
    /// Labels of the image, such as `org.opencontainers.image.version`.
    pub(crate) labels: BTreeMap<String, String>,
    /// Whether the layer is compressed.
    pub(crate) packing: Packing,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// `sha256:…` of the manifest: the image's own digest.
    pub(crate) digest: String,
    /// Bytes of the layer as it lies in the archive.
    pub(crate) layer_bytes: u64,
}

impl Image {
    /// An image of these names with nothing in it.
    pub(crate) fn named(refs: &[&str]) -> Image {
        Image {
            refs: refs.iter().map(|name| (*name).to_owned()).collect(),
            ..Image::default()
        }
    }

    /// Takes a file of this machine along.
    pub(crate) fn file(&mut self, from: &Path, inside: &str) -> &mut Image {
        self.files.insert(inside.to_owned(), from.to_path_buf());
        self
    }

    /// Takes a program with the shared libraries that it needs. `root` is a folder with unpacked packages, whose libraries
    /// come before those of this machine.
    pub(crate) fn program(&mut self, from: &Path, inside: &str, root: &Path) -> Result<&mut Image> {
        self.file(from, inside);
        for (library, file) in libraries(from, root)? {
            self.file(&file, &library);
        }
        Ok(self)
    }

    /// Writes the archive; it is there whole or not at all.
    pub(crate) fn write(&self, to: &Path) -> Result<Written> {
        let folder = to.parent().context("an archive lies in a folder")?;
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let unfinished = to.with_extension("unfinished");
        let mut layer = self.layer(&to.with_extension("layer"))?;
        let written = self
            .archive(&unfinished, &mut layer)
            .with_context(|| to.display().to_string())?;
        fs::remove_file(&layer.path)?;
        fs::rename(&unfinished, to)?;
        Ok(written)
    }

    /// Everything inside, by path: what a layer's tar holds in this order.
    fn entries(&self) -> Result<BTreeMap<String, Entry<'_>>> {
        let mut entries = BTreeMap::new();
        for folder in ["/dev", "/etc", "/proc", "/sys", "/tmp"] {
            entries.insert(folder.to_owned(), Entry::Folder);
        }
        let folders = self.folders.iter().map(|path| (path, Entry::Folder));
        let files = self
            .files
            .iter()
            .map(|(path, from)| (path, Entry::File(from)));
        let links = self
            .links
            .iter()
            .map(|(path, target)| (path, Entry::Link(target)));
        let texts = self
            .texts
            .iter()
            .map(|(path, text)| (path, Entry::Text(text)));
        for (path, entry) in folders.chain(files).chain(links).chain(texts) {
            if !path.starts_with('/') || path.ends_with('/') || path.contains("/../") {
                bail!("'{path}' is no absolute path in an image");
            }
            for (at, _) in path.match_indices('/').skip(1) {
                entries
                    .entry(path[..at].to_owned())
                    .or_insert(Entry::Folder);
            }
            entries.insert(path.clone(), entry);
        }
        Ok(entries)
    }

    /// Writes the one layer beside the archive, because its digests stand before it.
    fn layer(&self, path: &Path) -> Result<Layer> {
        let file = File::options()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(path)
            .with_context(|| path.display().to_string())?;
        let (diff, blob) = match self.packing {
            Packing::Plain => {
                let sum = self.fill(Summed::over(file))?;
                let digest = sum.digest();
                (digest.clone(), (digest, sum.inner))
            }
            Packing::Gzip => {
                let gzip = GzEncoder::new(Summed::over(file), Compression::best());
                let sum = self.fill(Summed::over(gzip))?;
                let diff = sum.digest();
                let packed = sum.inner.finish()?;
                (diff, (packed.digest(), packed.inner))
            }
        };
        let (digest, file) = blob;
        let bytes = file.metadata()?.len();
        Ok(Layer {
            path: path.to_path_buf(),
            file,
            diff,
            digest,
            bytes,
        })
    }

    fn fill<W: Write>(&self, to: W) -> Result<W> {
        let mut tar = Builder::new(to);
        for (path, entry) in self.entries()? {
            entry
                .append(&mut tar, &path)
                .with_context(|| format!("'{path}' of an image"))?;
        }
        Ok(tar.into_inner()?)
    }

    /// Both layouts at once: an OCI layout, and the list that older engines look for; the blobs are the same.
    fn archive(&self, to: &Path, layer: &mut Layer) -> Result<Written> {
        let config = self.config(layer).to_string();
        let config_digest = digest_of(config.as_bytes());
        let layer_type = match self.packing {
            Packing::Plain => "application/vnd.oci.image.layer.v1.tar",
            Packing::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
        };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": format!("sha256:{config_digest}"), "size": config.len()},
            "layers": [{"mediaType": layer_type, "digest": format!("sha256:{}", layer.digest), "size": layer.bytes}],
        })
        .to_string();
        let digest = format!("sha256:{}", digest_of(manifest.as_bytes()));
        let list = json!([{
            "Config": blob(&config_digest),
            "RepoTags": self.refs,
            "Layers": [blob(&layer.digest)],
        }]);
        let mut tar = Builder::new(File::create(to)?);
        let index = self.index(&digest, manifest.len()).to_string();
        append(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        append(&mut tar, "index.json", index.as_bytes())?;
        append(&mut tar, "manifest.json", list.to_string().as_bytes())?;
        append(
            &mut tar,
            &blob(&digest_of(manifest.as_bytes())),
            manifest.as_bytes(),
        )?;
        append(&mut tar, &blob(&config_digest), config.as_bytes())?;
        layer.file.seek(SeekFrom::Start(0))?;
        let mut header = header(EntryType::Regular, 0o644, layer.bytes);
        tar.append_data(&mut header, blob(&layer.digest), &mut layer.file)?;
        tar.into_inner()?.flush()?;
        Ok(Written {
            digest,
            layer_bytes: layer.bytes,
        })
    }

    /// The list of manifests: one entry for each name, because a name is an annotation of it.
    fn index(&self, digest: &str, size: usize) -> Value {
        let manifests: Vec<Value> = self
            .refs
            .iter()
            .map(|name| {
                let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
                json!({
                    "mediaType": MANIFEST_TYPE,
                    "digest": digest,
                    "size": size,
                    "annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag},
                })
            })
            .collect();
        json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests})
    }

    fn config(&self, layer: &Layer) -> Value {
        let mut env =
            vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()];
        env.extend(self.env.iter().cloned());
        json!({
            "architecture": architecture(),
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {
                "Entrypoint": self.entrypoint, "Cmd": self.cmd, "Env": env, "User": self.user,
                "WorkingDir": "/", "Labels": self.labels,
            },
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", layer.diff)]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "./x"}],
        })
    }
}

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// This machine's architecture, as images call it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A layer that is written.
struct Layer {
    path: PathBuf,
    file: File,
    /// Digest of the tar, in hexadecimal.
    diff: String,
    /// Digest of what lies in the archive, in hexadecimal.
    digest: String,
    bytes: u64,
}

/// One path of a layer.
enum Entry<'a> {
    Folder,
    File(&'a Path),
    Link(&'a str),
    Text(&'a str),
}

impl Entry<'_> {
    fn append<W: Write>(&self, tar: &mut Builder<W>, path: &str) -> Result<()> {
        let name = path.trim_start_matches('/');
        match self {
            Entry::Folder => {
                let mode = if path == "/tmp" { 0o1777 } else { 0o755 };
                let mut header = header(EntryType::Directory, mode, 0);
                tar.append_data(&mut header, format!("{name}/"), io::empty())?;
            }
            Entry::Link(target) => {
                let mut header = header(EntryType::Symlink, 0o777, 0);
                tar.append_link(&mut header, name, target)?;
            }
            Entry::Text(text) => append(tar, name, text.as_bytes())?,
            Entry::File(from) => {
                let file = File::open(from).with_context(|| from.display().to_string())?;
                let metadata = file.metadata()?;
                let executable = metadata.permissions().mode() & 0o111 != 0;
                let mode = if executable { 0o755 } else { 0o644 };
                let mut header = header(EntryType::Regular, mode, metadata.len());
                tar.append_data(&mut header, name, file.take(metadata.len()))?;
            }
        }
        Ok(())
    }
}

/// A header in which nothing is of this machine or of now.
fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn append<W: Write>(tar: &mut Builder<W>, name: &str, bytes: &[u8]) -> Result<()> {
    let mut header = header(EntryType::Regular, 0o644, bytes.len() as u64);
    Ok(tar.append_data(&mut header, name, bytes)?)
}

fn blob(digest: &str) -> String {
    format!("blobs/sha256/{digest}")
}

/// SHA-256 in hexadecimal.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A writer that sums what goes through it.
struct Summed<W> {
    inner: W,
    hash: Sha256,
}

impl<W: Write> Summed<W> {
    fn over(inner: W) -> Summed<W> {
        Summed {
            inner,
            hash: Sha256::new(),
        }
    }

    fn digest(&self) -> String {
        hexadecimal(&self.hash.clone().finalize())
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.inner.write(bytes)?;
        self.hash.update(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Path inside and file of each shared library, the loader too, that the dynamic loader finds for a program.
fn libraries(program: &Path, root: &Path) -> Result<Vec<(String, PathBuf)>> {
    let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
    let folders = ["usr/lib", "lib"].map(|lib| root.join(lib).join(&triplet).display().to_string());
    let output = Command::new("ldd")
        .arg(program)
        .env("LD_LIBRARY_PATH", folders.join(":"))
        .output()
        .context("cannot start 'ldd'")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() && !text.contains("not a dynamic executable") {
        let why = String::from_utf8_lossy(&output.stderr);
        if !why.contains("not a dynamic executable") {
            bail!("ldd {}: {}", program.display(), why.trim());
        }
    }
    found_libraries(&text)?
        .into_iter()
        .map(|file| {
            let inside = match file.strip_prefix(&root.display().to_string()) {
                Some(inside) => format!("/{}", inside.trim_start_matches('/')),
                None => file.clone(),
            };
            Ok((inside, PathBuf::from(file)))
        })
        .collect()
}

/// The files in what `ldd` prints: `name => /path (0x…)`, or `/loader (0x…)`.
fn found_libraries(text: &str) -> Result<Vec<String>> {
    if let Some(line) = text.lines().find(|line| line.contains("=> not found")) {
        bail!("a shared library is missing: {}", line.trim());
    }
    let files = text.lines().filter_map(|line| {
        let (before, _) = line.rsplit_once(" (0x")?;
        let file = before.rsplit_once("=> ").map_or(before, |(_, file)| file);
        file.trim().starts_with('/').then(|| file.trim().to_owned())
    });
    Ok(files.collect())
}
