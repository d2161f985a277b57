use super::*;

#[test]
fn headers_are_lines_and_their_values_are_not_told() {
    let text = "# token of the collector\n\nAuthorization: Bearer abc:def\nx-tenant:shop\n";
    let headers = parse_headers(text).unwrap();
    assert_eq!(headers.len(), 2);
    let value = headers.get("authorization").unwrap();
    assert_eq!(value, "Bearer abc:def");
    assert!(!format!("{headers:?}").contains("abc"));
    let error = parse_headers("a: b\nsecret\n").unwrap_err();
    assert_eq!(error, "line 2 is no NAME: VALUE");
    assert!(
        !parse_headers("wrong name: hush")
            .unwrap_err()
            .contains("hush")
    );
}

#[test]
fn what_is_worth_another_try_says_the_protocol() {
    let again = |code| NotTaken::from(Status::new(code, "")).again;
    for code in [
        Code::Cancelled,
        Code::DeadlineExceeded,
        Code::Aborted,
        Code::OutOfRange,
        Code::Unavailable,
        Code::DataLoss,
    ] {
        assert_eq!(again(code), Again::Soon, "{code:?}");
    }
    for code in [
        Code::InvalidArgument,
        Code::Unauthenticated,
        Code::PermissionDenied,
        Code::Unimplemented,
        Code::ResourceExhausted,
        Code::Unknown,
    ] {
        assert_eq!(again(code), Again::Never, "{code:?}");
    }
}

#[test]
fn a_collector_says_when_it_wants_more() {
    let info = RetryInfo {
        delay: Some(pbjson_types::Duration {
            seconds: 3,
            nanos: 500_000_000,
        }),
    };
    let details = Details {
        details: vec![pbjson_types::Any {
            type_url: "type.googleapis.com/google.rpc.RetryInfo".into(),
            value: info.encode_to_vec().into(),
        }],
    };
    let status = Status::with_details(
        Code::ResourceExhausted,
        "slow down",
        details.encode_to_vec().into(),
    );
    let delay = Duration::from_millis(3500);
    assert_eq!(NotTaken::from(status).again, Again::After(delay));
}
