use super::*;
use crate::{
    names::NoNames,
    ring::{Capacity, Read},
    sample::{Shop, denied, opened},
};

fn intake(names: Arc<dyn Names + Send + Sync>) -> Intake {
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

#[test]
fn what_was_said_becomes_flows_and_counts() {
    use crate::records::decode::Clock;
    use crate::rollup::Rollup;
    use crate::spoken::Ends;
    use l7::record::{Ending, Http, Record as Said, Seen};

    let rollup = Rollup::open(None, 1_700_000_000).unwrap();
    let recorder = Arc::new(Recorder::new(rollup, 0));
    let intake = intake(Arc::new(Shop)).counted_by(Arc::clone(&recorder));
    let http = Http {
        method: Seen::Known("GET".into()),
        path: Seen::Known("/carts/17".into()),
        template: Seen::Known("/carts/*".into()),
        status: Seen::Known(503),
        start_ns: Some(1),
        answer_ns: Some(2),
        ending: Ending::Whole,
        ..Http::default()
    };
    intake.spoken(Spoken {
        ends: Ends::from(&opened()),
        record: Said::Http(Box::new(http)),
        made_ns: 3,
        clock: Clock::new(3, SystemTime::now()),
    });
    assert_eq!(intake.ring().seen_flows(), 2);
    let part = recorder.rollup().rows(0, u64::MAX).unwrap();
    assert_eq!(part.rows[0].http[0].path, "/carts/*");
}

#[test]
fn who_is_outside_is_called_as_its_client_asked_for_it() {
    use crate::records::decode::Clock;
    use crate::rollup::Rollup;
    use crate::spoken::Ends;
    use api::hubble::answers::PartyKind;
    use l7::record::{Dns, DnsAnswer, DnsData, DnsOutcome, Record as Said};

    let recorder = Arc::new(Recorder::new(Rollup::open(None, 1_700_000_000).unwrap(), 0));
    let intake = intake(Arc::new(NoNames)).counted_by(Arc::clone(&recorder));
    let mut outwards = opened();
    outwards.destination.identity = 2;
    outwards.destination.address = "203.0.113.7".parse().unwrap();
    let answer = DnsAnswer {
        name: "api.example.com".into(),
        ttl_s: 30,
        data: DnsData::Address(outwards.destination.address),
    };
    let dns = Dns {
        qname: "api.example.com".into(),
        qtype: 1,
        outcome: DnsOutcome::Code(0),
        attempts: 1,
        start_ns: 0,
        latency_ns: None,
        answers: vec![answer],
        all_answers: true,
        truncated: false,
    };
    intake.spoken(Spoken {
        ends: Ends::from(&opened()),
        record: Said::Dns(Box::new(dns)),
        made_ns: 3,
        clock: Clock::new(3, SystemTime::now()),
    });
    intake.record(outwards);
    let part = recorder.rollup().rows(0, u64::MAX).unwrap();
    let mut parties = part.rows.iter().filter_map(|row| {
        let edge = row.edge.as_ref()?;
        edge.destination.clone()
    });
    let outside = parties.find(|party| party.kind() == PartyKind::DnsName);
    assert_eq!(outside.unwrap().name, "api.example.com");
}
