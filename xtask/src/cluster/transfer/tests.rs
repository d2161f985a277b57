use super::*;

#[test]
fn the_last_sum_of_each_pod_counts() {
    let log = "[pod/client-a/asking] answer 11:00:00 of each\n[pod/client-a/asking] sum 1 of 2\n\
        [pod/client-b/asking] sum 7 of 7\n[pod/client-a/asking] sum 3 of 4\n[pod/client-a/asking] silence\n";
    let wanted = Sums {
        sent: 11,
        answered: 10,
    };
    assert_eq!(total(log), wanted);
    assert_eq!(total(""), Sums::default());
}

#[test]
fn the_way_begins_and_ends_at_objects_and_reads_what_was_written_before() {
    let there = &MODES[..3];
    let back: Vec<&str> = MODES[2..].iter().rev().copied().collect();
    assert_eq!(
        back,
        [
            "crd",
            "doublewrite-readcrd",
            "doublewrite-readkvstore",
            "kvstore"
        ]
    );
    assert_eq!(there, &back[1..]);
}

#[test]
fn a_silence_that_tells_of_no_answer_is_none() {
    let log = "[pod/stranger-1/asking] silence 15:34:41 of server: name 0.001 connected 0.000 answer 0.000\n\
               [pod/stranger-1/asking] sum 0 of 1\n\
               [pod/stranger-2/asking] answer 15:34:42 of each: name 0.001 connected 0.002 answer 0.003\n";
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(told(log, "answer"), [lines[2]]);
    assert_eq!(told(log, "silence"), [lines[0]]);
}
