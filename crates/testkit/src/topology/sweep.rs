//! Removing a topology by its name alone, so that the next run can clean up after one that was killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::mount::{UnmountFlags, unmount};

const DIRECTORY: &str = "/run/axoneme";

/// Where files of a topology are.
pub(super) fn directory(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(name)
}

/// Where cgroup2 is mounted on this machine.
pub fn cgroup_mount() -> anyhow::Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("read /proc/self/mounts")?;
    mounts
        .lines()
        .find_map(|line| {
            let mut words = line.split(' ');
            let (_, path, kind) = (words.next()?, words.next()?, words.next()?);
            (kind == "cgroup2").then(|| PathBuf::from(path))
        })
        .context("no cgroup2 file system is mounted")
}

/// Names of the topologies that have files on this machine.
pub(super) fn names() -> Vec<String> {
    entries(Path::new(DIRECTORY))
}

/// Removes everything that bears the topology's name: processes, mounts, namespaces, cgroup, files.
pub fn sweep(name: &str) -> anyhow::Result<()> {
    let cgroup = cgroup_mount()?.join(name);
    end_processes(&cgroup)?;
    unmount_below(&directory(name))?;
    for entry in fs::read_dir(netlink::namespace::DIRECTORY)
        .into_iter()
        .flatten()
        .flatten()
    {
        let file = entry.file_name();
        if let Some(found) = file
            .to_str()
            .filter(|found| found.starts_with(&format!("{name}-")))
        {
            netlink::namespace::delete_named(found)?;
        }
    }
    remove_groups(&cgroup)?;
    match fs::remove_dir_all(directory(name)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).context("remove the topology's files");
        }
        _ => {}
    }
    // Fails while another topology has files there, as it should.
    let _ = fs::remove_dir(DIRECTORY);
    Ok(())
}

/// What names of namespaces and folders begin with that a test made without a topology; its process id follows, and a dash.
const OF_A_TEST: &str = "axt-";

/// Removes namespaces, mounts and folders of tests whose process is dead.
pub fn sweep_dead() -> anyhow::Result<()> {
    for name in entries(Path::new(netlink::namespace::DIRECTORY)) {
        if is_of_the_dead(&name) {
            netlink::namespace::delete_named(&name)?;
        }
    }
    let folder = std::env::temp_dir();
    for name in entries(&folder) {
        if is_of_the_dead(&name) {
            let path = folder.join(name);
            unmount_below(&path)?;
            fs::remove_dir_all(&path).with_context(|| format!("remove {}", path.display()))?;
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

fn is_of_the_dead(name: &str) -> bool {
    let id = name
        .strip_prefix(OF_A_TEST)
        .and_then(|rest| rest.split_once('-'))
        .and_then(|(id, _)| id.parse::<u32>().ok());
    id.is_some_and(|id| !Path::new(&format!("/proc/{id}")).exists())
}

/// Makes the topology's folder. Its parent may vanish just then, when the last other topology takes it away.
pub(super) fn make_directory(path: &std::path::Path) -> std::io::Result<()> {
    for _ in 0..100 {
        match fs::create_dir_all(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            result => return result,
        }
    }
    fs::create_dir_all(path)
}

/// Ends every process of the topology, at once; waiting for any of them then fails, and whoever holds it cleans up.
pub fn end(name: &str) -> anyhow::Result<()> {
    end_processes(&cgroup_mount()?.join(name))
}

/// Kills all that runs in the group, which we made, and waits for it to be empty (`cgroup.kill`, Linux 5.14).
fn end_processes(cgroup: &Path) -> anyhow::Result<()> {
    if !cgroup.exists() {
        return Ok(());
    }
    fs::write(cgroup.join("cgroup.kill"), "1")
        .with_context(|| format!("end what runs in {}", cgroup.display()))?;
    let end = Instant::now() + Duration::from_secs(10);
    while is_populated(cgroup) {
        if Instant::now() > end {
            bail!("processes in {} do not end", cgroup.display());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn is_populated(cgroup: &Path) -> bool {
    fs::read_to_string(cgroup.join("cgroup.events"))
        .is_ok_and(|events| events.contains("populated 1"))
}

fn remove_groups(cgroup: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path())?;
        }
    }
    match fs::remove_dir(cgroup) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove cgroup {}", cgroup.display()))
        }
        _ => Ok(()),
    }
}

fn unmount_below(directory: &Path) -> anyhow::Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("read /proc/self/mounts")?;
    let mut ours: Vec<PathBuf> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(PathBuf::from)
        .filter(|p| p.starts_with(directory))
        .collect();
    ours.sort();
    for path in ours.iter().rev() {
        unmount(path, UnmountFlags::DETACH)
            .with_context(|| format!("unmount {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::is_of_the_dead;

    #[test]
    fn only_what_a_dead_process_of_ours_made_is_removed() {
        let own = format!("axt-{}-case", std::process::id());
        // Above the highest process id there can be (2^22).
        for (name, dead) in [
            ("axt-4194305-case", true),
            (own.as_str(), false),
            ("axt-1-case", false),
            ("axt-case", false),
            ("ax4194305-case", false),
            ("axt-4194305", false),
        ] {
            assert_eq!(is_of_the_dead(name), dead, "{name}");
        }
    }
}
