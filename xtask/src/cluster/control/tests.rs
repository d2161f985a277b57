use super::*;

#[test]
fn a_listening_socket_is_told_from_a_connected_one() {
    let table = "\
  sl  local_address rem_address   st tx_queue
   0: 00000000:192B 00000000:0000 0A 00000000:00000000
   1: 0100007F:0050 0100007F:192C 01 00000000:00000000
";
    assert!(has_listener(table, 6443));
    assert!(!has_listener(table, 80));
    assert!(!has_listener(table, 6444));
}

#[test]
fn node_ranges_are_allocated_unless_the_operator_is_to_do_it() {
    let place = crate::place::Place {
        repo: "/nowhere".into(),
        cache: "/nowhere".into(),
    };
    let layout = Layout::new(&place, "axk");
    let has_range = |choice| {
        controller_flags(&layout, choice).contains(&"--cluster-cidr=10.244.0.0/16".to_owned())
    };
    assert!(has_range(NodeCidrs::Allocated));
    assert!(!has_range(NodeCidrs::Left));
}
