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

#[test]
fn this_kernel_has_every_feature_and_an_unknown_helper_would_be_named() {
    let Some(_stage) = Stage::new("probe") else {
        return;
    };
    let features = kernel::probe::probe();
    let missing: Vec<_> = features
        .iter()
        .filter(|feature| feature.missing.is_some())
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn the_clock_counts_as_the_kernel_does() {
    let Some(_stage) = Stage::new("clock") else {
        return;
    };
    let clock = kernel::clock::Clock::start().expect("clock");
    println!("hz {}", clock.hz());
    let (before, start) = (clock.now().expect("now"), std::time::Instant::now());
    std::thread::sleep(std::time::Duration::from_millis(400));
    let ticks = clock.now().expect("now") - before;
    let expected = clock.ticks(start.elapsed());
    assert!(
        ticks.abs_diff(expected) <= 2 + expected / 20,
        "{ticks} ticks, {expected} expected"
    );
}
