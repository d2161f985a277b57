use super::*;
use crate::export::otlp::tests::{SECOND, called, get, names_of, told, value};
use l7::record::{Record, Seen};

const TRACED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn traced(traceparent: &str) -> Http {
    Http {
        traceparent: Seen::Known(traceparent.into()),
        ..get()
    }
}

/// The span of a request, by the last of its flows.
fn span_of(of: &Http) -> Option<Span> {
    told(Record::Http(Box::new(of.clone())), |told, spoken| {
        span(told, spoken, of, 7)
    })
}

#[test]
fn a_span_is_the_child_of_what_was_on_the_wire_and_no_part_of_either_program() {
    let span = span_of(&traced(TRACED)).unwrap();
    assert_eq!(
        span.trace_id,
        0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes()
    );
    assert_eq!(span.parent_span_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
    assert_eq!(span.span_id, 7_u64.to_be_bytes());
    assert_eq!(span.kind(), SpanKind::Internal);
    assert_eq!(span.flags, 0x301);
    assert_eq!(span.name, "GET /carts/*");
    assert_eq!(span.start_time_unix_nano, 1005 * SECOND);
    assert_eq!(span.end_time_unix_nano, 1005 * SECOND + 9_000_000);
    let status = span.status.clone().unwrap();
    assert_eq!(
        (status.code(), status.message.as_str()),
        (StatusCode::Error, "503")
    );
    assert_eq!(value(&span.attributes, "axoneme.vantage"), "client");
    assert_eq!(value(&span.attributes, "http.response.status_code"), "503");
    assert_eq!(
        value(&span.attributes, "axoneme.source.k8s.pod.name"),
        "web-1"
    );
    assert_eq!(
        value(&span.attributes, "axoneme.destination.k8s.pod.name"),
        "api-1"
    );
}

#[test]
fn no_span_is_invented() {
    assert!(span_of(&get()).is_none());
    for text in [
        // Its client does not record it.
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
        // Numbers that are none.
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4bf9",
    ] {
        assert!(span_of(&traced(text)).is_none(), "{text}");
    }
    let never_began = Http {
        start_ns: None,
        ..traced(TRACED)
    };
    assert!(span_of(&never_began).is_none());
}

#[test]
fn a_call_is_called_by_its_method_and_has_no_status_where_it_went_well() {
    let call = Http {
        traceparent: Seen::Known(TRACED.into()),
        ..called(0)
    };
    let span = span_of(&call).unwrap();
    assert_eq!(span.name, "shop.Carts/Get");
    assert!(span.status.is_none());
    assert!(!names_of(&span.attributes).contains(&"http.request.method"));
}
