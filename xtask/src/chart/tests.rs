use serde_json::json;

use super::table::{leaves, parse, set};
use super::*;

const REASONS: &str = "proxy\tThere is no proxy.\n";

fn table_of(rows: &str) -> Result<Vec<Row>> {
    parse(&format!("name\tstate\taccepts\twhy\n{rows}"), REASONS)
}

#[test]
fn a_row_is_a_name_a_state_what_is_accepted_and_why() -> Result<()> {
    let rows = table_of(
        "a.b\tworks\tstring|integer\t\na.c\tdefault\t[false]\tproxy\na.d\trefused\t\tproxy\n",
    )?;
    assert_eq!(rows[0].types, ["string", "integer"]);
    assert_eq!(rows[1].accepts, [json!(false)]);
    assert_eq!(rows[2].state, State::Refused);
    Ok(())
}

#[test]
fn a_row_that_says_nothing_is_refused() {
    for row in [
        "a\tworks\t\t\n",
        "a\tdefault\t\tproxy\n",
        "a\tdefault\t[1]\tnowhere\n",
        "a\trefused\t[1]\tproxy\n",
        "a\tmaybe\t[1]\tproxy\n",
        "a\tworks\tstring\n",
        "b\tworks\tstring\t\na\tworks\tstring\t\n",
    ] {
        assert!(table_of(row).is_err(), "{row}");
    }
}

#[test]
fn the_schema_knows_every_name_and_the_types_of_those_that_work() -> Result<()> {
    let schema = schema::of(&table_of(
        "a.b\tworks\tboolean\t\na.c\tdefault\t[1]\tproxy\nd\tworks\t[\"x\"]\t\n",
    )?);
    let a = &schema["properties"]["a"];
    assert_eq!(a["additionalProperties"], false);
    assert_eq!(a["properties"]["b"], json!({ "type": ["boolean", "null"] }));
    assert_eq!(a["properties"]["c"], json!({}));
    assert_eq!(schema["properties"]["d"], json!({ "enum": ["x", null] }));
    Ok(())
}

#[test]
fn values_are_set_and_found_by_their_names() {
    let mut values = Value::Null;
    set(&mut values, "a.b.c", json!(1));
    set(&mut values, "a.d", json!({ "x/y": 2 }));
    assert_eq!(
        values,
        json!({ "a": { "b": { "c": 1 }, "d": { "x/y": 2 } } })
    );
    let mut names = BTreeSet::new();
    leaves(&values, "", &["a.d"].into(), &mut names);
    assert_eq!(Vec::from_iter(names), ["a.b.c", "a.d"]);
}

#[test]
fn keys_are_found_in_a_table_of_keys_and_in_a_map() {
    let source = "key(\n  \"enable-ipv4\",\n  \"true\", \"Pods (all)\"),\nkey(\"mtu\", \"0\", \"…\"), (\"kvstore\", \"none\")";
    let known = keys::named_in(source);
    assert_eq!(Vec::from_iter(known), ["enable-ipv4", "kvstore", "mtu"]);
    let map =
        "kind: ConfigMap\ndata:\n  mtu: \"0\"\n  labels: \"a: b\"\n---\nkind: Secret\n  x: y\n";
    assert_eq!(Vec::from_iter(keys::written_in(map)), ["labels", "mtu"]);
    let file = "  labels:\n    a: b\ndata:\n  x.yaml: |\n    # so: it is\n    pprof: false\n    debug: \"a: b\"\n";
    assert_eq!(
        Vec::from_iter(keys::written_in_file(file)),
        ["debug", "pprof"]
    );
}

#[test]
fn what_is_made_anew_each_time_is_not_compared() {
    let long = "A".repeat(80);
    let text = format!("data:\n  tls.crt: {long}\n  key: tls.crt\n");
    assert_eq!(
        render::without_secrets(&text),
        "data:\n  tls.crt: MADE\n  key: tls.crt\n"
    );
}
