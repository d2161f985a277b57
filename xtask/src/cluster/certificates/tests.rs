use super::*;
use crate::place::Place;

fn layout(cache: &Path) -> Layout {
    let place = Place {
        repo: cache.to_path_buf(),
        cache: cache.to_path_buf(),
    };
    Layout::new(&place, "axk")
}

#[test]
fn the_api_server_answers_to_its_address_its_service_and_its_names() {
    let subjects = subjects(&layout(Path::new("/nowhere")));
    let server = subjects
        .iter()
        .find(|subject| subject.file == "apiserver")
        .unwrap();
    let names = parameters(server).unwrap().subject_alt_names;
    let has = |wanted: SanType| assert!(names.contains(&wanted), "{wanted:?} is not in {names:?}");
    has(SanType::IpAddress("172.30.0.10".parse().unwrap()));
    has(SanType::IpAddress("10.96.0.1".parse().unwrap()));
    has(SanType::DnsName(
        "kubernetes.default.svc".try_into().unwrap(),
    ));
}

#[test]
fn a_node_is_known_by_the_group_and_name_that_the_node_authorizer_reads() {
    let subjects = subjects(&layout(Path::new("/nowhere")));
    let node = subjects
        .iter()
        .find(|subject| subject.file == "node-n2")
        .unwrap();
    assert_eq!(node.common, "system:node:n2");
    assert_eq!(node.organization.as_deref(), Some("system:nodes"));
    let names = parameters(node).unwrap().subject_alt_names;
    assert!(names.contains(&SanType::IpAddress("172.30.0.12".parse().unwrap())));
}

#[test]
fn keys_that_exist_stay_and_half_made_ones_are_made_anew() {
    let cache = std::env::temp_dir().join(format!("axoneme-keys-{}", std::process::id()));
    let layout = layout(&cache);
    make(&layout).unwrap();
    let first = fs::read(layout.keys().join("ca.crt")).unwrap();
    make(&layout).unwrap();
    assert_eq!(first, fs::read(layout.keys().join("ca.crt")).unwrap());
    fs::remove_file(layout.keys().join("complete")).unwrap();
    make(&layout).unwrap();
    assert_ne!(first, fs::read(layout.keys().join("ca.crt")).unwrap());
    assert!(layout.kubeconfig("node-n1").exists());
    fs::remove_dir_all(cache).unwrap();
}
