use std::{collections::BTreeMap, io::Read};

use flate2::read::GzDecoder;

use super::*;

/// Names in a folder, without the digits of times, and the text of each.
fn files(folder: &Path) -> BTreeMap<String, Vec<String>> {
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy();
        let plain = name.replace(|c: char| c.is_ascii_digit(), "");
        let text = if name.ends_with(".gz") {
            let mut text = String::new();
            let mut decoder = GzDecoder::new(File::open(&path).unwrap());
            decoder.read_to_string(&mut text).unwrap();
            text
        } else {
            fs::read_to_string(&path).unwrap()
        };
        files.entry(plain).or_default().push(text);
    }
    files
}

#[test]
fn a_full_file_is_put_aside_at_the_end_of_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/events.log");
    let mut file = Rotated::new(path.clone(), 10);
    assert!(file.write(b"abc\ndef\n").unwrap().is_none());
    assert!(
        file.write(b"g\nhij\nlonger than a file\nk\n")
            .unwrap()
            .is_some()
    );
    assert_eq!(
        files(path.parent().unwrap()),
        BTreeMap::from([
            (
                "events---T--..log".into(),
                vec![
                    "abc\ndef\ng\n".into(),
                    "hij\n".into(),
                    "longer than a file\n".into(),
                ]
            ),
            ("events.log".into(), vec!["k\n".to_owned()]),
        ])
    );
}

#[test]
fn what_was_there_before_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events");
    fs::write(&path, "before\n").unwrap();
    let mut file = Rotated::new(path.clone(), 10);
    assert!(file.write(b"a\n").unwrap().is_none());
    assert!(file.write(b"bcd\n").unwrap().is_some());
    assert_eq!(
        files(folder.path()),
        BTreeMap::from([
            ("events".to_owned(), vec!["bcd\n".to_owned()]),
            ("events---T--.".to_owned(), vec!["before\na\n".to_owned()]),
        ])
    );
}

#[test]
fn only_the_newest_are_kept_compressed_and_nothing_else_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.log");
    let others = ["events-mine.log", "other-2026-01-31T12-00-00.000.log"];
    for other in others {
        fs::write(folder.path().join(other), "x").unwrap();
    }
    let mut file = Rotated::new(path.clone(), 4);
    for line in ["one\n", "two\n", "thr\n", "fou\n"] {
        if let Some(aside) = file.write(line.as_bytes()).unwrap() {
            tidy(&path, &aside, true, 2).unwrap();
        }
    }
    let files = files(folder.path());
    assert_eq!(files["events---T--..log.gz"], ["two\n", "thr\n"]);
    assert_eq!(files["events.log"], ["fou\n"]);
    assert_eq!(files.len(), 4, "{files:?}");
}
