use super::*;

#[test]
fn times_are_seconds_or_rfc_3339() {
    assert_eq!(time("1700000000"), Some(1_700_000_000_000));
    assert_eq!(time("1700000000.1234"), Some(1_700_000_000_123));
    assert_eq!(time("2023-11-14T22:13:20Z"), Some(1_700_000_000_000));
    assert_eq!(time("2023-11-14T23:13:20.5+01:00"), Some(1_700_000_000_500));
    for bad in ["", "now", "inf", "1e300", "2023-11-14"] {
        assert_eq!(time(bad), None, "{bad}");
    }
}

#[test]
fn durations_are_seconds_or_have_units() {
    assert_eq!(milliseconds("15"), Some(15_000));
    assert_eq!(milliseconds("0.5"), Some(500));
    assert_eq!(milliseconds("1h30m"), Some(5_400_000));
    assert_eq!(milliseconds("30m1h"), None);
    assert_eq!(milliseconds("1x"), None);
}

#[tokio::test]
async fn a_form_and_the_address_say_the_same() {
    let request = Request::builder()
        .method("POST")
        .uri("/api/v1/series?match[]=up&limit=2")
        .header("content-type", "application/x-www-form-urlencoded")
        .body("match%5B%5D=%7Bjob%3D%22a+b%22%7D&step=0".into())
        .unwrap();
    let parameters = Parameters::from_request(request, &()).await.ok().unwrap();
    assert_eq!(
        parameters.all("match[]").collect::<Vec<_>>(),
        ["up", "{job=\"a b\"}"]
    );
    assert_eq!(parameters.limit().ok().unwrap(), Some(2));
    assert!(parameters.step().is_err(), "a step of nothing");
    assert!(parameters.required("query").is_err());
}
