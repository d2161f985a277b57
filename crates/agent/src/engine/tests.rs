mod changes;
mod cut;
mod need;
mod relabel;
mod scale;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use model::endpoint::{SkipMasquerade, State};
use model::identity::Identity;
use model::labels::LabelSet;
use serde_json::json;

use world::{KINDS, PODS, Verdict, World, api_from_web, from_prefix};

/// A node with three pods, a policy, a prefix and a pod elsewhere.
fn shop() -> World {
    let mut world = World::new(kernel::Config::default());
    world.store.policies.insert("api", api_from_web(80));
    world
        .store
        .policies
        .insert("prefix", from_prefix("db", "192.0.2.0/24"));
    world.store.remote.insert("far", ("web", "10.9.2.7"));
    world.start();
    for (name, app, index) in [("web", "web", 11), ("api", "api", 12), ("db", "db", 13)] {
        world.create(name, app, index).expect("created");
    }
    world.settle();
    world
}

#[test]
fn the_nodes_devices_run_the_programs_once_the_tables_are_complete_and_at_once_if_they_were() {
    let mut world = World::new(kernel::Config::default());
    world.restart_without_inputs();
    for kind in 0..KINDS {
        world.round();
        let opened = world.interfaces.opened();
        assert_eq!(opened, 0, "before kind {kind} the agent must hear of it");
        world.deliver(kind);
    }
    world.interfaces.fail(100, 0);
    world.round();
    let error = world.view().error.clone().unwrap_or_default();
    assert!(error.contains("an injected fault"), "{error}");
    world.interfaces.fail(0, 0);
    world.settle();
    assert_eq!((world.interfaces.opened(), &world.view().error), (1, &None));
    world.restart_without_inputs();
    assert_eq!(world.interfaces.opened(), 2, "over complete tables");
    world.deliver_all();
    world.settle();
    assert_eq!(world.interfaces.opened(), 2, "once per run");
}

#[test]
fn only_where_the_network_knows_the_pods_they_reach_other_nodes_under_their_own_address() {
    use crate::config::Routing;
    use datapath::abi::ipcache::flags::{NO_MASQUERADE, REMOTE_NODE};
    let world = shop();
    let view = world.view();
    let nodes = view.addresses.values();
    let nodes: Vec<_> = nodes
        .filter(|known| known.row.location == model::ipcache::Location::RemoteNode)
        .collect();
    assert!(!nodes.is_empty(), "another node is known");
    let native = Routing::Native {
        direct_node_routes: false,
    };
    for node in nodes {
        let flags = |routing| super::compose::address_row(node, routing).flags;
        assert_eq!(flags(Routing::Tunnel), REMOTE_NODE);
        assert_eq!(flags(native), REMOTE_NODE | NO_MASQUERADE);
    }
}

#[test]
fn the_data_plane_hears_in_which_family_an_endpoint_keeps_its_address() {
    use datapath::abi::endpoint::flags::{NOT_READY, SKIP_MASQUERADE_IPV4, SKIP_MASQUERADE_IPV6};
    let address = "10.9.1.11".parse().unwrap();
    let mut row = world::endpoint("web", 11, address, LabelSet::default(), None);
    for (ipv4, ipv6, flags) in [
        (false, false, 0),
        (true, false, SKIP_MASQUERADE_IPV4),
        (false, true, SKIP_MASQUERADE_IPV6),
        (true, true, SKIP_MASQUERADE_IPV4 | SKIP_MASQUERADE_IPV6),
    ] {
        row.skip_masquerade = SkipMasquerade { ipv4, ipv6 };
        for (identity, ready) in [(Some(Identity(300)), 0), (None, NOT_READY)] {
            row.identity = identity;
            let composed = super::compose::endpoint_row(&row, 1, 16, Some((1, 1)), 1500);
            assert_eq!(composed.flags, flags | ready, "{ipv4} {ipv6}");
        }
    }
}

