//! Random sequences of changes: what the tables were told bit by bit is what they would be told anew.

use super::shop;
use super::world::{World, api_from_web, deny_all, from_block, from_prefix};

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % bound
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

const APPS: [&str; 3] = ["web", "api", "db"];
const NETS: [&str; 4] = [
    "192.0.2.0/24",
    "10.9.0.0/16",
    "10.9.2.0/24",
    "172.30.0.0/24",
];

/// One thing that happens to a node.
fn change(world: &mut World, dice: &mut Dice) {
    match dice.below(10) {
        0 => {
            let port = dice.pick(&[80, 443]);
            world.store.policies.insert("api", api_from_web(port));
        }
        1 => {
            let (app, net) = (dice.pick(&APPS), dice.pick(&NETS));
            world.store.policies.insert("prefix", from_prefix(app, net));
        }
        2 => {
            let name = dice.pick(&["api", "prefix", "deny"]);
            world.store.policies.remove(name);
        }
        3 => {
            let app = dice.pick(&APPS);
            world.store.policies.insert("deny", deny_all(app));
        }
        4 => {
            let (app, net) = (dice.pick(&APPS), dice.pick(&NETS[1..3]));
            let block = from_block(app, net, "10.9.2.7/32");
            world
                .store
                .network
                .insert(dice.pick(&["one", "two"]), block);
        }
        5 => {
            world.store.network.remove(dice.pick(&["one", "two"]));
        }
        6 => {
            let address = dice.pick(&["10.9.2.7", "10.9.2.8", "10.9.3.7"]);
            let pod = dice.pick(&["far", "farther"]);
            world.store.remote.insert(pod, (dice.pick(&APPS), address));
        }
        7 => {
            world.store.remote.remove(dice.pick(&["far", "farther"]));
        }
        8 => {
            let id = 2000 + dice.below(2) as u32;
            if dice.below(2) == 0 {
                world.store.apps.insert("other", id);
            } else {
                world.store.apps.remove("other");
            }
        }
        _ => {
            if world.ids().contains(&"cart".to_owned()) {
                world.delete("cart").expect("deleted");
            } else {
                world.create("cart", dice.pick(&APPS), 15).expect("created");
            }
        }
    }
    world.deliver_all();
}

#[test]
fn after_any_changes_the_tables_are_those_that_would_be_told_anew() {
    for seed in 0..30 {
        let mut dice = Dice(seed);
        let mut world = shop();
        for step in 0..30 {
            change(&mut world, &mut dice);
            // Several changes may come before a look.
            if dice.below(3) > 0 {
                world.round();
                let different = world.told_anew();
                assert!(
                    different.is_empty(),
                    "seed {seed}, step {step}: {different:?}"
                );
            }
        }
        world.settle();
        let picture = world.picture();
        // An agent that starts over empty tables, with the same objects.
        world.start_anew();
        world.settle();
        assert_eq!(picture, world.picture(), "seed {seed}");
    }
}
