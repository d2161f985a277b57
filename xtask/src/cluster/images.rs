//! Images of the cluster's pods, packed from programs of this machine: nothing is asked for from a registry. Kubernetes' own tests
//! name images by upstream's names; ours bear these too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::layout::{Layout, Node};
use super::{daemon, debian, golang, node};
use crate::image::{Image, digest_of};
use crate::place::Place;
use crate::process::run;
use crate::ship;

#[cfg(test)]
mod tests;

pub(super) const PAUSE: &str = "axoneme.test/pause:1";
pub(super) const AGNHOST: &str = "axoneme.test/agnhost:1";
pub(super) const COREDNS: &str = "axoneme.test/coredns:1";
const BUSYBOX: &str = "axoneme.test/busybox:1";

/// Folders that images are made of.
struct Sources {
    kubernetes: PathBuf,
    coredns: PathBuf,
    /// The distribution's packages.
    debian: PathBuf,
    pause: PathBuf,
}

/// Builds what the images consist of and writes those that changed.
pub(super) fn pack(place: &Place, layout: &Layout) -> Result<()> {
    let sources = Sources {
        kubernetes: golang::build(place, layout, golang::KUBERNETES)?,
        coredns: golang::build(place, layout, golang::COREDNS)?,
        debian: debian::unpacked(layout)?,
        pause: pause(place, layout)?,
    };
    let _alone = layout.alone("images")?;
    let known = fs::read_to_string(sources.kubernetes.join("image-names"))?;
    let folder = folder(layout);
    fs::create_dir_all(&folder)?;
    for (name, image) in images(&sources, &known)? {
        let recipe = recipe(&image)?;
        let note = folder.join(format!("{name}.recipe"));
        let archive = folder.join(format!("{name}.tar"));
        if !archive.exists() || fs::read_to_string(&note).ok() != Some(recipe.clone()) {
            image.write(&archive)?;
            fs::write(&note, recipe)?;
        }
    }
    Ok(())
}

fn folder(layout: &Layout) -> PathBuf {
    layout.built.join("images")
}

/// Everything that decides an image's bytes; of files, their size and time instead of what is in them.
fn recipe(image: &Image) -> Result<String> {
    let mut text = format!("{image:?}");
    for file in image.files.values() {
        text += &stamp(file)?;
    }
    Ok(digest_of(text.as_bytes()))
}

/// A file's name, size and time of change.
pub(super) fn stamp(file: &Path) -> Result<String> {
    let metadata = fs::metadata(file).with_context(|| file.display().to_string())?;
    Ok(format!(
        "{} {} {:?}\n",
        file.display(),
        metadata.len(),
        metadata.modified()?
    ))
}

/// The first process of every pod.
fn pause(place: &Place, layout: &Layout) -> Result<PathBuf> {
    let source = place.repo.join("tools/pause/pause.c");
    let key = &digest_of(&fs::read(&source)?)[..16];
    let program = layout.built.join(format!("pause-{key}"));
    if !program.exists() {
        run(Command::new("cc")
            .args(["-static", "-Os", "-s", "-o"])
            .arg(&program)
            .arg(&source))?;
    }
    Ok(program)
}

fn images(sources: &Sources, known: &str) -> Result<Vec<(&'static str, Image)>> {
    let upstream = |keys: &[&str]| {
        keys.iter()
            .map(|key| upstream_name(known, key))
            .collect::<Result<Vec<_>>>()
    };
    let mut pause = Image::named(&[PAUSE]);
    pause.refs.extend(upstream(&["Pause"])?);
    pause.file(&sources.pause, "/pause");
    pause.entrypoint = vec!["/pause".to_owned()];

    let mut busybox = userland(&sources.debian, BUSYBOX);
    busybox.refs.extend(upstream(&["BusyBox"])?);
    busybox
        .links
        .insert("/bin/sh".to_owned(), "busybox".to_owned());
    busybox.cmd = vec!["sh".to_owned()];

    let mut agnhost = agnhost(sources)?;
    agnhost
        .refs
        .extend(upstream(&["Agnhost", "AgnhostPrev", "GlibcDnsTesting"])?);

    let mut coredns = Image::named(&[COREDNS]);
    coredns.file(&sources.coredns.join("coredns"), "/coredns");
    coredns.entrypoint = vec!["/coredns".to_owned()];
    Ok(vec![
        ("agnhost", agnhost),
        ("busybox", busybox),
        ("coredns", coredns),
        ("pause", pause),
    ])
}

/// The name that upstream's tests have for an image: their list says `configs[Key] = Config{list.Registry, "name", "tag"}`.
fn upstream_name(known: &str, key: &str) -> Result<String> {
    let start = format!("configs[{key}] = Config{{list.");
    let found = known.lines().find_map(|line| {
        let mut parts = line.trim().strip_prefix(&start)?.split('"');
        let registry = parts.next()?.trim_end_matches([',', ' ']);
        let (name, tag) = (parts.next()?, parts.nth(1)?);
        let place = known.lines().find_map(|line| {
            let value = line.trim().strip_prefix(registry)?.strip_prefix(':')?;
            value.trim().strip_prefix('"')?.strip_suffix("\",")
        })?;
        Some(format!("{place}/{name}:{tag}"))
    });
    found.with_context(|| format!("upstream's list of images has no '{key}'"))
}

