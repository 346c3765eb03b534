//! What the model of a table says of dead rows.

use shuttle::thread;

use super::heap::Heap;
use super::scheduler::Random;
use crate::entry::{Block, Entry};
use crate::key::Code;
use crate::tree::delta::{self, Candidate};

/// The table, for inserts that take out entries of dead rows.
pub(super) struct Table<'h, C> {
    heap: &'h Heap<C>,
    random: Random,
}

impl<C> Table<'_, C> {
    pub(super) fn of(heap: &Heap<C>, seed: u64) -> Table<'_, C> {
        Table { heap, random: Random::new(seed) }
    }
}

impl<C: Code> delta::Table<C> for Table<'_, C> {
    type Horizon = ();

    fn find_dead(&mut self, _: Block, candidates: &mut [Candidate], all: bool) {
        // As in a server, which gives up early unless it is sure to find some.
        let gives_up = !all && self.random.one_in(8);
        for candidate in &mut *candidates {
            thread::yield_now();
            assert!(!self.heap.is_free(candidate.tid), "no row has {:?} any more", candidate.tid);
            candidate.dead = !gives_up && self.heap.is_removable(candidate.tid);
        }
        let found = candidates.iter().any(|candidate| candidate.dead);
        assert!(found || !all, "none of the rows is dead that were seen to be");
    }

    fn before_removal(&mut self, (): (), entries: &[Entry<C>]) {
        for entry in entries {
            assert!(self.heap.has(*entry), "{entry:?} is of another row by now");
            self.heap.removed(entry.tid);
        }
    }
}
