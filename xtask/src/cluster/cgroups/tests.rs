use super::*;

#[test]
fn a_hybrid_layout_gives_each_hierarchy_and_how_to_mount_it_again() {
    let text = "\
25 20 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
26 25 0:23 / /sys/fs/cgroup/cpuset rw,relatime shared:9 - cgroup cgroup rw,cpuset,clone_children
27 25 0:24 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
28 25 0:25 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd
29 25 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
30 25 0:26 / /somewhere/else rw - cgroup2 cgroup2 rw
";
    let found = mounted(text);
    let rows: Vec<_> = found
        .iter()
        .map(|one| (one.root.to_str().unwrap(), one.kind.clone()))
        .collect();
    assert_eq!(
        rows,
        [
            ("/sys/fs/cgroup/cpuset", Kind::One("cpuset".into())),
            (
                "/sys/fs/cgroup/cpu,cpuacct",
                Kind::One("cpu,cpuacct".into())
            ),
            (
                "/sys/fs/cgroup/systemd",
                Kind::One("none,name=systemd".into())
            ),
            ("/sys/fs/cgroup/unified", Kind::Two),
        ]
    );
    assert!(!is_pure(&found));
}

#[test]
fn a_layout_of_version_2_alone_is_pure() {
    let found = mounted(
        "30 25 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n",
    );
    assert_eq!(
        found,
        [Hierarchy {
            root: "/sys/fs/cgroup".into(),
            kind: Kind::Two
        }]
    );
    assert!(is_pure(&found));
}
