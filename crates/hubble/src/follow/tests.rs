use std::fs;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_text_comes_once_until_it_is_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings.yaml");
    let (stop, mut file) = (CancellationToken::new(), Followed::new(path.clone()));
    let none = tokio::time::timeout(EVERY * 3, file.changed(&stop)).await;
    assert!(none.is_err());
    fs::write(&path, "a").unwrap();
    assert_eq!(file.changed(&stop).await.as_deref(), Some("a"));
    let none = tokio::time::timeout(EVERY * 3, file.changed(&stop)).await;
    assert!(none.is_err());
    // A file that is gone for a while, as when its mount changes, is no change.
    fs::remove_file(&path).unwrap();
    let none = tokio::time::timeout(EVERY * 3, file.changed(&stop)).await;
    assert!(none.is_err());
    fs::write(&path, "b").unwrap();
    assert_eq!(file.changed(&stop).await.as_deref(), Some("b"));
    stop.cancel();
    assert_eq!(file.changed(&stop).await, None);
}