#[test]
fn policies_and_addresses_come_into_force() {
    let world = shop();
    assert_eq!(world.ingress("api", "web", 80), Verdict::Allowed);
    assert_eq!(world.ingress("api", "web", 81), Verdict::Denied);
    assert_eq!(world.ingress("api", "db", 80), Verdict::Denied);
    assert_eq!(world.ingress("api", "far", 80), Verdict::Allowed);
    assert_eq!(world.ingress("web", "db", 80), Verdict::Allowed);
    assert_eq!(world.ingress_from("db", "192.0.2.9", 80), Verdict::Allowed);
    assert_eq!(world.ingress_from("db", "192.0.3.9", 80), Verdict::Denied);
    assert!(world.plan_is_empty());
}

#[test]
fn a_pod_elsewhere_is_reached_through_its_node_and_is_not_the_world_before_it_is_announced() {
    let mut world = shop();
    let wide = from_prefix("web", "10.9.2.0/23");
    let narrow = from_prefix("cart", "10.9.2.64/26");
    world.store.policies.insert("wide", wide);
    world.store.policies.insert("narrow", narrow);
    world.deliver_all();
    world.create("cart", "cart", 15).expect("created");
    world.settle();
    let hop = world.hop_of("far");
    // Among the prefixes of no policy, and of one that cuts the node's range.
    for unknown in ["10.9.2.9", "10.9.2.70"] {
        assert_eq!(world.way_to(unknown), (3, hop), "{unknown}");
        assert_eq!(world.ingress_from("web", unknown, 80), Verdict::Denied);
        assert_eq!(world.ingress_from("cart", unknown, 80), Verdict::Denied);
    }
    assert_eq!(world.ingress_from("web", "10.9.3.9", 80), Verdict::Allowed);
    assert!(world.plan_is_empty());
    world.restart();
    world.settle();
    assert_eq!(world.way_to("10.9.2.70"), (3, hop), "after a restart");
    assert!(world.plan_is_empty());
}

#[test]
fn until_every_input_has_come_the_kernel_stays_as_the_last_run_left_it() {
    for last in 0..KINDS {
        let mut world = shop();
        let before = world.dump();
        world.restart_without_inputs();
        world.faults.take_written();
        let order = (0..KINDS).filter(|kind| *kind != last);
        for kind in order {
            world.deliver(kind);
            world.round();
            assert_eq!(
                world.faults.take_written(),
                [],
                "kind {kind} of all but {last}"
            );
        }
        assert_eq!(world.dump(), before);
        assert_eq!(world.view().waiting_for.len(), 1);
        if last != PODS {
            // A pod comes with its object.
            let refused = world.create("late", "web", 14).unwrap_err().to_string();
            assert!(refused.starts_with("waiting for "), "{refused}");
        }
        world.deliver(last);
        world.settle();
        assert_eq!(world.picture(), shop().picture(), "after {last}");
    }
}

#[test]
fn what_is_needed_is_written_before_what_needs_it_and_removed_after_it() {
    let mut world = shop();
    world.store.apps.insert("unknown", 1005);
    world
        .store
        .remote
        .insert("farther", ("unknown", "10.9.3.7"));
    world.store.policies.insert("more", api_from_web(443));
    world.deliver_all();
    world.faults.take_written();
    world.round();
    let tables = order(&world);
    let place = |table: &str| tables.iter().position(|of| *of == table).expect(table);
    assert!(place("policy_ports") < place("policies"), "{tables:?}");
    assert!(place("policy_peers") < place("policies"), "{tables:?}");
    assert!(place("policies") < place("endpoints"), "{tables:?}");
    assert!(place("known_identities") < place("addresses"), "{tables:?}");
    assert!(place("hops") < place("addresses"), "{tables:?}");
    assert_eq!(tables.last(), Some(&"generations"), "{tables:?}");
    world.settle();
    world.store.remote.remove("farther");
    world.deliver_all();
    world.faults.take_written();
    world.round();
    let tables = order(&world);
    let place = |table: &str| tables.iter().position(|of| *of == table).expect(table);
    assert!(place("addresses") < place("hops"), "{tables:?}");
    assert!(place("addresses") < place("generations"), "{tables:?}");
}

/// Tables in the order of their first write.
fn order(world: &World) -> Vec<&'static str> {
    let mut tables = Vec::new();
    for written in world.faults.take_written() {
        if !tables.contains(&written.table) || written.table == "generations" {
            tables.push(written.table);
        }
    }
    tables
}

