// What a fuzzer or a property test does with bytes that nobody wrote as a page.

use learned_index::entries::Entries;
use learned_index::entry::{Fence, HeapTid};
use learned_index::key::{Interval, Key};
use learned_index::model::Model;
use learned_index::model::ModelChoice;
use learned_index::page::leaf::Head;
use learned_index::page::{PAGE_SIZE, PageKind, blob, directory, forge, meta};
use learned_index::store::BulkStore;
use learned_index::store::memory::MemoryStore;
use learned_index::tree::build::BuildOptions;
use learned_index::tree::check::check;
use learned_index::tree::directory::Directory;
use learned_index::tree::scan::{Direction, Guard, Scan};
use learned_index::tree::vacuum::bulk_delete;

/// Passes `bytes` through every decoder as a page of one kind, as it is and with a valid trailer,
/// and uses what comes out.
pub(crate) fn decode_everything(bytes: &[u8], kind: PageKind) {
    let mut page = [0; PAGE_SIZE];
    let len = bytes.len().min(PAGE_SIZE);
    page[..len].copy_from_slice(&bytes[..len]);
    for round in 0..2 {
        if round == 1 {
            forge(&mut page, kind, 24..8_168);
        }
        let _ = meta::decode::<u64>(&page);
        let _ = directory::decode::<u64>(&page);
        let _ = blob::decode(&page);
        use_leaf(&page);
        // As a page of an index: every block the same page.
        let mut store = MemoryStore::new();
        (0..4).for_each(|_| {
            store.append(&page);
        });
        use_index(&store);
    }
    if let Ok(model) = Model::from_bytes(bytes) {
        let _ = model.predict(bytes.len() as u64);
    }
}

fn use_leaf(page: &[u8; PAGE_SIZE]) {
    let Ok(head) = Head::parse(page, 1) else { return };
    let leaf = head.of(page);
    let mut entries = Entries::default();
    if leaf.decode(0, leaf.entries(), &mut entries).is_ok() {
        assert_eq!(entries.codes().len(), entries.tids().len());
    }
    for code in entries.codes().iter().take(3).copied().chain([0, 1, u64::MAX]) {
        for tid in [HeapTid::MIN, HeapTid::new(3, 7)] {
            if let Ok(slot) = leaf.slot_of(Fence { class: 1, code, tid }) {
                assert!(slot <= leaf.entries());
            }
        }
    }
    assert!(leaf.listed_tombstones().count() <= PAGE_SIZE);
}

const OPTIONS: BuildOptions = BuildOptions { model: ModelChoice::Auto, fillfactor: 100 };

fn use_index(store: &MemoryStore) {
    let _ = check(store, true, |_| {});
    let _ = bulk_delete(store, OPTIONS, |tid| tid.offset() % 2 == 0, || {});
    let Ok(mut directory) = Directory::open(store, 1 << 20) else { return };
    let mut scan = Scan::new();
    for direction in [Direction::Forward, Direction::Backward] {
        scan.restart(store, Guard::Nothing);
        scan.intervals_mut().set_union([Interval { low: Key::MIN, high: Key::MAX }]);
        for _ in 0..1_000 {
            if !matches!(scan.next(store, &mut directory, direction), Ok(Some(_))) {
                break;
            }
        }
    }
}
