use std::time::Duration;

use super::*;

const ALL: Keys = Keys {
    understood: &[
        key("mtu", "0", "MTU"),
        key("devices", "", "Interfaces"),
        key("ipam", "kubernetes", "Where ranges come from"),
        key("serve", ":9962", "Where to serve"),
        key("every", "15s", "Pause"),
    ],
    lacking: &[("ipam", "kubernetes|cluster-pool"), ("kvstore", "none|off")],
    elsewhere: &["of-another"],
};

#[test]
fn a_key_of_another_program_is_passed_over_and_one_that_nobody_knows_is_remembered() {
    let given = Given::from_pairs([
        ("mtu", "1400"),
        ("of-another", "x"),
        ("of_nobody", "y"),
        ("kvstore", ""),
    ]);
    let read = Reader::new(ALL, &given).unwrap();
    assert_eq!(read.unknown(), ["of-nobody"]);
    let effective = read.effective();
    assert_eq!(effective[0], ("mtu".to_owned(), "1400".to_owned()));
    assert_eq!(effective.len(), ALL.understood.len());
}

#[test]
fn the_first_accepted_value_is_recommended_and_all_are_taken() {
    for accepted in ["none", "OFF", ""] {
        Reader::new(ALL, &Given::from_pairs([("kvstore", accepted)])).unwrap();
    }
    let given = Given::from_pairs([("kvstore", "etcd")]);
    let refusal = Reader::new(ALL, &given).unwrap_err().to_string();
    assert_eq!(
        refusal,
        "kvstore=etcd: not available in this version; set it to none or remove it"
    );
}

#[test]
fn an_address_may_lack_its_host_and_a_pause_its_unit() {
    let read = |value: &'static str| {
        let given = Given::from_pairs([("serve", value), ("every", value)]);
        let read = Reader::new(ALL, &given).unwrap();
        let address = read.optional_address("serve").ok();
        let address = address.map(|address| address.map(|address| address.to_string()));
        (address, read.duration_or_seconds("every").ok())
    };
    let some = |text: &str| Some(Some(text.to_owned()));
    assert_eq!(read(":1").0, some("[::]:1"));
    assert_eq!(read("localhost:1").0, some("127.0.0.1:1"));
    assert_eq!(read("").0, Some(None));
    assert_eq!(read("here").0, None);
    assert_eq!(read("90").1, Some(Duration::from_secs(90)));
    assert_eq!(read("1m30s").1, Some(Duration::from_secs(90)));
    assert_eq!(read("-1s").1, None);
}

#[test]
fn every_name_is_a_flag_once_and_what_we_lack_is_hidden() {
    let mut command = command("program", "what it does", ALL);
    let help = command.render_long_help().to_string();
    assert!(help.contains("Where ranges come from [default: kubernetes]"));
    assert!(!help.contains("--kvstore"));
    let matches = command.get_matches_from(["program", "--kvstore=none", "--mtu", "7"]);
    let given = gather(ALL, &matches, |name| {
        (name == "AXONEME_DEVICES").then(|| "eth1 eth2".to_owned())
    })
    .unwrap();
    let read = Reader::new(ALL, &given).unwrap();
    assert_eq!(read.text("mtu"), "7");
    assert_eq!(read.list("devices"), ["eth1", "eth2"]);
}

#[test]
fn files_change_what_neither_flags_nor_the_environment_say() {
    let directory = tempfile::tempdir().unwrap();
    for (key, value) in [
        ("mtu", "1400\n"),
        ("devices", "eth1"),
        ("serve", ":1"),
        ("of-another", "x"),
        ("of-nobody", "y"),
    ] {
        std::fs::write(directory.path().join(key), value).unwrap();
    }
    let at = directory.path().to_str().unwrap();
    let matches = command("program", "what it does", ALL).get_matches_from([
        "program",
        "--config-dir",
        at,
        "--serve=:2",
    ]);
    let environment = |name: &str| (name == "CILIUM_DEVICES").then(|| "eth2".to_owned());
    let given = gather(ALL, &matches, environment).unwrap();
    let changed =
        |files: &[(&str, &str)]| given.changed_by(ALL, &Given::from_files(files.iter().copied()));
    let same = [("mtu", "1400"), ("of-nobody", "y")];
    assert_eq!(changed(&same), Vec::<String>::new());
    // What is said elsewhere stays, whatever the files say; the default that is written down is no change.
    let elsewhere = [
        ("devices", "eth3"),
        ("serve", ":3"),
        ("of-another", "z"),
        ("every", "15s"),
    ];
    assert_eq!(
        changed(&[&same[..], &elsewhere].concat()),
        Vec::<String>::new()
    );
    // One that is gone has its default again.
    assert_eq!(
        changed(&[("of_nobody", "n"), ("kvstore", "etcd")]),
        ["kvstore", "mtu", "of-nobody"]
    );
    assert_eq!(changed(&[("mtu", "0"), ("of-nobody", "y")]), ["mtu"]);
}
