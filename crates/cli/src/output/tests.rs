use serde_json::json;

use super::*;

fn select(path: &str) -> String {
    let value = json!({
        "Daemon": { "Version": "1.2" },
        "items": [{ "name": "a", "n": 1 }, { "name": "b", "n": 2 }],
        "labels": { "app.kubernetes.io/name": "shop" },
    });
    path.parse::<JsonPath>().unwrap().select(&value)
}

#[test]
fn paths_lead_to_fields_elements_and_all_of_them() {
    assert_eq!(select("{$.Daemon.Version}"), "1.2");
    assert_eq!(select("{.items[1].name}"), "b");
    assert_eq!(select("{.items[*].n}"), "1 2");
    assert_eq!(select("{.labels['app.kubernetes.io/name']}"), "shop");
    assert_eq!(select("v={.Daemon.Version};"), "v=1.2;");
    assert_eq!(select(".Daemon"), r#"{"Version":"1.2"}"#);
    assert_eq!(select("{.missing.field}"), "");
}

#[test]
fn a_broken_path_is_refused_with_what_is_wrong() {
    for (path, wrong) in [
        ("{.a", "'}'"),
        ("{.a[}", "']'"),
        ("{.a[x]}", "[x]"),
        ("", "no path"),
        ("{.a..b}", "empty field"),
    ] {
        let error = path.parse::<JsonPath>().unwrap_err();
        assert!(error.contains(wrong), "{path}: {error}");
    }
}

#[test]
fn a_format_is_json_yaml_or_a_path_and_nothing_else() {
    assert_eq!("json".parse(), Ok(Format::Json));
    assert_eq!("yaml".parse(), Ok(Format::Yaml));
    assert!("jsonpath={.a}".parse::<Format>().is_ok());
    assert!("jsonpath".parse::<Format>().is_err());
    assert!("wide".parse::<Format>().unwrap_err().contains("jsonpath"));
}

#[test]
fn columns_are_as_wide_as_their_widest_cell_and_lines_end_without_spaces() {
    let mut table = Table::new(&["ID", "LABELS", "STATE"]);
    table.row(["1", "k8s:app=web", ""]);
    table.tall_row(
        vec!["22".into(), String::new(), "ready".into()],
        1,
        &["a".into(), "b".into()],
    );
    let mut out = Vec::new();
    table.write(&mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(
        text,
        "ID  LABELS       STATE\n1   k8s:app=web\n22  a            ready\n    b\n"
    );
}

#[test]
fn without_a_terminal_nothing_is_coloured() {
    assert_eq!(Paint::Plain.bad("denied"), "denied");
    assert_eq!(Paint::Colored.bad("denied"), "\u{1b}[31mdenied\u{1b}[0m");
}
