use serde_json::json;

use super::*;

#[test]
fn a_pool_says_by_an_annotation_that_its_addresses_are_kept_on_the_way_out() {
    for (said, skips) in [
        (Some("true"), true),
        (Some("false"), false),
        (Some("1"), false),
        (None, false),
    ] {
        let mut object = json!({ "metadata": { "name": "blue" }, "spec": { "ipv4": { "cidrs": [], "maskSize": 27 } } });
        if let Some(said) = said {
            object["metadata"]["annotations"] = json!({ SKIP_MASQUERADE: said });
        }
        let row = row(&serde_json::from_value(object).unwrap());
        assert_eq!((row.skip_masquerade, row.ipv4), (skips, true), "{said:?}");
    }
}
