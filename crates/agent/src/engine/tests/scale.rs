//! What a change costs among many pods, identities, policies and services: as much as among few.

use std::time::{Duration, Instant};

use super::world::World;
use super::world::crowd::Size;

const FEW: Size = Size {
    pods: 10,
    identities: 300,
    policies: 40,
    services: 100,
    backends: 5,
};

const MANY: Size = Size {
    pods: 100,
    identities: 3000,
    policies: 400,
    services: 1000,
    backends: 5,
};

/// Entries that the last round had to do with, and those that it wrote or removed.
type Work = (usize, usize);

fn work(world: &mut World) -> Work {
    world.faults.take_written();
    world.round();
    let examined = world.view().last_commit.examined;
    (examined, world.faults.take_written().len())
}

/// A first policy on a pod, a further change, a pod that comes elsewhere, one that goes, a service that loses a backend.
fn changes(world: &mut World) -> Vec<Work> {
    let pod = world.create_alone().expect("created");
    world.settle();
    world.set_policy(5000, pod, 1);
    let first = work(world);
    world.set_policy(5000, pod, 2);
    let further = work(world);
    world.settle();
    world.set_remote(20_000, true);
    let comes = work(world);
    world.set_remote(20_000, false);
    let goes = work(world);
    world.change_service(7, 1);
    vec![first, further, comes, goes, work(world)]
}

#[test]
fn a_change_costs_as_much_among_many_as_among_few() {
    let (few, many) = (
        changes(&mut World::crowd(FEW)),
        changes(&mut World::crowd(MANY)),
    );
    for (at, (few, many)) in few.iter().zip(&many).enumerate() {
        let grown = many.0 > few.0 + 3 || many.1 > few.1 + 3;
        assert!(!grown, "change {at}: {few:?} and {many:?}");
        assert!(many.0 <= 40, "change {at} looks at {} entries", many.0);
    }
}

/// The median of the times that rounds after a change take, in a world of that size.
fn median(size: Size, change: impl Fn(&mut World, usize)) -> Duration {
    let mut world = World::crowd(size);
    let mut times: Vec<Duration> = (0..21)
        .map(|turn| {
            change(&mut world, turn);
            let begun = Instant::now();
            world.round();
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

/// What is not counted in entries shows in time, however noisy: looking at everything would take ten times as long.
#[test]
fn the_time_of_a_service_change_does_not_grow_with_the_services() {
    let size = |services| Size {
        services,
        backends: 5,
        ..Size::default()
    };
    let change = |world: &mut World, turn: usize| world.change_service(7, turn % 2);
    let (few, many) = (median(size(500), change), median(size(20_000), change));
    assert!(many < few * 10, "{few:?} among 500, {many:?} among 20,000");
}
