use super::*;

#[test]
fn what_looks_like_an_identifier_is_replaced() {
    for (path, expected) in [
        ("/", "/"),
        ("", ""),
        ("*", "*"),
        ("/users/17/orders", "/users/{id}/orders"),
        ("/api/v1/oauth2/sha256", "/api/v1/oauth2/sha256"),
        ("/o/3f2504e0-4f89-11d3-9a0c-0305e82c3301/x", "/o/{uuid}/x"),
        ("/o/3F2504E0-4F89-11D3-9A0C-0305E82C3301", "/o/{uuid}"),
        ("/c/da39a3ee5e6b4b0d3255bfef95601890afd80709", "/c/{hash}"),
        ("/c/deadbeef", "/c/deadbeef"),
        ("/c/deadbee5", "/c/{hash}"),
        ("/d/2026-11-29", "/d/{date}"),
        ("/d/2026-11-29T15:04:05Z/x", "/d/{date}/x"),
        ("/u/jane@example.com", "/u/{email}"),
        ("/u/jane%40example.com", "/u/{email}"),
        ("/u/order-17.pdf", "/u/order-{id}.pdf"),
        ("/h/10.0.0.7/x", "/h/{address}/x"),
        ("/h/fd00::7", "/h/{address}"),
        ("/t/dGhpc2lzYXRva2VuMTIz", "/t/{token}"),
        (
            "/t/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc",
            "/t/{token}",
        ),
        ("/t/bob%20the%20builder", "/t/{text}"),
        ("/t/zoë", "/t/{text}"),
        ("/t/\\xff", "/t/{text}"),
        ("/t/u10293", "/t/{id}"),
        ("/s;jsessionid=17/a", "/s/a"),
        ("/shop.v1.Cart/AddItem", "/shop.v1.Cart/AddItem"),
        ("/static/app.8f3e21ab.js", "/static/app.{hash}.js"),
    ] {
        assert_eq!(template(path), expected, "{path}");
    }
    assert_eq!(template(&"/a".repeat(30)), "/a".repeat(12) + "/*");
    assert_eq!(template(&format!("/{}", "a".repeat(100))), "/{text}");
}

#[test]
fn a_template_is_its_own() {
    for path in [
        "/users/17",
        "/o/3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "/u/a@b",
        "/t/u10293/2026-01-01",
    ] {
        let once = template(path);
        assert_eq!(template(&once), once);
    }
}

#[test]
fn a_service_has_so_many_templates_and_then_the_rest() {
    let word = |number: usize| -> String {
        let digits = [number / 676 % 26, number / 26 % 26, number % 26];
        digits
            .map(|digit| char::from(b'a' + digit as u8))
            .into_iter()
            .collect()
    };
    let mut templates = Templates::default();
    for number in 0..TEMPLATES {
        assert_eq!(
            templates.of(1, &format!("/{}/7", word(number))),
            format!("/{}/{{id}}", word(number))
        );
    }
    assert_eq!(templates.of(1, "/zzz"), REST);
    assert_eq!(templates.of(1, "/aaa/9"), "/aaa/{id}", "what it has stays");
    assert_eq!(
        templates.of(2, "/zzz"),
        "/zzz",
        "another service has its own"
    );
    templates.forget(1);
    assert_eq!(templates.of(1, "/zzz"), "/zzz");
    for service in 3..SERVICES as u64 + 10 {
        templates.of(service, "/a");
    }
    assert_eq!(templates.of(1 << 40, "/a"), REST);
    assert_eq!(templates.of(2, "/a"), "/a");
}
