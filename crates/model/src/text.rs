//! Texts that many objects have in common, as keys of labels and names of namespaces and ports.

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// So many texts of late a thread remembers. What is rare takes the place of what is common now and then, which costs the
/// latter one copy more.
const SLOTS: u16 = 1024;

thread_local! {
    static RECENT: RefCell<Vec<Arc<str>>> = RefCell::new(vec!["".into(); usize::from(SLOTS)]);
}

/// A text, shared with the objects of late that have it too. Of ten thousand identities nearly all labels are the same few.
pub fn shared(text: &str) -> Arc<str> {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let slot = usize::try_from(hasher.finish() % u64::from(SLOTS)).unwrap_or_default();
    RECENT.with_borrow_mut(|recent| {
        if *recent[slot] != *text {
            recent[slot] = text.into();
        }
        Arc::clone(&recent[slot])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_many_is_held_once_beside_as_many_others() {
        let first = shared("app");
        let mut copies = vec![Arc::clone(&first)];
        for number in 0..20_000 {
            let own = format!("pod-{number}");
            assert_eq!(*shared(&own), *own);
            let again = shared("app");
            assert_eq!(*again, *first);
            if !copies.iter().any(|of| Arc::ptr_eq(of, &again)) {
                copies.push(again);
            }
        }
        assert!(copies.len() < 100, "{} copies", copies.len());
    }

    #[test]
    fn nothing_is_a_text_too() {
        assert_eq!(*shared(""), *"");
    }
}
