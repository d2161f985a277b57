use super::*;

fn read_line(line: &str) -> Result<Part> {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    read(&words)
}

#[test]
fn up_installs_axoneme_unless_told_otherwise() {
    assert_eq!(read_line("up").unwrap().ask, Ask::Up(Choices::default()));
    let line = "up --without-axoneme --family dual --without-node-cidrs --store etcd --set a.b=c --set d={e}";
    let choices = Choices {
        axoneme: Network::Nobody,
        node_cidrs: NodeCidrs::Left,
        families: Some(Families::Dual),
        store: Some(Store::Etcd),
        set: vec!["a.b=c".into(), "d={e}".into()],
    };
    assert_eq!(read_line(line).unwrap().ask, Ask::Up(choices));
    for line in [
        "up --fast",
        "up --family",
        "up --family v6",
        "up --store redis",
        "up --set",
        "up --set a.b",
    ] {
        assert!(read_line(line).is_err(), "{line}");
    }
}

#[test]
fn whole_tests_run_on_what_up_would_start() {
    assert_eq!(
        read_line("test").unwrap().ask,
        Ask::Test(Build::Dev, Choices::default())
    );
    assert_eq!(
        read_line("test --release --store etcd").unwrap().ask,
        Ask::Test(
            Build::Release,
            Choices {
                store: Some(Store::Etcd),
                ..Choices::default()
            }
        )
    );
    let choices = Choices {
        families: Some(Families::Ipv6),
        store: Some(Store::Etcd),
        ..Choices::default()
    };
    let asked = read_line("conformance --family ipv6 --store etcd")
        .unwrap()
        .ask;
    assert_eq!(asked, Ask::Conformance(choices));
    for line in [
        "test now",
        "up --release",
        "test --family",
        "conformance --family v6",
        "move now",
    ] {
        assert!(read_line(line).is_err(), "{line}");
    }
}

#[test]
fn words_of_kubectl_are_passed_on_as_they_are() {
    let part = read_line("--name two kubectl get pods -A --name three").unwrap();
    assert_eq!(part.name, "two");
    let words = ["get", "pods", "-A", "--name", "three"].map(str::to_owned);
    assert_eq!(part.ask, Ask::Kubectl(words.to_vec()));
}

#[test]
fn a_name_that_no_device_can_bear_is_refused() {
    for name in ["", "Two", "2", "a/b", "..", "toolongname", "a-b"] {
        assert!(checked_name(name).is_err(), "{name}");
    }
    assert_eq!(checked_name("axk2").unwrap(), "axk2");
}

#[test]
fn what_takes_no_words_refuses_them() {
    assert!(read_line("down now").is_err());
    assert!(read_line("stage-init").is_err());
    assert_eq!(read_line("").unwrap().ask, Ask::Help);
    assert_eq!(
        read_line("stage-init n1").unwrap().ask,
        Ask::Stage(Stage::Init, vec!["n1".into()])
    );
}

#[test]
fn tests_are_selected_by_an_expression_and_run_in_four_processes() {
    let Ask::E2e(selection) = read_line("e2e").unwrap().ask else {
        panic!("not e2e");
    };
    assert_eq!(selection.processes, 4);
    let words = ["e2e", "--procs", "2", "--focus", "Proxy version"].map(str::to_owned);
    let wanted = Selection {
        focus: "Proxy version".into(),
        processes: 2,
    };
    assert_eq!(read(&words).unwrap().ask, Ask::E2e(wanted));
    for line in ["e2e --procs 0", "e2e --procs", "e2e Services"] {
        assert!(read_line(line).is_err(), "{line}");
    }
}
