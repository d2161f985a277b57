//! Keeps endpoint slices from service selectors and pods.

mod desired;
mod keeper;

pub(crate) use self::keeper::keep;

#[cfg(test)]
mod tests;
