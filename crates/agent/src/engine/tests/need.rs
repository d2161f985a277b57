//! Identities by need: a policy that looks at further labels cuts nobody who is allowed, and lets nobody in who is not.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use model::need::Times;
use serde_json::json;

use super::world::{Verdict, World, api_from_web, deny_all};

const PLAIN: u32 = 900;
const TIMES: Times = Times {
    announce: Duration::from_millis(150),
    settle: Duration::from_millis(450),
    longest: Duration::from_secs(20),
    grace: Duration::from_millis(300),
};

/// Three pods, alike as long as no policy tells them apart. The agent has made identities by need before.
fn alike() -> World {
    let mut world = World::new(kernel::Config::default());
    world.by_need = Some(TIMES);
    world.store.plain = Some(PLAIN);
    world.start();
    for (name, app, index) in [("web", "web", 11), ("api", "api", 12), ("db", "db", 13)] {
        world.create(name, app, index).expect("created");
    }
    until(&mut world, |world| identities(world) == [PLAIN; 3]);
    world
}

const PODS: [&str; 3] = ["web", "api", "db"];

fn identities(world: &World) -> [u32; 3] {
    PODS.map(|pod| world.identity_of(pod))
}

/// Rounds, answered as by the store, until it is so. `web` may reach `api` all the time.
fn until(world: &mut World, so: impl Fn(&World) -> bool) -> Duration {
    let begun = Instant::now();
    while !so(world) {
        assert!(begun.elapsed() < Duration::from_secs(15), "it never is");
        world.identify_wanted();
        assert_eq!(world.ingress("api", "web", 80), Verdict::Allowed);
        world.round();
        assert_eq!(world.ingress("api", "web", 80), Verdict::Allowed);
        std::thread::sleep(Duration::from_millis(10));
    }
    begun.elapsed()
}

fn denied(world: &World) -> bool {
    world.ingress("api", "db", 80) == Verdict::Denied
}

fn in_force(world: &World, name: &str) -> bool {
    let view = world.view();
    view.policy.objects().any(|of| &*of.key.name == name)
}

#[test]
fn a_policy_with_further_labels_comes_into_force_after_all_pods_have_identities_with_them() {
    let mut world = alike();
    world.store.policies.insert("api", api_from_web(80));
    world.deliver_all();
    world.identify_wanted();
    world.round();
    assert_eq!(
        identities(&world),
        [PLAIN; 3],
        "nobody moves before others know where to"
    );
    let begun = Instant::now();
    until(&mut world, |world| identities(world) == [1001, 1002, 1003]);
    assert!(begun.elapsed() + Duration::from_millis(50) >= TIMES.announce);
    assert!(
        !denied(&world) && !in_force(&world, "api"),
        "first all move"
    );
    until(&mut world, denied);
    assert!(begun.elapsed() + Duration::from_millis(50) >= TIMES.settle);
    assert!(in_force(&world, "api"));
    // Another policy that looks at the same labels waits for nothing.
    world.store.policies.insert("db", deny_all("db"));
    world.deliver_all();
    world.round();
    assert_eq!(world.ingress("db", "web", 80), Verdict::Denied);
}

#[test]
fn a_restart_keeps_in_force_what_was_and_lets_what_came_meanwhile_wait() {
    let mut world = alike();
    world.store.policies.insert("api", api_from_web(80));
    world.deliver_all();
    until(&mut world, denied);
    let tier = json!({
        "endpointSelector": { "matchLabels": { "app": "api" } },
        "ingressDeny": [{ "fromEndpoints": [{ "matchLabels": { "tier": "back" } }] }],
    });
    world.store.policies.insert("tier", tier);
    world.restart_without_inputs();
    for kind in (0..super::KINDS).rev() {
        assert!(denied(&world), "before kind {kind}");
        world.deliver(kind);
        world.round();
    }
    assert!(denied(&world));
    assert!(in_force(&world, "api") && !in_force(&world, "tier"));
    until(&mut world, |world| {
        assert!(denied(world));
        in_force(world, "tier")
    });
    assert_eq!(identities(&world), [1001, 1002, 1003]);
}

#[test]
fn a_version_that_waits_leaves_the_one_before_in_force() {
    let mut world = alike();
    world.store.policies.insert("api", json!({ "endpointSelector": {}, "ingress": [{ "toPorts": [{ "ports": [{ "port": "80" }] }] }] }));
    world.deliver_all();
    until(&mut world, |world| {
        world.ingress("api", "db", 81) == Verdict::Denied
    });
    world.store.policies.insert("api", api_from_web(80));
    world.deliver_all();
    until(&mut world, |world| {
        assert_eq!(world.ingress("api", "db", 81), Verdict::Denied);
        denied(world)
    });
}

#[test]
fn labels_that_nobody_looks_at_any_more_leave_identities_after_a_grace_time() {
    let mut world = alike();
    world.store.policies.insert("api", api_from_web(80));
    world.deliver_all();
    until(&mut world, denied);
    world.store.policies.remove("api");
    world.deliver_all();
    world.round();
    assert!(!denied(&world), "what is gone is not in force");
    assert_eq!(identities(&world), [1001, 1002, 1003]);
    let took = until(&mut world, |world| identities(world) == [PLAIN; 3]);
    assert!(took >= TIMES.grace, "{took:?}");
    let asked: BTreeSet<String> = world.wanted().into_iter().collect();
    assert!(asked.is_empty(), "{asked:?}");
}

#[test]
fn when_it_is_switched_on_pods_leave_their_old_identities_and_policies_stay_in_force() {
    let mut world = World::new(kernel::Config::default());
    world.store.plain = Some(PLAIN);
    world.store.policies.insert("api", api_from_web(80));
    world.start();
    for (name, app, index) in [("web", "web", 11), ("api", "api", 12), ("db", "db", 13)] {
        world.create(name, app, index).expect("created");
    }
    world.settle();
    assert!(denied(&world));
    world.by_need = Some(TIMES);
    world.restart();
    world.settle();
    assert!(denied(&world));
    world.store.policies.remove("api");
    world.deliver_all();
    until(&mut world, |world| identities(world) == [PLAIN; 3]);
}
