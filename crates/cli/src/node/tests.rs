#![allow(clippy::unwrap_used, reason = "a failed step of a test ends the test")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::*;

fn plugin_of(image: &Path, text: &str) {
    let path = image.join("cilium-cni");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let _ = fs::remove_file(image.join("loopback"));
    symlink("cilium-cni", image.join("loopback")).unwrap();
}

#[test]
fn our_plugin_is_replaced_and_the_loopback_of_others_stays() {
    let (image, node) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (image, to) = (image.path(), node.path().join("opt/cni/bin"));
    plugin_of(image, "first");
    prepare::install(image, &to, &mut Vec::new()).unwrap();
    assert_eq!(fs::read_to_string(to.join("cilium-cni")).unwrap(), "first");
    let loopback = fs::symlink_metadata(to.join("loopback")).unwrap();
    assert!(loopback.is_file(), "a link would point into the image");
    assert_eq!(loopback.permissions().mode() & 0o777, 0o755);

    fs::write(to.join("loopback"), "another vendor's").unwrap();
    plugin_of(image, "second");
    let mut said = Vec::new();
    prepare::install(image, &to, &mut said).unwrap();
    assert_eq!(fs::read_to_string(to.join("cilium-cni")).unwrap(), "second");
    assert_eq!(
        fs::read_to_string(to.join("loopback")).unwrap(),
        "another vendor's"
    );
    let said = String::from_utf8(said).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!(
        fs::read_dir(&to).unwrap().count(),
        2,
        "nothing is left over"
    );
}

#[test]
fn systemd_is_told_only_where_there_is_one_and_only_once() {
    let root = tempfile::tempdir().unwrap();
    let (root, mut said) = (root.path(), Vec::new());
    prepare::tell_systemd(root, &mut said).unwrap();
    assert!(!root.join("etc").exists());

    fs::create_dir_all(root.join("run/systemd/system")).unwrap();
    for _ in 0..2 {
        prepare::tell_systemd(root, &mut said).unwrap();
    }
    let file = fs::read_to_string(root.join("etc/sysctl.d/99-zzz-override_cilium.conf")).unwrap();
    assert!(file.contains("\n-net.ipv4.conf.lxc*.rp_filter = 0\n"));
    assert_eq!(String::from_utf8(said).unwrap().lines().count(), 1);
}

#[test]
fn the_configuration_is_removed_only_when_that_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let args = RemoveConf {
        config_dir: directory.path().join("config"),
        conf_dir: directory.path().join("net.d"),
    };
    fs::create_dir_all(&args.config_dir).unwrap();
    fs::create_dir_all(&args.conf_dir).unwrap();
    let conf = args.conf_dir.join("05-cilium.conflist");
    let other = args.conf_dir.join("10-other.conflist.cilium_bak");
    fs::write(&conf, "{}").unwrap();
    fs::write(&other, "{}").unwrap();

    conf::remove(&args, &mut Vec::new()).unwrap();
    assert!(conf.exists(), "no key");
    fs::write(args.config_dir.join("cni-uninstall"), "false\n").unwrap();
    conf::remove(&args, &mut Vec::new()).unwrap();
    assert!(conf.exists(), "false");
    fs::write(args.config_dir.join("cni-uninstall"), "true\n").unwrap();
    for _ in 0..2 {
        conf::remove(&args, &mut Vec::new()).unwrap();
        assert!(!conf.exists() && other.exists());
    }
}

#[test]
fn a_namespace_that_is_not_there_is_named() {
    let args = Enter {
        mount: Some("/nowhere/mnt".into()),
        cgroup: None,
        net: None,
        program: vec!["true".into()],
    };
    let error = namespaces::exec(&args).unwrap_err();
    assert!(format!("{error:#}").contains("/nowhere/mnt"), "{error:#}");
}
