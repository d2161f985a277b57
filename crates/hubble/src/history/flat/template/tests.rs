use proptest::prelude::*;

use super::*;

#[test]
fn only_what_stands_in_the_places_is_told() {
    for (template, path, expected) in [
        ("/carts/{id}", "/carts/17", "17"),
        ("/orders/{id}/items", "/orders/5/items", "5"),
        ("/a/{uuid}/order-{id}.pdf", "/a/u-1/order-17.pdf", "u-1/17"),
        ("/healthz", "/healthz", ""),
        ("{text}", "x", "x"),
        ("/{id}{id}", "/17", "/17"),
    ] {
        assert_eq!(parts(template, path).as_deref(), Some(expected), "{path}");
        assert_eq!(filled(template, expected), path);
    }
}

#[test]
fn a_path_that_the_template_does_not_give_has_no_parts() {
    for (template, path) in [
        ("/*", "/carts/17"),
        ("/carts/{id}", "/carts/17;v=1/"),
        ("/carts/{id}", "/users/17"),
        ("/a/{id}/b", "/a/1"),
        ("/{id", "/17"),
        ("", "/17"),
    ] {
        let told = parts(template, path);
        let again = told.as_ref().map(|parts| filled(template, parts));
        assert!(again.is_none_or(|again| again == path), "{told:?}");
    }
    assert_eq!(parts("/*", "/carts/17"), None);
}

proptest! {
    #[test]
    fn parts_give_the_path_or_there_are_none(
        path in "(/[a-z0-9{}@;.%-]{0,9}){0,14}",
        template in "(/[a-z{}]{0,6}){0,4}",
    ) {
        for template in [l7::template::template(&path), template] {
            if let Some(parts) = parts(&template, &path) {
                prop_assert_eq!(filled(&template, &parts), path.clone());
            }
        }
    }
}
