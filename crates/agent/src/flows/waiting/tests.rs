use super::*;

fn event(port: u16) -> Event {
    Event {
        source_port: port,
        ..Event::default()
    }
}

fn ports(of: Option<Vec<Event>>) -> Option<Vec<u16>> {
    of.map(|events| events.iter().map(|event| event.source_port).collect())
}

const fn at(written: usize, heard: usize) -> Positions {
    Positions { written, heard }
}

#[test]
fn events_wait_for_the_samples_of_before_in_their_order() {
    let mut waiting = Waiting::default();
    waiting.push(100, at(800, 0), vec![event(1), event(2)]);
    waiting.push(110, at(900, 0), Vec::new());
    waiting.push(120, at(1600, 0), vec![event(3)]);
    assert_eq!(ports(waiting.due(130, at(1600, 792))), None);
    assert_eq!(ports(waiting.due(131, at(2000, 800))), Some(vec![1, 2]));
    assert_eq!(ports(waiting.due(132, at(2000, 1592))), None);
    assert_eq!(ports(waiting.due(133, at(2000, 2000))), Some(vec![3]));
    assert_eq!(ports(waiting.due(134, at(2000, 2000))), None);
}

#[test]
fn events_do_not_wait_where_no_sample_does() {
    let mut waiting = Waiting::default();
    for positions in [at(0, 0), at(800, 800), Positions::default()] {
        waiting.push(100, positions, vec![event(1)]);
        assert_eq!(ports(waiting.due(100, positions)), Some(vec![1]));
    }
}

#[test]
fn events_wait_a_quarter_of_a_second_for_a_reader_who_is_late() {
    let mut waiting = Waiting::default();
    waiting.push(100, at(8, 0), vec![event(1)]);
    waiting.push(200, at(8, 0), vec![event(2)]);
    let due_ns = 100 + PATIENCE_NS;
    assert_eq!(ports(waiting.due(due_ns - 1, at(8, 0))), None);
    assert_eq!(ports(waiting.due(due_ns, at(8, 0))), Some(vec![1]));
    assert_eq!(ports(waiting.due(due_ns, at(8, 0))), None);
    assert_eq!(ports(waiting.due(due_ns + 100, at(8, 0))), Some(vec![2]));
}

#[test]
fn no_more_events_wait_than_there_is_room_for() {
    let mut waiting = Waiting::default();
    waiting.push(100, at(8, 0), vec![event(1); ROOM]);
    assert_eq!(ports(waiting.due(100, at(8, 0))), None);
    waiting.push(101, at(8, 0), vec![event(2)]);
    assert_eq!(waiting.due(101, at(8, 0)).unwrap().len(), ROOM);
    assert_eq!(ports(waiting.due(101, at(8, 0))), None);
}

#[test]
fn positions_go_on_from_zero_behind_the_last_number() {
    let mut waiting = Waiting::default();
    waiting.push(100, at(16, usize::MAX - 7), vec![event(1)]);
    assert_eq!(ports(waiting.due(101, at(16, usize::MAX - 7))), None);
    assert_eq!(ports(waiting.due(102, at(16, 16))), Some(vec![1]));
}
