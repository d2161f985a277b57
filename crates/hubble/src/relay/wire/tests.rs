use api::hubble::{
    Timestamp,
    flow::{Flow, LostEvent},
    observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
};
use pbjson_types::FieldMask;

use super::*;

fn asked(request: &GetFlowsRequest) -> Asked {
    Asked::new(request.encode_to_vec().into(), &[]).unwrap()
}

fn read(bytes: Bytes) -> GetFlowsRequest {
    GetFlowsRequest::decode(bytes).unwrap()
}

#[test]
fn a_request_without_a_mask_goes_on_byte_by_byte() {
    // 2000 unknown = 7
    let bytes = [&[0x08, 0x05][..], &[0x80, 0x7d, 0x07]].concat();
    let asked = Asked::new(bytes.clone().into(), &[]).unwrap();
    assert_eq!(asked.whole(), bytes);
    assert_eq!(asked.request.number, 5);
}

#[test]
fn a_mask_gets_what_the_relay_needs_and_no_mask_stays_none() {
    let mut request = GetFlowsRequest {
        field_mask: Some(FieldMask {
            paths: vec!["verdict".into()],
        }),
        ..GetFlowsRequest::default()
    };
    let paths = |asked: &Asked| read(asked.whole()).field_mask.unwrap().paths;
    assert_eq!(paths(&asked(&request)), ["verdict", "time", "node_name"]);
    request.field_mask = Some(FieldMask::default());
    assert!(paths(&asked(&request)).is_empty());
}

#[test]
fn a_later_request_begins_where_it_is_told_and_keeps_the_rest() {
    let request = GetFlowsRequest {
        number: 20,
        follow: true,
        since: Some(Timestamp {
            seconds: 5,
            nanos: 6,
        }),
        until: Some(Timestamp {
            seconds: 99,
            nanos: 0,
        }),
        ..GetFlowsRequest::default()
    };
    let later = read(asked(&request).from((7, 0)));
    let expected = GetFlowsRequest {
        number: 0,
        since: Some(Timestamp {
            seconds: 7,
            nanos: 0,
        }),
        ..request
    };
    assert_eq!(later, expected);
}

#[test]
fn first_and_follow_exclude_each_other() {
    let request = GetFlowsRequest {
        first: true,
        follow: true,
        ..GetFlowsRequest::default()
    };
    let refused = Asked::new(request.encode_to_vec().into(), &[]).unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    let garbage = Asked::new(Bytes::from_static(&[0xff]), &[]).unwrap_err();
    assert_eq!(garbage.code(), tonic::Code::InvalidArgument);
}

#[test]
fn the_time_of_a_reply_is_the_envelopes_or_else_the_flows() {
    let time = |seconds| Some(Timestamp { seconds, nanos: 5 });
    let flow = Flow {
        time: time(1),
        ..Flow::default()
    };
    let mut reply = GetFlowsResponse {
        response_types: Some(ResponseTypes::Flow(flow)),
        node_name: "n".into(),
        time: time(2),
    };
    assert_eq!(look_at(&reply.encode_to_vec()), (Kind::Flow, Some((2, 5))));
    reply.time = None;
    assert_eq!(look_at(&reply.encode_to_vec()), (Kind::Flow, Some((1, 5))));
    reply.response_types = Some(ResponseTypes::LostEvents(LostEvent::default()));
    assert_eq!(look_at(&reply.encode_to_vec()), (Kind::Event, None));
    reply.time = time(3);
    assert_eq!(look_at(&reply.encode_to_vec()), (Kind::Event, Some((3, 5))));
}

#[test]
fn broken_replies_have_no_time() {
    for broken in [&[0x0a, 0x7f][..], &[0xff], &[0x0a, 0x02, 0x0a, 0x05], &[]] {
        assert_eq!(look_at(broken).1, None, "{broken:?}");
    }
}
