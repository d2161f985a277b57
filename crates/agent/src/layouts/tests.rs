use super::*;

fn numbers(directory: &Path, text: &str) {
    std::fs::write(directory.join(FILE), text).unwrap();
}

#[test]
fn a_directory_of_before_the_numbers_and_one_of_this_release_are_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    check(directory.path()).unwrap();
    record(directory.path()).unwrap();
    check(directory.path()).unwrap();
    let text = std::fs::read_to_string(directory.path().join(FILE)).unwrap();
    assert!(text.contains(r#""last-good": 1"#), "{text}");
    record(directory.path()).unwrap();
    let left = std::fs::read_dir(directory.path()).unwrap();
    assert_eq!(left.count(), 1);
}

#[test]
fn files_of_another_layout_are_refused_by_name_with_both_numbers() {
    let directory = tempfile::tempdir().unwrap();
    numbers(directory.path(), r#"{"deleteQueue": 1, "last-good": 7}"#);
    let path = directory.path().join("last-good");
    let said = check(directory.path()).unwrap_err().to_string();
    let expected = "has layout 7, this release has layout 1; nothing was touched";
    assert_eq!(said, format!("{} {expected}", path.display()));
}

#[test]
fn a_kind_that_only_another_release_has_is_no_hindrance() {
    let directory = tempfile::tempdir().unwrap();
    numbers(directory.path(), r#"{"keys": 3}"#);
    check(directory.path()).unwrap();
}

#[test]
fn numbers_that_cannot_be_read_are_not_guessed() {
    let directory = tempfile::tempdir().unwrap();
    numbers(directory.path(), "{");
    let said = check(directory.path()).unwrap_err().to_string();
    assert!(said.contains(FILE), "{said}");
}