#[test]
fn only_decisions_that_may_have_changed_are_made_again() {
    let mut world = shop();
    let slots = |world: &World, names: &[&str]| -> BTreeSet<u32> {
        names
            .iter()
            .map(|name| world.generation_slot(name))
            .collect()
    };
    world.raised();
    world.store.apps.insert("unrelated", 1900);
    world.deliver_all();
    world.settle();
    assert_eq!(
        world.raised(),
        BTreeSet::new(),
        "an identity without an address"
    );
    world.store.remote.insert("other", ("web", "10.9.2.8"));
    world.deliver_all();
    world.settle();
    assert_eq!(world.raised(), slots(&world, &["other"]), "a pod elsewhere");
    world.store.policies.insert("api", api_from_web(8080));
    world.deliver_all();
    world.settle();
    assert_eq!(
        world.raised(),
        slots(&world, &["api"]),
        "a policy of one pod"
    );
    assert_eq!(world.ingress("api", "web", 80), Verdict::Denied);
    world.store.remote.remove("other");
    let gone = World::generation_slot_of("10.9.2.8");
    world.deliver_all();
    world.settle();
    assert_eq!(world.raised(), BTreeSet::from([gone]), "a pod that went");
}

#[test]
fn numbers_survive_a_restart_and_are_not_given_to_others() {
    let mut world = shop();
    let (policies, prefix) = (
        world.policy_indices(),
        world.prefix_identity("192.0.2.0/24"),
    );
    let hop = world.hop_of("far");
    world
        .store
        .policies
        .insert("early", from_prefix("db", "192.0.1.0/24"));
    world.restart();
    world.settle();
    assert_eq!(
        world.prefix_identity("192.0.2.0/24"),
        prefix,
        "identity of a prefix"
    );
    assert_ne!(world.prefix_identity("192.0.1.0/24"), prefix);
    assert_eq!(world.hop_of("far"), hop, "the way to another node");
    let after = world.policy_indices();
    assert!(after.is_disjoint(&policies), "{after:?} after {policies:?}");
    assert_eq!(
        world.picture().heads,
        after.len(),
        "old indices are given back"
    );
}

#[test]
fn a_policy_without_room_denies_everything_says_so_and_heals_by_itself() {
    let mut world = World::new(kernel::Config {
        policy_ports: 40,
        ..kernel::Config::default()
    });
    world.start();
    world.create("web", "web", 11).expect("created");
    world.create("api", "api", 12).expect("created");
    world
        .store
        .policies
        .insert("api", world::api_ports((0..60).map(|n| 1001 + 2 * n)));
    world.deliver_all();
    world.round();
    assert_eq!(world.ingress("api", "web", 1001), Verdict::Denied);
    assert_eq!(
        world.ingress("web", "api", 80),
        Verdict::Allowed,
        "others go on"
    );
    let failure = world
        .view()
        .last_commit
        .failures
        .first()
        .cloned()
        .expect("a failure");
    assert!(failure.key.contains("shop/api"), "{failure:?}");
    assert!(world.view().error.is_some());
    let refused = world.view().refused.clone();
    let reason = refused.values().next().expect("an endpoint");
    assert!(
        refused.len() == 1 && reason.contains("shop/api"),
        "{refused:?}"
    );
    let endpoint = |world: &World, pod: &str| {
        let view = world.view();
        let mut rows = view.endpoints.iter();
        let row = rows.find(|row| row.pod.as_ref().is_some_and(|name| &*name.name == pod));
        row.map(|row| (row.state(), row.policy_revision))
            .expect("an endpoint")
    };
    assert_eq!(endpoint(&world, "api").0, State::WaitingToRegenerate);
    assert_eq!(
        endpoint(&world, "web"),
        (State::Ready, world.view().revision)
    );
    world.store.policies.insert("api", api_from_web(80));
    world.deliver_all();
    world.settle();
    assert_eq!(
        endpoint(&world, "api"),
        (State::Ready, world.view().revision)
    );
    assert_eq!(world.ingress("api", "web", 80), Verdict::Allowed);
    assert_eq!(world.view().error, None);
    assert!(world.view().refused.is_empty());
}

