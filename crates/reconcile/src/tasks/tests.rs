use std::time::Duration;

use tokio::time::sleep;

use super::{Ended, TaskGroup};

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_tasks_and_names_those_that_are_late() {
    let group = TaskGroup::new();
    group.spawn("obedient", |stop| async move { stop.cancelled().await });
    group.spawn("slow", |stop| async move {
        stop.cancelled().await;
        sleep(Duration::from_mins(1)).await;
    });
    assert_eq!(group.running(), ["obedient", "slow"]);
    assert_eq!(
        group.shutdown(Duration::from_secs(5)).await,
        Ended::Overdue(vec!["slow"])
    );
    assert_eq!(group.shutdown(Duration::from_mins(2)).await, Ended::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_ends_or_panics_unasked_stops_the_group() {
    for panics in [true, false] {
        let group = TaskGroup::new();
        group.spawn("waits", |stop| async move { stop.cancelled().await });
        group.spawn("ends", move |_stop| async move {
            assert!(!panics, "on purpose");
        });
        group.stopped().await;
        assert_eq!(group.shutdown(Duration::from_secs(1)).await, Ended::Clean);
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_task_may_end_and_does_not_outlive_the_group() {
    let group = TaskGroup::new();
    group.spawn_short("quick", async {});
    group.spawn_short("endless", std::future::pending());
    sleep(Duration::from_millis(1)).await;
    assert_eq!(group.running(), ["endless"]);
    assert!(!group.token().is_cancelled());
    assert_eq!(group.shutdown(Duration::from_secs(1)).await, Ended::Clean);
}
