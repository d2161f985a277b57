//! A node in namespaces of its own: real sockets over the loaded object.

#[path = "node/stage.rs"]
mod stage;

use stage::Stage;

#[test]
fn the_object_loads_onto_new_maps_and_onto_pinned_ones() {
    let Some(stage) = Stage::new("load") else {
        return;
    };
    let start = std::time::Instant::now();
    let kernel = stage.load();
    println!("first load: {:?}", start.elapsed());
    kernel.maps.generations.set(&7, &42).expect("write");
    drop(kernel);
    let start = std::time::Instant::now();
    let kernel = stage.load();
    println!("load onto pins: {:?}", start.elapsed());
    assert_eq!(kernel.maps.generations.get(&7).expect("read"), Some(42));
    for program in kernel.programs.statistics().expect("statistics") {
        println!("{program:?}");
    }
}

#[test]
fn a_pin_of_another_capacity_stops_the_start_by_name() {
    let Some(stage) = Stage::new("pins") else {
        return;
    };
    drop(stage.load());
    let config = kernel::Config {
        aliases: 1024,
        ..stage.config()
    };
    let error = kernel::Kernel::load(stage.bpffs(), &config, Stage::features())
        .expect_err("other capacity");
    let text = error.to_string();
    assert!(
        text.contains("maps/aliases has capacity 4096, this release needs 1024"),
        "{text}"
    );
}
