//! What a change costs among many pods, identities, policies and services.

use std::time::{Duration, Instant};

use super::world::World;
use super::world::crowd::Size;

const MANY: Size = Size {
    pods: 250,
    identities: 10_000,
    policies: 1000,
    services: 0,
    backends: 0,
};

/// The time of one round.
fn timed(world: &mut World) -> Duration {
    let begun = Instant::now();
    world.round();
    begun.elapsed()
}

fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096 >> 20
}

#[test]
fn figures() {
    let before = resident();
    let begun = Instant::now();
    let mut world = World::crowd(MANY);
    println!(
        "made in {:?}, {} MiB (from {before})",
        begun.elapsed(),
        resident()
    );
    let (mut first, mut further, mut remote) = (vec![], vec![], vec![]);
    for round in 0..5 {
        for port in [1, 2, 3] {
            world.set_policy(2000 + round, round, 100 + port);
            let took = timed(&mut world);
            if port == 1 {
                first.push(took)
            } else {
                further.push(took)
            }
        }
        world.remove_policy(2000 + round);
        world.round();
        world.set_remote(20_000 + round, true);
        remote.push(timed(&mut world));
    }
    println!("{first:?} {further:?} {remote:?} {} MiB", resident());
    drop(world);
    println!("dropped {} MiB", resident());
    let size = Size {
        services: 10_000,
        backends: 5,
        ..Size::default()
    };
    let begun = Instant::now();
    let mut world = World::crowd(size);
    println!("services made in {:?} {} MiB", begun.elapsed(), resident());
    for round in 0..3 {
        for lost in [1, 0] {
            world.change_service(round * 7, lost);
            println!("{:?}", timed(&mut world));
        }
    }
}