/// Programs of busybox that tests call by name.
const APPLETS: &str = "awk basename cat chmod cp cut date dd df dirname echo env expr false find grep head hostname httpd id ifconfig \
    kill ln ls md5sum mkdir mount mv nproc nslookup od ping ping6 printf ps pwd readlink rm route sed seq sha256sum sleep sort stat \
    tail tee telnet test timeout top touch tr traceroute true umount uname uniq vi wc wget which xargs";

/// A small system: busybox, and who exists.
fn userland(debian: &Path, name: &str) -> Image {
    let mut image = Image::named(&[name]);
    image.file(&debian.join("bin/busybox"), "/bin/busybox");
    for applet in APPLETS.split_whitespace() {
        image
            .links
            .insert(format!("/bin/{applet}"), "busybox".to_owned());
    }
    let mut text = |path: &str, text: &str| image.texts.insert(path.to_owned(), text.to_owned());
    text(
        "/etc/passwd",
        "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    );
    text("/etc/group", "root:x:0:\nnogroup:x:65534:\n");
    text("/etc/nsswitch.conf", "hosts: files dns\n");
    image
}

/// Upstream's test program with the tools that tests start beside it. Its shell is dash: the distribution's busybox prefers its own
/// `nc`, which lacks the options that tests use, to what is on the path.
fn agnhost(sources: &Sources) -> Result<Image> {
    let mut image = userland(&sources.debian, AGNHOST);
    image.file(&sources.kubernetes.join("agnhost"), "/agnhost");
    image
        .links
        .insert("/agnhost-2".to_owned(), "agnhost".to_owned());
    for name in ["localhost.crt", "localhost.key"] {
        image.file(&sources.kubernetes.join(name), &format!("/{name}"));
    }
    image.file(&sources.coredns.join("coredns"), "/coredns");
    let programs = [
        ("bin/dash", "/bin/sh"),
        ("bin/bash", "/bin/bash"),
        ("bin/ip", "/sbin/ip"),
        ("bin/ss", "/bin/ss"),
        ("bin/nc.openbsd", "/usr/bin/nc"),
        ("usr/bin/curl", "/usr/bin/curl"),
        ("usr/bin/dig", "/usr/bin/dig"),
        ("usr/bin/getent", "/usr/bin/getent"),
        ("usr/bin/iperf", "/usr/bin/iperf"),
        ("usr/bin/nsenter", "/usr/bin/nsenter"),
        ("usr/bin/socat", "/usr/bin/socat"),
        ("usr/bin/tcpdump", "/usr/bin/tcpdump"),
        ("usr/sbin/conntrack", "/usr/sbin/conntrack"),
    ];
    for (from, inside) in programs {
        image.program(&sources.debian.join(from), inside, &sources.debian)?;
    }
    let libraries = format!("lib/{}-linux-gnu", std::env::consts::ARCH);
    // The C library loads this by itself, to ask for names.
    for library in ["libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2"] {
        let path = format!("{libraries}/{library}");
        image.file(&sources.debian.join(&path), &format!("/{path}"));
    }
    image.folders.push("/uploads".to_owned());
    image.entrypoint = vec!["/agnhost".to_owned()];
    image.cmd = vec!["pause".to_owned()];
    Ok(image)
}

/// Archives that nodes get: ours for tests, and Axoneme's own if it was built.
fn archives(place: &Place, layout: &Layout) -> Result<Vec<PathBuf>> {
    let mut archives = Vec::new();
    for entry in fs::read_dir(folder(layout)).context("no images were packed")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "tar") {
            archives.push(path);
        }
    }
    archives.sort();
    let own = place.cache.join(ship::ARCHIVE);
    if own.exists() {
        archives.push(own);
    }
    Ok(archives)
}

/// Gives every node the images that it does not have as they are now.
pub(super) fn load(place: &Place, layout: &Layout) -> Result<()> {
    let archives = archives(place, layout)?;
    let nodes = layout.nodes();
    let results: Vec<Result<()>> = std::thread::scope(|scope| {
        let loads: Vec<_> = nodes
            .iter()
            .map(|node| scope.spawn(|| load_node(layout, node, &archives)))
            .collect();
        loads
            .into_iter()
            .map(|load| load.join().expect("a load does not panic"))
            .collect()
    });
    results.into_iter().collect()
}

fn load_node(layout: &Layout, node: &Node, archives: &[PathBuf]) -> Result<()> {
    let notes = node.folder.join("loaded");
    fs::create_dir_all(&notes)?;
    for archive in archives {
        let note = notes.join(archive.file_stem().unwrap_or_default());
        let stamp = stamp(archive)?;
        if fs::read_to_string(&note).ok().as_ref() == Some(&stamp) {
            continue;
        }
        let output = node::within(layout, node)?
            .args([
                "ctr",
                "--namespace",
                "k8s.io",
                "images",
                "import",
                "--all-platforms=false",
            ])
            .arg(archive)
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            let log = daemon::tail(&node::log(layout, node, "containerd"), 5);
            bail!(
                "{} on {}: {}\n{log}",
                archive.display(),
                node.name,
                why.trim()
            );
        }
        fs::write(&note, stamp)?;
    }
    Ok(())
}
