use super::*;

#[test]
fn an_input_does_not_depend_on_those_before_it() {
    // An empty packet of a container, after the longest pause.
    let input = [0, 0xf8, 0, 0];
    let after = || {
        packets(&input);
        WORLD.with_borrow(|world| world.now_ns)
    };
    assert_eq!(after(), after());
}
