use std::collections::BTreeMap;

use api::cilium::CiliumLoadBalancerIPPool;

use super::{is_stated, kinds, state};

#[test]
fn a_status_is_written_where_its_crd_has_it() {
    let separate: BTreeMap<String, bool> = crds::definitions()
        .into_iter()
        .map(|definition| {
            let kind = definition.spec["names"]["kind"]
                .as_str()
                .unwrap()
                .to_owned();
            let version = &definition.spec["versions"][0];
            (kind, version["subresources"]["status"].is_object())
        })
        .collect();
    for (kind, is_separate) in kinds() {
        assert_eq!(separate[kind], is_separate, "{kind}");
    }
}

#[test]
fn a_condition_is_there_once_has_a_message_and_spares_the_others() {
    let text = serde_json::json!({
        "metadata": { "name": "p", "generation": 4 }, "spec": { "blocks": [] },
        "status": { "conditions": [
            { "type": "Accepted", "status": "True", "reason": "Old", "message": "x" },
            { "type": "cilium.io/PoolConflict", "status": "False", "reason": "resolved", "message": "" },
        ] },
    });
    let mut pool: CiliumLoadBalancerIPPool = serde_json::from_value(text).unwrap();
    assert!(!is_stated(&pool));
    state(&mut pool, "2026-01-01T00:00:00Z");
    assert!(is_stated(&pool));
    let conditions = &pool.status.conditions;
    assert_eq!(conditions.len(), 2);
    assert_eq!(conditions[0].condition, "cilium.io/PoolConflict");
    assert_eq!(conditions[1].status, "False");
    assert_eq!(conditions[1].reason, "NotImplemented");
    assert!(conditions[1].message.contains("CiliumLoadBalancerIPPool"));
    assert_eq!(conditions[1].observed_generation, Some(4));
}
