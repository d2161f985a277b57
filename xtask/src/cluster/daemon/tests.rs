use super::*;
use crate::place::Place;

fn layout(name: &str) -> Layout {
    let cache = std::env::temp_dir().join(format!("axoneme-daemon-{}-{name}", std::process::id()));
    let place = Place {
        repo: cache.clone(),
        cache,
    };
    Layout::new(&place, "axk")
}

#[test]
fn the_start_of_a_process_is_read_whatever_it_is_called() {
    let fields: Vec<String> = (4..=30).map(|number| number.to_string()).collect();
    let stat = format!("17 (a) b (c)) S {}", fields.join(" "));
    assert_eq!(start_of(&stat), Some(22));
    assert_eq!(start_of(&stat.replace(" S ", " Z ")), None);
    assert_eq!(start_of(""), None);
}

#[test]
fn a_record_that_was_cut_off_is_none() {
    let record = Record {
        pid: 12,
        started: 3456,
    };
    assert_eq!(Record::parse(&record.text()), Some(record));
    for text in ["", "12", "12 ", "x 3456"] {
        assert_eq!(Record::parse(text), None, "{text:?}");
    }
}

#[test]
fn a_started_program_is_found_again_and_another_with_its_number_is_not() {
    let layout = layout("found");
    start(&layout, "sleeper", &[OsStr::new("sleep"), OsStr::new("60")]).unwrap();
    let record = running(&layout, "sleeper").unwrap();
    start(&layout, "sleeper", &[OsStr::new("sleep"), OsStr::new("60")]).unwrap();
    assert_eq!(
        running(&layout, "sleeper"),
        Some(record),
        "it was started twice"
    );

    let other = Record {
        started: record.started + 1,
        ..record
    };
    fs::write(file(&layout, "sleeper"), other.text()).unwrap();
    assert_eq!(running(&layout, "sleeper"), None);
    // This test itself runs, and does not bear the mark.
    let own = Record {
        pid: std::process::id(),
        started: started(std::process::id()).unwrap(),
    };
    fs::write(file(&layout, "sleeper"), own.text()).unwrap();
    assert_eq!(running(&layout, "sleeper"), None);

    fs::write(file(&layout, "sleeper"), record.text()).unwrap();
    end_all(&layout, &[]).unwrap();
    assert_eq!(started(record.pid), None);
    assert!(recorded(&layout).is_empty());
    fs::remove_dir_all(&layout.built).unwrap();
}
