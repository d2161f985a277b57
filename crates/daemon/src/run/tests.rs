use std::time::Instant;

use super::*;

#[test]
fn a_program_that_has_ended_is_not_held_by_what_it_left_behind() {
    let begun = Instant::now();
    let ended = run("left", |_| async {
        tokio::task::spawn_blocking(|| std::thread::sleep(LAST * 10));
        anyhow::bail!("it cannot go on")
    });
    assert_eq!(format!("{ended:?}"), format!("{:?}", ExitCode::FAILURE));
    assert!(begun.elapsed() < LAST * 4);
}
