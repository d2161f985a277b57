use super::*;

const ORDERS: [u8; 16] = [0x0a; 16];

/// Names that an agent knows at its start.
fn known(directory: &Path) -> TopicNames {
    let mut names = TopicNames::default();
    Topics::open(directory).0.teach(&mut names);
    names
}

#[tokio::test]
async fn names_of_topics_are_known_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (mut topics, keeper) = Topics::open(directory.path());
    let stop = CancellationToken::new();
    let kept = tokio::spawn(keep(keeper, stop.clone()));
    let mut names = TopicNames::default();
    topics.teach(&mut names);
    topics.tell(&names);
    names.learn(ORDERS, b"orders");
    names.learn([0; 16], b"mails");
    topics.tell(&names);
    stop.cancel();
    kept.await.unwrap();
    let after = known(directory.path());
    let mut all: Vec<_> = after.iter().collect();
    all.sort_unstable();
    assert_eq!(all, [([0; 16], "mails"), (ORDERS, "orders")]);
}

#[tokio::test]
async fn what_was_read_is_not_written_again() {
    let directory = tempfile::tempdir().unwrap();
    let names = Names::from([("0a".repeat(16), "orders".to_owned())]);
    write(&directory.path().join(FILE), names).unwrap();
    let (mut topics, keeper) = Topics::open(directory.path());
    let mut names = TopicNames::default();
    topics.teach(&mut names);
    names.learn(ORDERS, b"orders");
    topics.tell(&names);
    assert!(!keeper.names.has_changed().unwrap());
}

#[test]
fn a_file_that_cannot_be_read_is_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    for text in [
        "",
        "{\"version\":2,\"topics\":{\"0a\":\"orders\"}}",
        "{\"version\":1,\"topics\":{\"no number\":\"orders\"}}",
    ] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(known(directory.path()).iter().count(), 0, "{text}");
    }
}
