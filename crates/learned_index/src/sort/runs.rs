//! Runs: what fits the memory limit, sorted, in a temporary file until it is merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use super::radix::{self, Pair};
use crate::entry::HeapTid;
use crate::key::{Code, Word};
use crate::memory::{Add, Room, SMALL, listed, with_room};

/// Bytes read or written at once, unless the memory limit asks for less.
const CHUNK: usize = 256 * 1024;
const SMALLEST_CHUNK: usize = 16 * 1024;
/// Pairs that are worth a run. Where there is no memory for more, the sort fails.
const SMALLEST_RUN: usize = 1024;

/// Temporary storage for runs.
pub trait Spill {
    /// Begins another run. Runs are numbered from 0.
    fn create_run(&mut self) -> usize;
    /// Appends to a run.
    fn write(&mut self, run: usize, bytes: &[u8]);
    /// Fills `bytes` with the next bytes of a run, from its start on.
    fn read(&mut self, run: usize, bytes: &mut [u8]);
    /// Called often while pairs are sorted, which takes long where there is much memory. May
    /// unwind.
    fn poll(&mut self);
}

/// Runs in memory, for tests.
#[derive(Debug, Default)]
pub struct MemorySpill {
    runs: Vec<(Vec<u8>, usize)>,
}

impl Spill for MemorySpill {
    fn create_run(&mut self) -> usize {
        self.runs.push((Vec::new(), 0));
        self.runs.len() - 1
    }

    fn write(&mut self, run: usize, bytes: &[u8]) {
        self.runs[run].0.extend_from_slice(bytes);
    }

    fn read(&mut self, run: usize, bytes: &mut [u8]) {
        let (all, at) = &mut self.runs[run];
        bytes.copy_from_slice(&all[*at..*at + bytes.len()]);
        *at += bytes.len();
    }

    fn poll(&mut self) {}
}

/// Sorts entries by (code, heap TID).
pub struct Sorter<S, C = Word> {
    spill: S,
    memory: usize,
    pairs: Vec<Pair<C>>,
    runs: Vec<Run>,
}

/// Bytes of a spilled pair.
pub(crate) const fn pair_len<C>() -> usize {
    size_of::<C>() + size_of::<u64>()
}

/// The spilled pair that some bytes begin with.
#[inline]
pub(crate) fn read_pair<C: Code>(bytes: &[u8]) -> Option<Pair<C>> {
    let (code, rest) = C::read_from_prefix(bytes).ok()?;
    Some((code, u64::from_le_bytes(*rest.first_chunk()?)))
}

struct Run {
    id: usize,
    pairs: usize,
}

impl<S: Spill, C: Code> Sorter<S, C> {
    /// `memory` is the limit in bytes; it is not kept below 64 kB.
    pub fn new(spill: S, memory: usize) -> Sorter<S, C> {
        let memory = memory.max(64 * 1024);
        Sorter { spill, memory, pairs: Vec::new(), runs: Vec::new() }
    }

    /// Adds an entry.
    #[inline]
    pub fn push(&mut self, code: C, tid: HeapTid) {
        if self.pairs.len() == self.pairs.capacity() {
            self.grow_or_spill();
        }
        self.pairs.push((code, tid.to_u64()));
    }

    #[cold]
    fn grow_or_spill(&mut self) {
        let most = self.memory / size_of::<Pair<C>>();
        let held = self.pairs.len();
        let more = held.max(SMALLEST_RUN).min(most.saturating_sub(held));
        // Where the system gives no memory, what is held is spilled.
        if more > 0 && self.pairs.try_reserve_exact(more).is_ok() {
            return;
        }
        if held >= SMALLEST_RUN {
            self.spill_run();
        } else {
            self.pairs.make_room(SMALLEST_RUN);
        }
    }

