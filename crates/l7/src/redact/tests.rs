use super::*;

#[test]
fn of_a_target_the_path_is_left() {
    for (target, expected) in [
        ("/a/b", "/a/b"),
        ("/a?token=1", "/a"),
        ("/a#b?c", "/a"),
        ("*", "*"),
        ("http://me:pw@shop:80/a?x", "/a"),
        ("https://shop", "/"),
        ("shop:443", ""),
        ("/redirect/http://x/y", "/redirect/http://x/y"),
        ("/a\u{1b}[2J", "/a\\u{1b}[2J"),
    ] {
        assert_eq!(path(target.as_bytes()), expected, "{target}");
    }
    assert_eq!(path(b"/\xff\xfe?q"), "/\\xff\\xfe");
}

#[test]
fn of_an_authority_the_host_is_left() {
    for (authority, expected) in [
        ("Shop:8080", "shop:8080"),
        ("me:pw@shop", "shop"),
        ("a@b@shop", "shop"),
        ("[fd00::1]:80", "[fd00::1]:80"),
        ("shop/x?y", "shop"),
        ("", ""),
    ] {
        assert_eq!(host(authority.as_bytes()), expected, "{authority}");
    }
    assert_eq!(target_host(b"http://me@Shop/a").as_deref(), Some("shop"));
    assert_eq!(target_host(b"/a"), None);
    assert!(host(&[b'a'; 5000]).len() <= HOST_OCTETS + 4);
}

#[test]
fn a_text_steers_no_terminal_and_turns_no_writing_around() {
    assert_eq!(text("naïve 日本 ok".as_bytes()), "naïve 日本 ok");
    assert_eq!(
        text(b"a\r\n\x1b]0;x\x07\x7f\\"),
        "a\\r\\n\\u{1b}]0;x\\u{7}\\u{7f}\\\\"
    );
    assert_eq!(
        text("a\u{202e}b\u{2066}\u{200b}\u{feff}\u{85}".as_bytes()),
        "a\\u{202e}b\\u{2066}\\u{200b}\\u{feff}\\u{85}"
    );
    assert_eq!(text(&[b'x'; 2000]).chars().count(), TEXT_OCTETS + 1);
    for octet in 0..=255_u8 {
        assert!(!text(&[octet, b'a']).contains(char::is_control), "{octet}");
    }
}

#[test]
fn a_traceparent_is_kept_if_it_is_one() {
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert_eq!(traceparent(good.as_bytes()).as_deref(), Some(good));
    let later = format!("cc{}-extra", &good[2..]);
    assert_eq!(traceparent(later.as_bytes()).as_deref(), Some(&later[..55]));
    for wrong in [
        "",
        "00",
        &format!("{good}-x"),
        &good.to_uppercase(),
        &good[1..],
        &good.replace("0af", "0ag"),
    ] {
        assert_eq!(traceparent(wrong.as_bytes()), None, "{wrong}");
    }
}
