use std::io::Read;

use super::*;

/// Names and contents of what lies in a tar.
fn contents(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().unwrap();
    entries
        .map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (name, bytes)
        })
        .collect()
}

fn example(folder: &Path) -> Image {
    let program = folder.join("program");
    fs::write(&program, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    let mut image = Image::named(&["example.test/one:1", "example.test/two:2"]);
    image.file(&program, "/opt/deep/program");
    image
        .links
        .insert("/bin/sh".into(), "../opt/deep/program".into());
    image
        .texts
        .insert("/etc/hosts".into(), "127.0.0.1 localhost\n".into());
    image.entrypoint = vec!["/opt/deep/program".into()];
    image.user = "65532".into();
    image
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("axoneme-image-{}-{name}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn part(parts: &[(String, Vec<u8>)], name: &str) -> Vec<u8> {
    let found = parts.iter().find(|(path, _)| path == name);
    found.unwrap_or_else(|| panic!("no {name}")).1.clone()
}

#[test]
fn the_same_contents_give_the_same_bytes() {
    let folder = folder("same");
    let image = example(&folder);
    let first = image.write(&folder.join("first.tar")).unwrap();
    let second = image.write(&folder.join("second.tar")).unwrap();
    assert_eq!(first, second);
    assert_eq!(
        fs::read(folder.join("first.tar")).unwrap(),
        fs::read(folder.join("second.tar")).unwrap()
    );
    let mut left: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["first.tar", "program", "second.tar"]);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn both_layouts_name_the_same_blobs_under_every_name() {
    let folder = folder("layouts");
    let written = example(&folder).write(&folder.join("image.tar")).unwrap();
    let parts = contents(&fs::read(folder.join("image.tar")).unwrap());
    let index: Value = serde_json::from_slice(&part(&parts, "index.json")).unwrap();
    let list: Value = serde_json::from_slice(&part(&parts, "manifest.json")).unwrap();
    let names: Vec<_> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            entry["annotations"]["io.containerd.image.name"]
                .as_str()
                .unwrap()
        })
        .collect();
    assert_eq!(names, ["example.test/one:1", "example.test/two:2"]);
    assert_eq!(list[0]["RepoTags"], json!(names));
    assert!(
        index["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .all(|entry| entry["digest"] == written.digest)
    );

    let manifest = part(
        &parts,
        &blob(written.digest.strip_prefix("sha256:").unwrap()),
    );
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let config_path = list[0]["Config"].as_str().unwrap();
    let config = part(&parts, config_path);
    assert_eq!(
        manifest["config"]["digest"],
        format!("sha256:{}", digest_of(&config))
    );
    assert_eq!(manifest["config"]["size"], config.len());
    let layer = part(&parts, list[0]["Layers"][0].as_str().unwrap());
    assert_eq!(
        manifest["layers"][0]["digest"],
        format!("sha256:{}", digest_of(&layer))
    );
    assert_eq!(written.layer_bytes, layer.len() as u64);
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(
        config["rootfs"]["diff_ids"][0],
        format!("sha256:{}", digest_of(&layer))
    );
    assert_eq!(config["config"]["User"], "65532");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_layer_holds_folders_before_what_is_in_them_and_nothing_of_this_machine() {
    let folder = folder("layer");
    example(&folder).write(&folder.join("image.tar")).unwrap();
    let parts = contents(&fs::read(folder.join("image.tar")).unwrap());
    let list: Value = serde_json::from_slice(&part(&parts, "manifest.json")).unwrap();
    let layer = part(&parts, list[0]["Layers"][0].as_str().unwrap());
    let mut archive = tar::Archive::new(&layer[..]);
    let rows: Vec<String> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!(
                (
                    header.mtime().unwrap(),
                    header.uid().unwrap(),
                    header.gid().unwrap()
                ),
                (0, 0, 0)
            );
            let link = entry
                .link_name()
                .unwrap()
                .map_or_else(String::new, |link| format!(" -> {}", link.display()));
            format!(
                "{:o} {}{link}",
                header.mode().unwrap(),
                entry.path().unwrap().display()
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            "755 bin/",
            "777 bin/sh -> ../opt/deep/program",
            "755 dev/",
            "755 etc/",
            "644 etc/hosts",
            "755 opt/",
            "755 opt/deep/",
            "755 opt/deep/program",
            "755 proc/",
            "755 sys/",
            "1777 tmp/",
        ]
    );
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_compressed_layer_has_the_digest_of_the_tar_as_its_difference() {
    let folder = folder("gzip");
    let image = Image {
        packing: Packing::Gzip,
        ..example(&folder)
    };
    image.write(&folder.join("image.tar")).unwrap();
    let parts = contents(&fs::read(folder.join("image.tar")).unwrap());
    let list: Value = serde_json::from_slice(&part(&parts, "manifest.json")).unwrap();
    let packed = part(&parts, list[0]["Layers"][0].as_str().unwrap());
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(&packed[..])
        .read_to_end(&mut tar)
        .unwrap();
    let config: Value =
        serde_json::from_slice(&part(&parts, list[0]["Config"].as_str().unwrap())).unwrap();
    assert_eq!(
        config["rootfs"]["diff_ids"][0],
        format!("sha256:{}", digest_of(&tar))
    );
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_relative_path_is_refused_by_name() {
    let folder = folder("relative");
    let mut image = Image::named(&["example.test/bad:1"]);
    image.texts.insert("etc/hosts".into(), String::new());
    let error = image.write(&folder.join("image.tar")).unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "'etc/hosts' is no absolute path in an image"
    );
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn libraries_and_the_loader_are_read_out_of_what_ldd_prints() {
    let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/libc.so.6 (0x00007f)\n\t/lib64/ld.so (0x00007f)\n";
    assert_eq!(
        found_libraries(text).unwrap(),
        ["/lib/libc.so.6", "/lib64/ld.so"]
    );
    assert!(
        found_libraries("\tnot a dynamic executable\n")
            .unwrap()
            .is_empty()
    );
    assert!(found_libraries("\tlibx.so => not found\n").is_err());
}
