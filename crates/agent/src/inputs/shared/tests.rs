use super::*;

#[test]
fn a_node_has_the_ranges_of_all_its_pools() {
    let object = serde_json::json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNode", "metadata": { "name": "n1" },
        "spec": { "ipam": { "podCIDRs": ["10.9.0.0/24"], "pools": {
            "requested": [{ "pool": "blue", "needed": { "ipv4-addrs": 9 } }],
            "allocated": [{ "pool": "blue", "cidrs": ["10.1.0.0/28", "fd00::/124"] }, { "pool": "red", "cidrs": ["10.7.0.0/30"] }],
        } } },
    });
    let (name, row) = announced_row(&serde_json::from_value(object).unwrap());
    assert_eq!(&*name, "n1");
    let ranges: Vec<String> = row.pod_cidrs.iter().map(ToString::to_string).collect();
    let expected = ["10.9.0.0/24", "10.1.0.0/28", "fd00::/124", "10.7.0.0/30"];
    assert_eq!(ranges, expected);
}
