//! The protocol with one step of it left out or done wrong: some schedule must fail.

use super::{prepare, schedule};
use crate::fault::Fault;
use crate::fault::testing::inject;

/// Schedules within which each fault must be noticed.
const ENOUGH: u64 = 4_000;

/// The number of the first schedule that fails.
fn schedules_until_noticed(fault: Fault) -> Option<u64> {
    let images = prepare();
    inject(Some(fault));
    let noticed =
        (0..ENOUGH).find(|&seed| std::panic::catch_unwind(|| schedule(&images, seed)).is_err());
    inject(None);
    noticed.map(|seed| seed + 1)
}

macro_rules! faults {
    ($($name:ident: $fault:ident;)*) => {$(
        #[test]
        fn $name() {
            let noticed = schedules_until_noticed(Fault::$fault);
            let needed = noticed.expect("a fault that no schedule noticed");
            println!("{:?}: schedule {needed}", Fault::$fault);
        }
    )*};
}

faults! {
    reading_under_any_word_is_noticed: ReadUnderAnyWord;
    locking_under_any_word_is_noticed: LockUnderAnyWord;
    keeping_a_directory_that_was_replaced_is_noticed: KeepDirectory;
    keeping_copies_from_another_state_is_noticed: KeepCopies;
    freeing_before_publishing_is_noticed: FreeBeforePublish;
    a_tombstone_of_the_next_slot_is_noticed: TombstoneOfNeighbour;
    a_tombstone_that_hides_an_entry_elsewhere_is_noticed: TombstoneByEntry;
    a_unique_insert_that_locks_its_own_leaf_is_noticed: UniqueLocksOwnLeaf;
    vacuum_that_skips_pages_with_nothing_to_do_is_noticed: SkipOtherPages;
    believing_the_visibility_map_without_a_second_look_is_noticed: NoSecondLook;
    believing_the_visibility_map_for_entries_of_delta_trees_is_noticed: MapForFresh;
    keeping_routes_of_a_tree_that_was_frozen_is_noticed: KeepRoutesOfFrozen;
    a_writer_that_does_not_look_at_all_parts_of_its_key_is_noticed: LeavePartsOut;
    a_reader_that_locks_after_reading_is_noticed: LockAfterReading;
    a_reader_that_does_not_lock_gaps_is_noticed: LockOnlyWhatWasFound;
    a_writer_that_looks_for_locks_before_it_inserts_is_noticed: CheckBeforeInserting;
    taking_entries_out_of_a_leaf_in_secret_is_noticed: KeepRewrites;
    taking_entries_out_without_a_pin_is_noticed: RemoveWithoutPin;
    taking_entries_out_that_a_snapshot_sees_is_noticed: RemoveWhatSnapshotsSee;
}
