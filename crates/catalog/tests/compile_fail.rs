//! What must not compile: touching a package without the right proof. Each program below `compile_fail/` is wrong
//! in one way and says in its first line in which; `right.rs` is the same act done right.
//!
//! A compiler with other words for the same errors changes the `.stderr` files beside them: run with
//! `TRYBUILD=overwrite`, and read whether each still fails for its own reason.

#[test]
fn a_package_cannot_be_touched_without_the_right_proof() {
    let programs = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/compile_fail")).unwrap();
    let wrong = programs
        .filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|kind| kind == "stderr"));
    assert_eq!(wrong.count(), 33, "a program was lost, or is new: count it");
    let cases = trybuild::TestCases::new();
    cases.pass("tests/compile_fail/right.rs");
    cases.compile_fail("tests/compile_fail/wrong_*.rs");
}
