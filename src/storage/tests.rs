//! Pages through shared buffers, inside a server.

use learned_index::page::{forge_format, meta};
use learned_index::store::Store;
use pgrx::prelude::*;

use super::buffers::IndexStore;
use crate::relation::tests::new_index;

#[pg_schema]
mod tests {
    use super::*;

    #[pg_test(error = "index \"i\" has format 7; this version of omendb_learned reads 5")]
    fn an_index_of_another_format_is_not_called_corrupted() {
        let index = new_index("CREATE TABLE t (k int8); CREATE INDEX i ON t USING learned (k)");
        let store: IndexStore<u64> = IndexStore::new(index);
        let mut page = *store.read(0, 0);
        store.release();
        forge_format(&mut page, 7);
        if let Err(corruption) = meta::decode::<u64>(&page) {
            index.raise_corruption(corruption);
        }
    }

    #[pg_test]
    fn a_resting_store_keeps_no_lock_and_reads_on() {
        let index = new_index("CREATE TABLE t (k int8); CREATE INDEX i ON t USING learned (k)");
        let store: IndexStore<u64> = IndexStore::new(index);
        let word = store.word();
        let page = store.read(0, 0);
        assert_eq!(meta::word(&page), Some(word));
        drop(page);
        assert!(store.rest(), "one scan may keep its metapage");
        assert_eq!(store.word(), word);
        store.release();
        assert_eq!((store.word(), store.blocks() > 0), (word, true));
        store.release();
    }
}