#[test]
fn rows_of_a_failed_try_are_never_in_force() {
    for seed in 0..40 {
        let mut world = shop();
        world.store.policies.insert("api", json!({ "endpointSelector": { "matchLabels": { "app": "api" } }, "ingress": [{}, { "fromEntities": ["all"] }] }));
        world.deliver_all();
        world.faults.fail(40, seed);
        world.round();
        world.faults.fail(0, 0);
        world.store.policies.insert("api", api_from_web(80));
        world.deliver_all();
        world.settle();
        assert_eq!(
            world.ingress("api", "db", 80),
            Verdict::Denied,
            "seed {seed}"
        );
        assert_eq!(world.picture(), shop().picture(), "seed {seed}");
    }
}

/// Everything that a node lives through, in steps that can each be repeated.
fn story(world: &mut World, step: usize) {
    match step {
        0 => world
            .store
            .policies
            .insert("api", api_from_web(443))
            .map_or((), drop),
        1 => {
            world.store.remote.remove("far");
            world.store.remote.insert("near", ("db", "10.9.2.7"));
        }
        2 => world.store.policies.remove("prefix").map_or((), drop),
        3 => world
            .store
            .policies
            .insert("deny", world::deny_all("web"))
            .map_or((), drop),
        4 => world
            .store
            .services
            .insert("front", ("10.96.0.7", vec!["10.9.1.12", "10.9.2.7"]))
            .map_or((), drop),
        5 => world
            .store
            .services
            .insert("front", ("10.96.0.7", vec!["10.9.2.7"]))
            .map_or((), drop),
        _ => world.store.policies.remove("api").map_or((), drop),
    }
    world.deliver_all();
}

const STEPS: usize = 7;

#[test]
fn with_a_tenth_of_all_calls_failing_the_end_is_the_same() {
    let mut expected = shop();
    for step in 0..STEPS {
        story(&mut expected, step);
        expected.settle();
    }
    expected.delete("db").expect("deleted");
    expected.create("cart", "web", 15).expect("created");
    expected.settle();
    let mut failures = 0;
    for seed in 1..=30 {
        let mut world = shop();
        for step in 0..STEPS {
            world.fail(10, seed * 100 + step as u64);
            story(&mut world, step);
            world.round();
        }
        world.repeat(|world| world.delete("db").map(drop));
        world.repeat(|world| world.create("cart", "web", 15).map(drop));
        failures += world.faults.failures();
        world.settle_under_faults();
        world.fail(0, 0);
        assert_eq!(world.picture(), expected.picture(), "seed {seed}");
        assert!(
            world.plan_is_empty(),
            "seed {seed}: {:?}",
            world.view().plan
        );
    }
    assert!(failures > 300, "only {failures} calls failed");
}

#[test]
fn with_a_tenth_of_all_calls_failing_a_restart_adopts_everything() {
    let expected = shop().picture();
    for seed in 1..=20 {
        let mut world = shop();
        world.fail(10, seed);
        world.restart();
        world.settle_under_faults();
        world.fail(0, 0);
        assert_eq!(world.picture(), expected, "seed {seed}");
    }
}

#[test]
fn an_agent_that_dies_at_any_write_allows_nothing_denied_and_the_next_one_finishes() {
    for step in 0..STEPS {
        let mut whole = shop();
        (0..step).for_each(|earlier| story(&mut whole, earlier));
        whole.settle();
        let before = whole.verdicts();
        whole.faults.take_written();
        story(&mut whole, step);
        whole.round();
        let writes = whole.faults.take_written().len() as u64;
        whole.settle();
        let (after, picture) = (whole.verdicts(), whole.picture());
        assert!(writes > 0, "step {step} writes nothing");
        for death in 0..writes {
            let mut world = shop();
            (0..step).for_each(|earlier| story(&mut world, earlier));
            world.settle();
            world.faults.die_after(Some(death));
            story(&mut world, step);
            world.round();
            world.faults.die_after(None);
            let place = format!("step {step}, death after write {death} of {writes}");
            never_more_than(&world.verdicts(), &before, &after, &place);
            world.restart_without_inputs();
            world.round();
            never_more_than(&world.verdicts(), &before, &after, &place);
            world.deliver_all();
            world.settle();
            assert_eq!(world.picture(), picture, "{place}");
        }
    }
}

