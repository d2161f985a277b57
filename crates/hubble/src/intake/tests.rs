use super::*;
use crate::{
    names::NoNames,
    ring::{Capacity, Read},
    sample::{Shop, denied, opened},
};

fn intake(names: Arc<dyn Names>) -> Intake {
    Intake::new(Arc::new(Ring::new(Capacity::default())), names)
}

#[test]
fn a_record_becomes_its_flows_and_its_namespaces_are_remembered() {
    let intake = intake(Arc::new(Shop));
    intake.record(opened());
    intake.record(denied());
    assert_eq!(intake.ring().seen_flows(), 5);
    let now = Instant::now();
    assert_eq!(intake.namespaces().recent(now), ["shop".into()]);
    assert!(intake.namespaces().recent(now + NAMESPACE_TTL).is_empty());
}

#[test]
fn losses_are_events_and_no_flows() {
    let intake = intake(Arc::new(NoNames));
    intake.lost(LossSource::KernelRing, 0);
    assert!(intake.ring().is_empty());
    intake.lost(LossSource::KernelRing, 9);
    let Read::Entry(Entry::Lost(lost)) = intake.ring().read(0) else {
        panic!("no loss")
    };
    assert_eq!(lost.event.num_events_lost, 9);
    assert_eq!(
        lost.event.source(),
        pb::LostEventSource::PerfEventRingBuffer
    );
    assert_eq!(intake.ring().seen_flows(), 0);
}
