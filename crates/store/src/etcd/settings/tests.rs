use super::*;

const MINUTES: Duration = Duration::from_mins(15);

fn read(mode: &str, kvstore: &str, options: &str) -> Result<Option<Settings>, Error> {
    Settings::read(Texts {
        mode,
        kvstore,
        options,
        lease_ttl: MINUTES,
    })
}

fn refusal(mode: &str, kvstore: &str, options: &str) -> String {
    read(mode, kvstore, options).unwrap_err().to_string()
}

#[test]
fn etcd_is_used_when_the_mode_of_identities_says_so() {
    assert!(read("", "", "").unwrap().is_none());
    assert!(read("crd", "none", "").unwrap().is_none());
    for (mode, reads, objects) in [
        ("kvstore", true, false),
        ("doublewrite-readkvstore", true, true),
        ("doublewrite-readcrd", false, true),
    ] {
        let of = read(mode, "etcd", "etcd.address=http://e:2379")
            .unwrap()
            .unwrap();
        assert_eq!(of.options.endpoints, ["http://e:2379"]);
        assert_eq!(
            (of.mode.reads_etcd(), of.mode.uses_objects()),
            (reads, objects)
        );
    }
    let json = read("kvstore", "etcd", r#"{"etcd.address": "https://e:2379"}"#);
    assert_eq!(json.unwrap().unwrap().options.endpoints, ["https://e:2379"]);
}

#[test]
fn what_does_not_lead_to_an_etcd_is_refused_by_name() {
    let address = "etcd.address=http://e:2379";
    assert!(refusal("kvstore", "", address).starts_with("kvstore: \"\" is not etcd"));
    assert!(refusal("kvstore", "consul", address).starts_with("kvstore: \"consul\""));
    assert!(refusal("crd", "etcd", address).starts_with("kvstore=etcd: needs"));
    assert!(refusal("kvstore", "etcd", "").starts_with("kvstore-opt: "));
    assert!(refusal("kvstore", "etcd", "etcd.qps=1").starts_with("kvstore-opt: \"etcd.qps\""));
    assert!(refusal("kvstore", "etcd", "etcd").starts_with("kvstore-opt: \"etcd\""));
    assert!(refusal("paper", "etcd", address).starts_with("identity-allocation-mode: "));
    let short = Settings::read(Texts {
        mode: "kvstore",
        kvstore: "etcd",
        options: address,
        lease_ttl: Duration::from_secs(1),
    });
    assert!(
        short
            .unwrap_err()
            .to_string()
            .starts_with("kvstore-lease-ttl: ")
    );
}