/// What is allowed now was allowed before, or is to be allowed.
fn never_more_than(
    now: &BTreeMap<String, Verdict>,
    before: &BTreeMap<String, Verdict>,
    after: &BTreeMap<String, Verdict>,
    place: &str,
) {
    for (question, verdict) in now {
        let either = [before.get(question), after.get(question)];
        let allowed = *verdict == Verdict::Allowed;
        assert!(
            !allowed || either.contains(&Some(&Verdict::Allowed)),
            "{place}: {question} is allowed"
        );
    }
}

#[test]
fn an_endpoint_that_cannot_be_deleted_is_still_there_and_can_be_deleted_again() {
    let mut world = shop();
    world.interfaces.fail(100, 1);
    world.delete("db").unwrap_err();
    world.round();
    assert_eq!(world.ids(), ["api", "db", "web"]);
    world.interfaces.fail(0, 1);
    world.delete("db").expect("deleted");
    world.settle();
    assert_eq!(world.ids(), ["api", "web"]);
    assert_eq!(world.saved_files(), 2);
}

#[test]
fn an_endpoint_that_cannot_be_made_leaves_nothing() {
    let mut world = shop();
    let before = world.picture();
    world.interfaces.fail_attach = true;
    world.interfaces.publish();
    world.create("cart", "web", 15).unwrap_err();
    world.settle();
    assert_eq!((world.picture(), world.saved_files()), (before, 3));
    assert!(!world.interfaces.is_up(15));
}

#[test]
fn one_device_that_takes_no_program_stops_no_other_and_is_down_until_it_does() {
    let mut world = shop();
    world.interfaces.fail_attach = true;
    world.interfaces.publish();
    world.restart();
    world.round();
    assert!(!world.interfaces.is_up(11));
    world.interfaces.fail_attach = false;
    world.interfaces.publish();
    world.settle();
    assert!((11..14).all(|index| world.interfaces.is_up(index)));
    assert_eq!(world.picture(), shop().picture());
}

#[test]
fn a_device_without_a_file_is_down_after_the_next_start_and_its_rows_are_gone() {
    for seed in 0..10 {
        let mut world = shop();
        world.lose_file("db");
        world.interfaces.fail(if seed == 0 { 0 } else { 10 }, seed);
        world.restart_without_inputs();
        world.settle_without_inputs();
        world.interfaces.fail(0, 0);
        assert!(!world.interfaces.is_up(13), "before any input has come");
        assert!(world.interfaces.is_up(11) && world.interfaces.is_up(12));
        world.deliver_all();
        world.settle();
        assert_eq!(world.ids(), ["api", "web"]);
        assert_eq!(world.picture().endpoints.len(), 2);
        // The plugin removes the device, and the pod can be made anew.
        world.create("db", "db", 14).expect("created");
        assert!(world.interfaces.is_up(14));
    }
}

#[test]
fn a_file_over_which_an_agent_died_goes_at_the_next_start() {
    let mut world = shop();
    let (file, saved) = (world.unfinished_file(), world.saved_files());
    std::fs::write(&file, "{").unwrap();
    world.restart();
    world.settle();
    assert!(!file.exists());
    assert_eq!(world.saved_files(), saved);
}

#[test]
fn a_faulty_policy_leaves_its_last_good_version_in_force_and_says_which_field() {
    let mut world = shop();
    world.store.policies.insert(
        "api",
        json!({ "endpointSelector": {}, "ingress": [{ "fromCIDR": ["10.0.0.300/8"] }] }),
    );
    world.deliver_all();
    world.settle();
    assert_eq!(world.ingress("api", "web", 80), Verdict::Allowed);
    assert_eq!(world.ingress("api", "db", 80), Verdict::Denied);
    let faults: Vec<String> = world.view().faults.values().cloned().collect();
    assert!(
        faults.len() == 1 && faults[0].starts_with("spec.ingress[0].fromCIDR[0]"),
        "{faults:?}"
    );
}

#[test]
fn a_policy_that_is_faulty_at_the_next_start_is_in_force_as_it_last_was() {
    let mut world = shop();
    let faulty = json!({ "endpointSelector": {}, "ingress": [{ "fromCIDR": ["10.0.0.300/8"] }] });
    world.store.policies.insert("api", faulty.clone());
    world.store.policies.insert("never", faulty);
    world.restart();
    world.settle();
    assert_eq!(world.picture(), shop().picture());
    let faults: Vec<String> = world.view().faults.values().cloned().collect();
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].ends_with("the last good version stays in force"));
    assert!(faults[1].ends_with("no version of it is in force"));
}

