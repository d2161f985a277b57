//! What a real server would say of the objects that are written.

use testkit::oracle::Schemas;

use crate::stores::Store;

impl Store {
    /// The embedded server takes any object; a real one asks the CRD. Of a list every object, and there is one.
    pub(crate) async fn assert_that_the_crd_takes(&self, kind: &str, path: &str) {
        let found = self.get(path).await;
        let objects = found["items"].as_array().cloned();
        let objects = objects.unwrap_or_else(|| vec![found]);
        assert!(!objects.is_empty(), "nothing is at {path}");
        let schemas = Schemas::new();
        for object in objects {
            assert_eq!(schemas.refusal(kind, &object), None, "{object}");
            assert_eq!(
                schemas.lost(kind, &object),
                Vec::<String>::new(),
                "{object}"
            );
        }
    }
}