    fn spill_run(&mut self) {
        radix::sort(&mut self.pairs, || self.spill.poll());
        let id = self.spill.create_run();
        let mut bytes = buffer(CHUNK.min(self.memory / 8));
        for chunk in self.pairs.chunks((bytes.capacity() / pair_len::<C>()).max(1)) {
            bytes.clear();
            for (code, tid) in chunk {
                bytes.extend_from_slice(code.as_bytes());
                bytes.extend_from_slice(&tid.to_le_bytes());
            }
            self.spill.write(id, &bytes);
        }
        self.runs.add(Run { id, pairs: self.pairs.len() });
        self.pairs.clear();
    }

    /// Hands out all entries in order.
    pub fn finish(mut self, mut emit: impl FnMut(C, HeapTid)) {
        if self.runs.is_empty() {
            radix::sort(&mut self.pairs, || self.spill.poll());
            self.pairs.iter().for_each(|&(code, tid)| emit(code, HeapTid::from_u64(tid)));
            return;
        }
        if !self.pairs.is_empty() {
            self.spill_run();
        }
        self.pairs = Vec::new();
        let chunk = (self.memory / self.runs.len()).clamp(SMALLEST_CHUNK, CHUNK);
        let mut readers: Vec<RunReader> =
            listed(self.runs.iter().map(|run| RunReader::new(run, chunk)));
        let heads: Vec<Reverse<(C, u64, usize)>> = with_room(readers.len());
        let mut heads = BinaryHeap::from(heads);
        for (index, reader) in readers.iter_mut().enumerate() {
            if let Some((code, tid)) = reader.next(&mut self.spill) {
                heads.push(Reverse((code, tid, index)));
            }
        }
        while let Some(mut head) = heads.peek_mut() {
            let Reverse((code, tid, index)) = *head;
            emit(code, HeapTid::from_u64(tid));
            match readers[index].next(&mut self.spill) {
                Some((code, tid)) => *head = Reverse((code, tid, index)),
                None => {
                    PeekMut::pop(head);
                }
            }
        }
    }
}

/// An empty buffer of this many bytes, or of fewer where memory is short, which is when runs are
/// spilled.
fn buffer(bytes: usize) -> Vec<u8> {
    let mut buffer = Vec::new();
    if buffer.try_reserve_exact(bytes).is_err() {
        buffer.make_room(bytes.min(SMALL));
    }
    buffer
}

struct RunReader {
    run: usize,
    unread: usize,
    buffer: Vec<u8>,
    at: usize,
    chunk: usize,
}

impl RunReader {
    fn new(run: &Run, chunk: usize) -> RunReader {
        RunReader { run: run.id, unread: run.pairs, buffer: Vec::new(), at: 0, chunk }
    }

    #[inline]
    fn next<C: Code>(&mut self, spill: &mut impl Spill) -> Option<Pair<C>> {
        if self.at == self.buffer.len() {
            let pairs = self.unread.min(self.chunk / pair_len::<C>());
            if pairs == 0 {
                return None;
            }
            let bytes = pairs * pair_len::<C>();
            self.buffer.make_room(bytes.saturating_sub(self.buffer.len()));
            self.buffer.resize(bytes, 0);
            spill.read(self.run, &mut self.buffer);
            self.unread -= pairs;
            self.at = 0;
        }
        let pair = read_pair(self.buffer.get(self.at..)?);
        self.at += pair_len::<C>();
        pair
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    #[test]
    fn spilled_runs_come_back_merged_in_order() {
        let mut random = StdRng::seed_from_u64(7);
        for count in [0u64, 1, 100, 2_048, 2_049, 50_000] {
            let mut sorter = Sorter::new(MemorySpill::default(), 64 * 1024);
            let mut expected: Vec<(u64, HeapTid)> = (0..count)
                .map(|_| (random.random_range(0..5_000), HeapTid::from_u64(random.random())))
                .collect();
            expected.iter().for_each(|&(code, tid)| sorter.push(code, tid));
            expected.sort_unstable();
            let mut sorted = Vec::new();
            sorter.finish(|code, tid| sorted.push((code, tid)));
            assert_eq!(sorted, expected);
        }
    }
}