#[test]
fn a_listed_destination_is_spared_from_masquerade_as_soon_as_the_list_changes() {
    let mut world = shop();
    assert!(!world.spares("198.51.100.0/24"));
    world.spare(&["198.51.100.0/24"]);
    world.settle();
    assert!(world.spares("198.51.100.0/24"));
    world.spare(&[]);
    world.settle();
    assert!(!world.spares("198.51.100.0/24"));
}

#[test]
fn an_identity_that_was_deleted_while_in_use_is_asked_for_again() {
    let mut world = shop();
    world.store.apps.remove("api");
    world.deliver_all();
    world.round();
    assert_eq!(world.wanted(), ["api"]);
}

#[test]
fn an_identity_that_was_given_to_other_labels_while_in_use_is_asked_for_again() {
    let mut world = shop();
    if let Some(number) = world.store.apps.remove("api") {
        world.store.apps.insert("stranger", number);
    }
    world.deliver_all();
    world.round();
    assert_eq!(world.wanted(), ["api"]);
}

/// A service with two backends, the second on another node, and sockets to both.
fn served() -> World {
    let mut world = shop();
    world
        .store
        .services
        .insert("front", ("10.96.0.7", vec!["10.9.1.12", "10.9.2.7"]));
    world.deliver_all();
    world.settle();
    world.condemned();
    for (cookie, backend, protocol) in [
        (1, "10.9.1.12:8080", libc::IPPROTO_TCP),
        (2, "10.9.1.12:8080", libc::IPPROTO_UDP),
        (3, "10.9.2.7:8080", libc::IPPROTO_TCP),
        (4, "10.9.2.7:8080", libc::IPPROTO_UDP),
    ] {
        world.connect(cookie, backend, protocol);
    }
    world
}

#[test]
fn sockets_of_udp_go_with_their_backend_and_those_of_tcp_with_its_address() {
    for seed in 0..20 {
        let mut world = served();
        if seed > 0 {
            world.fail(10, seed);
        }
        world
            .store
            .services
            .insert("front", ("10.96.0.7", vec!["10.9.1.12"]));
        world.deliver_all();
        world.settle_under_faults();
        assert_eq!(world.condemned(), Some([2, 4].into()), "out of the service");
        world.store.remote.remove("far");
        world.deliver_all();
        world.settle_under_faults();
        assert_eq!(world.condemned(), Some([2, 3, 4].into()), "the pod is gone");
        world.store.remote.insert("next", ("web", "10.9.2.7"));
        world.deliver_all();
        world.settle_under_faults();
        world.store.services.insert("front", ("10.96.0.7", vec![]));
        world.deliver_all();
        world.settle_under_faults();
        assert_eq!(
            world.condemned(),
            Some([2, 4].into()),
            "the address is another pod's"
        );
        world.repeat(|world| world.delete("api").map(drop));
        world.settle_under_faults();
        assert_eq!(
            world.condemned(),
            Some([1, 2, 4].into()),
            "a pod of this node"
        );
    }
}

#[test]
fn nothing_is_said_to_have_gone_when_backends_are_added() {
    let mut world = served();
    world.store.services.insert(
        "front",
        ("10.96.0.7", vec!["10.9.1.12", "10.9.1.13", "10.9.2.7"]),
    );
    world.deliver_all();
    world.settle();
    assert_eq!(world.condemned(), None);
}

#[test]
fn an_agent_that_died_before_it_closed_sockets_leaves_them_to_the_next_one() {
    let mut world = served();
    world
        .store
        .services
        .insert("front", ("10.96.0.7", vec!["10.9.1.12"]));
    world.deliver_all();
    world.settle();
    world.restart_without_inputs();
    world.round();
    assert_eq!(
        world.condemned(),
        None,
        "half of the backends are not known yet"
    );
    world.deliver_all();
    world.settle();
    assert_eq!(world.condemned(), Some([2, 4].into()));
}
