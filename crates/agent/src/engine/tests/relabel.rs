//! A pod that gets other labels while it speaks with others.

use serde_json::{Value, json};

use super::world::{Verdict, World};

/// Pods `to` may be reached by pods `from` at port 80.
fn from(to: &str, from: &str) -> Value {
    json!({
        "endpointSelector": { "matchLabels": { "app": to } },
        "ingress": [{
            "fromEndpoints": [{ "matchLabels": { "app": from } }],
            "toPorts": [{ "ports": [{ "port": "80", "protocol": "TCP" }] }],
        }],
    })
}

/// Whether the store has told the identity of the new labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Before,
    Later,
}

/// Pod `web` speaks with `api` and is spoken to by `db`, under its old labels and under those that it will get; `db` may not
/// speak with `api`.
fn speaking(told: Told) -> World {
    let mut world = World::new(kernel::Config::default());
    for (name, spec) in [
        ("api-web", from("api", "web")),
        ("api-new", from("api", "new")),
        ("web", from("web", "db")),
        ("new", from("new", "db")),
    ] {
        world.store.policies.insert(name, spec);
    }
    if told == Told::Later {
        world.store.apps.remove("new");
    }
    world.start();
    for (name, app, index) in [("web", "web", 11), ("api", "api", 12), ("db", "db", 13)] {
        world.create(name, app, index).expect("created");
    }
    world.settle();
    world.faults.take_written();
    world
}

const NEW: u32 = 1004;

fn assert_speaks(world: &World, place: &str) {
    assert_eq!(world.ingress("api", "web", 80), Verdict::Allowed, "{place}");
    assert_eq!(world.ingress("web", "db", 80), Verdict::Allowed, "{place}");
    assert_eq!(world.ingress("api", "db", 80), Verdict::Denied, "{place}");
    assert_eq!(world.ingress("web", "api", 80), Verdict::Denied, "{place}");
}

#[test]
fn a_relabelled_pod_loses_no_allowed_packet_at_any_write() {
    for told in [Told::Before, Told::Later] {
        let mut whole = speaking(told);
        assert_speaks(&whole, "before");
        whole.relabel("web", "new", NEW);
        let writes = whole.faults.take_written().len() as u64;
        assert!(writes > 0, "{told:?}: nothing is written");
        whole.settle();
        assert_eq!(whole.identity_of("web"), NEW, "{told:?}");
        for death in 0..=writes {
            let place = format!("{told:?}, after write {death} of {writes}");
            let mut world = speaking(told);
            world.faults.die_after(Some(death));
            world.relabel("web", "new", NEW);
            world.faults.die_after(None);
            assert_speaks(&world, &place);
            world.round();
            assert_speaks(&world, &place);
            world.settle();
            assert_speaks(&world, &place);
        }
    }
}

#[test]
fn what_only_the_old_labels_were_allowed_ends_with_them() {
    let mut world = speaking(Told::Before);
    world.store.policies.remove("api-new");
    world.deliver_all();
    world.settle();
    assert_eq!(world.ingress("api", "web", 80), Verdict::Allowed);
    world.raised();
    world.relabel("web", "new", NEW);
    assert_eq!(world.ingress("api", "web", 80), Verdict::Denied);
    let slot = world.generation_slot("web");
    assert!(
        world.raised().contains(&slot),
        "its connections are judged anew"
    );
}
