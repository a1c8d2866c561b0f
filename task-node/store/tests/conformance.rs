//! The SQLite store, held to the suite.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use async_trait::async_trait;
use store::conformance::{Backend, fixture, run};
use store::{ShareStore, SqliteStore};

struct Folder(tempfile::TempDir);

#[async_trait]
impl Backend for Folder {
    async fn open(&self, name: &str) -> Arc<dyn ShareStore> {
        let path = self.0.path().join(name);
        Arc::new(SqliteStore::open(&path, fixture::identity()).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_conforms() {
    run(&Folder(tempfile::tempdir().unwrap())).await;
}
