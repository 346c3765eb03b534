//! The protocol with one step of it left out or done wrong: some schedule must fail.

use super::{Cast, prepare, schedule};
use crate::fault::Fault;
use crate::fault::testing::inject;
use crate::key::Sample;

/// Schedules within which each fault must be noticed.
const ENOUGH: u64 = 4_000;

/// The number of the first schedule that fails.
fn schedules_until_noticed<C: Sample>(
    fault: Fault,
    cast: Option<Cast>,
    included: usize,
) -> Option<u64> {
    let images = prepare::<C>(included);
    inject(Some(fault));
    let noticed = (0..ENOUGH)
        .find(|&seed| std::panic::catch_unwind(|| schedule(&images, seed, cast)).is_err());
    inject(None);
    noticed.map(|seed| seed + 1)
}

macro_rules! faults {
    ($($name:ident: $fault:ident, $cast:expr;)*) => {$(
        #[test]
        fn $name() {
            let noticed = schedules_until_noticed::<u64>(Fault::$fault, $cast, 0);
            let needed = noticed.expect("a fault that no schedule noticed");
            println!("{:?}: schedule {needed}", Fault::$fault);
        }
    )*};
}

faults! {
    reading_under_any_word_is_noticed: ReadUnderAnyWord, None;
    locking_under_any_word_is_noticed: LockUnderAnyWord, None;
    keeping_a_directory_that_was_replaced_is_noticed: KeepDirectory, None;
    keeping_copies_from_another_state_is_noticed: KeepCopies, None;
    freeing_before_publishing_is_noticed: FreeBeforePublish, None;
    a_tombstone_of_the_next_slot_is_noticed: TombstoneOfNeighbour, None;
    a_tombstone_that_hides_an_entry_elsewhere_is_noticed: TombstoneByEntry, None;
    a_unique_insert_that_locks_its_own_leaf_is_noticed: UniqueLocksOwnLeaf, None;
    vacuum_that_skips_pages_with_nothing_to_do_is_noticed: SkipOtherPages, None;
    keeping_routes_of_a_tree_that_was_frozen_is_noticed: KeepRoutesOfFrozen, None;
    a_plain_lock_of_a_delta_leaf_in_vacuum_is_noticed: PlainLockOnDelta, Some(Cast::Splits);
    sweeping_without_looking_again_is_noticed: SweepWithoutLook, Some(Cast::Openers);
    reading_a_map_under_any_word_is_noticed: MapUnderAnyWord, Some(Cast::Maps);
    a_record_that_names_a_map_before_its_leaf_is_noticed: LogMapFirst, None;
    believing_the_visibility_map_without_a_second_look_is_noticed: NoSecondLook, None;
    believing_the_visibility_map_for_entries_of_delta_trees_is_noticed: MapForFresh, None;
    a_count_that_keeps_the_map_of_another_state_is_noticed: KeepMap, Some(Cast::Counts);
    a_count_that_reads_a_leaf_before_the_map_is_noticed: MapAfterLeaf, Some(Cast::Counts);
    a_copy_of_a_leaf_from_before_the_map_is_noticed: SeeBeforeMap, Some(Cast::Looks);
    a_copy_of_a_leaf_without_a_look_at_delta_trees_is_noticed: SeeNoDelta, Some(Cast::Looks);
    vacuum_that_keeps_the_word_is_noticed: KeepWord, Some(Cast::Recounts);
    a_writer_that_does_not_look_at_all_parts_of_its_key_is_noticed: LeavePartsOut, None;
    a_reader_that_locks_after_reading_is_noticed: LockAfterReading, None;
    a_reader_that_does_not_lock_gaps_is_noticed: LockOnlyWhatWasFound, None;
    a_writer_that_looks_for_locks_before_it_inserts_is_noticed: CheckBeforeInserting, None;
    taking_entries_out_of_a_leaf_in_secret_is_noticed: KeepRewrites, None;
    taking_entries_out_without_a_pin_is_noticed: RemoveWithoutPin, None;
    remembering_a_dead_row_by_its_entry_is_noticed: KillByTid, Some(Cast::Kills);
    keeping_dead_slots_of_a_leaf_that_was_written_anew_is_noticed: KeepKilled, None;
    taking_entries_out_that_a_snapshot_sees_is_noticed: RemoveWhatSnapshotsSee, None;
}

/// Where sessions with the same key and other values beside it have to meet.
#[test]
fn a_unique_insert_that_locks_its_own_leaf_is_noticed_where_others_are_beside_the_key() {
    let fault = Fault::UniqueLocksOwnLeaf;
    let needed = schedules_until_noticed::<[u64; 2]>(fault, None, 1);
    println!("{fault:?}: schedule {}", needed.expect("a fault that no schedule noticed"));
}
