//! Writing what we own: read, change, replace, and once more when somebody was quicker.

use api::kubernetes::Resource;
use reconcile::Backoff;

use super::{Client, Error};

/// Conflicts in a row before the caller is told.
const TRIES: u32 = 5;

/// What a change did to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// It differs: write it.
    Changed,
    /// It is as it should be: write nothing.
    Unchanged,
}

impl Client {
    /// Changes an object of ours as it is in the store now; when somebody changes it meanwhile, that is read and `change`
    /// is asked again. Fields that the type does not model are dropped: other people's objects are to be patched.
    pub async fn update<R: Resource>(
        &self,
        namespace: Option<&str>,
        name: &str,
        mut change: impl FnMut(&mut R) -> Edit + Send,
    ) -> Result<R, Error> {
        let mut conflicts = 0;
        loop {
            let mut object = self.get::<R>(namespace, name).await?;
            if change(&mut object) == Edit::Unchanged {
                return Ok(object);
            }
            match self.replace(&object).await {
                Err(error) if error.is_conflict() && conflicts < TRIES => {
                    conflicts += 1;
                    tokio::time::sleep(Backoff::default().after(conflicts, &mut rand::rng())).await;
                }
                result => return result,
            }
        }
    }

    /// Makes an object of ours be there: creates `new`, or lets `change` bring the one that is there into line.
    pub async fn ensure<R: Resource>(
        &self,
        new: &R,
        mut change: impl FnMut(&mut R) -> Edit + Send,
    ) -> Result<R, Error> {
        let (namespace, name) = (super::namespace_of(new), &new.meta().name);
        let mut tries = 0;
        loop {
            match self.update(namespace, name, &mut change).await {
                Err(error) if error.is_not_found() => {}
                result => return result,
            }
            match self.create(new).await {
                // Somebody was quicker; and what he made may be gone again by now.
                Err(error) if error.is_conflict() && tries < TRIES => tries += 1,
                result => return result,
            }
        }
    }
}

#[cfg(test)]
mod tests;
