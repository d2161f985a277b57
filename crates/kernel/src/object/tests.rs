use super::deepest_frame;

#[test]
fn the_deepest_frame_is_found_in_stores_loads_and_addresses() {
    let store = |offset: i16| {
        let [low, high] = offset.to_le_bytes();
        [0x7b, 0x1a, low, high, 0, 0, 0, 0]
    };
    let copy = [0xbf, 0xa2, 0, 0, 0, 0, 0, 0];
    let add = |value: i32| {
        let [a, b, c, d] = value.to_le_bytes();
        [0x07, 0x02, 0, 0, a, b, c, d]
    };
    assert_eq!(deepest_frame(&[store(-8), store(-24)]), 24);
    assert_eq!(deepest_frame(&[store(-8), copy, add(-40)]), 40);
    assert_eq!(
        deepest_frame(&[store(-8), add(-40)]),
        8,
        "not an address of the frame"
    );
    assert_eq!(deepest_frame(&[]), 0);
}
