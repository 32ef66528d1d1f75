//! What must not compile: touching a package without the right proof. Each program below `compile_fail/` is wrong
//! in one way and says in its first line in which; `right.rs` is the same act done right.

#[test]
fn a_package_cannot_be_touched_without_the_right_proof() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/compile_fail/right.rs");
    cases.compile_fail("tests/compile_fail/wrong_*.rs");
}
