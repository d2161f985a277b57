use std::collections::BTreeSet;

use super::*;

/// A clone with the sources of `packages`, and a folder with their programs.
fn fake(name: &str, packages: &[&str]) -> Result<(Place, PathBuf)> {
    let here = Place::find()?;
    let root = std::env::temp_dir().join(format!("axt-ship-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&root);
    let (repo, folder) = (root.join("repo"), root.join("programs"));
    for package in packages {
        std::fs::create_dir_all(repo.join("crates").join(package))?;
    }
    std::fs::create_dir_all(&folder)?;
    for program in PROGRAMS {
        std::fs::copy("/bin/true", folder.join(program.binary))?;
    }
    std::fs::copy(here.repo.join("Cargo.toml"), repo.join("Cargo.toml"))?;
    let place = Place {
        repo,
        cache: root.join("cache"),
    };
    Ok((place, folder))
}

#[test]
fn every_link_leads_to_a_file_of_the_image() -> Result<()> {
    let (place, folder) = fake("links", &["agent", "cli", "cni", "hubble", "operator"])?;
    let image = contents(&place, &folder, Build::Dev)?;
    let files = image.files.keys().chain(image.links.keys());
    let names: BTreeSet<&String> = files.chain(&image.folders).collect();
    for (link, target) in &image.links {
        let beside = Path::new(link)
            .parent()
            .unwrap_or(Path::new("/"))
            .join(target);
        let leads_to = beside.display().to_string();
        assert!(names.contains(&leads_to), "{link} → {leads_to}");
    }
    for name in [
        "cilium-operator-generic",
        "cilium-agent",
        "cilium-dbg",
        "hubble",
        "hubble-relay",
        "nsenter",
    ] {
        assert!(
            image.links.contains_key(&format!("/usr/bin/{name}")),
            "{name}"
        );
    }
    Ok(())
}

#[test]
fn an_applet_that_busybox_lacks_is_named() {
    let all = APPLETS.join("\n");
    assert_eq!(absent(&all), None);
    assert_eq!(absent(&all.replace("\nless\n", "\n")), Some("less"));
}

#[test]
fn the_shell_of_init_steps_is_none_that_prefers_its_own_programs() -> Result<()> {
    let (place, folder) = fake("shell", &["agent", "cli", "cni"])?;
    let image = contents(&place, &folder, Build::Dev)?;
    for name in ["/bin/sh", "/bin/bash"] {
        assert_eq!(image.links[name], "mksh");
    }
    for name in ["sh", "bash", "nsenter"] {
        assert!(!APPLETS.contains(&name), "{name}");
    }
    Ok(())
}

#[test]
fn a_program_without_sources_leaves_no_link_behind() -> Result<()> {
    let (place, folder) = fake("absent", &["agent", "cli", "cni"])?;
    let image = contents(&place, &folder, Build::Dev)?;
    assert!(!image.links.keys().any(|name| name.contains("operator")));
    assert!(image.files.contains_key("/usr/bin/axoneme-agent"));
    Ok(())
}

#[test]
fn the_same_programs_make_the_same_image() -> Result<()> {
    let mut digests = BTreeSet::new();
    for name in ["once", "again"] {
        let (place, folder) = fake(name, &["agent", "cli", "cni"])?;
        // The scripts and the licence are those of this clone, and any program will do as a shell.
        let here = Place::find()?;
        let mut image = contents(&place, &folder, Build::Dev)?;
        image.file(Path::new("/bin/true"), BUSYBOX.file);
        image.file(Path::new("/bin/true"), "/bin/mksh");
        for script in SCRIPTS {
            let file = here.repo.join("deploy/image").join(script);
            image.file(&file, &format!("/{script}"));
        }
        image.file(&here.repo.join("LICENSE"), "/usr/share/doc/axoneme/LICENSE");
        digests.insert(image.write(&place.cache.join("axoneme.tar"))?.digest);
    }
    assert_eq!(digests.len(), 1, "{digests:?}");
    Ok(())
}

#[test]
fn the_scripts_are_executable_and_lie_at_the_root() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::find()?;
    for name in SCRIPTS {
        let file = place.repo.join("deploy/image").join(name);
        let mode = std::fs::metadata(&file)?.permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{name}");
    }
    Ok(())
}

#[test]
fn the_bill_names_each_crate_once_with_its_licence_and_checksum() -> Result<()> {
    let lock = "[[package]]\nname = \"bytes\"\nversion = \"1.2.3\"\nchecksum = \"00ff\"\n\
        [[package]]\nname = \"agent\"\nversion = \"0.1.0\"\n";
    let tree = "agent v0.1.0 (/somewhere/crates/agent)|Apache-2.0\nbytes v1.2.3|MIT/Apache-2.0\n\
        bytes v1.2.3|MIT/Apache-2.0\n\n";
    let found = sbom::crates(tree, &sbom::checksums(lock)?);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0]["name"], "agent");
    assert_eq!(found[0].get("purl"), None, "it is our own");
    assert_eq!(found[1]["purl"], "pkg:cargo/bytes@1.2.3");
    assert_eq!(found[1]["licenses"][0]["expression"], "MIT OR Apache-2.0");
    assert_eq!(found[1]["hashes"][0]["content"], "00ff");
    Ok(())
}
