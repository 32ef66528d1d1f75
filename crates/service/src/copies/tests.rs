use super::*;

#[test]
fn names_say_their_time_and_have_its_order() {
    let times = [0, 1, 999_999, 1_000_000, 1_764_112_631_123_456, 4_102_444_799_999_999].map(Micros);
    let names = times.map(name_of);
    assert_eq!(names[4], "20251125T231711-123456");
    assert!(names.is_sorted(), "{names:?}");
    assert_eq!(names.each_ref().map(|name| time_of(name).unwrap()), times);
    for bad in ["", "latest", "20251125T231711", "20251325T231711-123456", "20251125T231711-x"] {
        assert_eq!(time_of(bad), None, "{bad}");
    }
}
