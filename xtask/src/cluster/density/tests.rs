use super::*;

const RUNTIME: &str = r#"
time="2026-11-29T05:55:40.900000000Z" level=info msg="RunPodSandbox for &PodSandboxMetadata{Name:one,Uid:8d,Namespace:x,Attempt:0,}"
time="2026-11-29T05:55:40.910000000Z" level=info msg="RunPodSandbox for &PodSandboxMetadata{Name:two,Uid:8e,Namespace:x,Attempt:0,}"
time="2026-11-29T05:55:41.100000000Z" level=info msg="RunPodSandbox for &PodSandboxMetadata{Name:one,Uid:8d,Namespace:x,Attempt:0,} returns sandbox id \"aa\""
time="2026-11-29T05:55:41.150000000Z" level=info msg="CreateContainer within sandbox \"aa\" for &ContainerMetadata{Name:full,Attempt:0,} returns container id \"cc\""
time="2026-11-29T05:55:41.160000000Z" level=info msg="StartContainer for \"cc\""
time="2026-11-29T05:55:41.250000000Z" level=info msg="StartContainer for \"cc\" returns successfully"
no line of a log
"#;

#[test]
fn a_start_is_from_the_sandbox_to_the_container_and_knows_the_plugin() {
    let plugin = "time=x level=info msg=\"done\" command=ADD attachment=aa:eth0 elapsed-us=12500 configuration-us=500 endpoint-us=9000\n\
                  time=x level=info msg=\"done\" command=DEL attachment=aa:eth0 elapsed-us=99\n";
    let start = Start {
        all: Duration::from_millis(350),
        plugin: Duration::from_micros(12_500),
        steps: [500, 0, 0, 9000, 0].map(Duration::from_micros),
    };
    assert_eq!(starts(RUNTIME, plugin), [("one".to_owned(), start)]);
    assert_eq!(starts(RUNTIME, ""), []);
}

#[test]
fn the_slowest_are_told_by_their_steps() {
    let start = |millis| Start {
        all: Duration::from_secs(1),
        plugin: Duration::from_millis(millis),
        steps: [0, 0, 0, millis, 0].map(Duration::from_millis),
    };
    let starts = (1..=40).map(start).collect();
    assert_eq!(
        slowest(starts),
        "configuration 0.0 ms, addresses 0.0 ms, interface 0.0 ms, endpoint 39.5 ms, pod 0.0 ms"
    );
}

#[test]
fn times_of_a_process_are_those_of_user_and_system() {
    let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 1 2 3 4 73 95 5 6 20 0 9 0 100 200";
    assert_eq!(stat_ticks(stat), Some(168));
    assert_eq!(stat_ticks("7"), None);
}

#[test]
fn a_percentile_is_one_of_the_values() {
    let mut times: Vec<Duration> = (1..=40).rev().map(Duration::from_millis).collect();
    assert_eq!(format!("{:.3}", part(&mut times, 50)), "20.000");
    assert_eq!(format!("{:.3}", part(&mut times, 99)), "40.000");
}
