//! The codes of a block where a code is several words, its *lanes*, compared one after the other.
//!
//! Codes that agree in all lanes but the last are a *run*: the rows of one device, in the order of
//! time. A block has one of these forms:
//!
//! - one run: the last lanes, as a sequence;
//! - runs: for each lane that varies, a sequence of what the first row of each run has there; a
//!   sequence of the *bases* of the runs; and a sequence of the *distances* of all rows;
//! - each row a run of its own: for each lane that varies, a sequence of what the rows have there.
//!
//! The distance of a row is how far its last lane is from that of the first row of its run, plus
//! the base of the run, which is one more than the distance of the row before the run (0 for the
//! first run). So distances ascend over the whole block, without a jump from one run to the next.

use std::ops::Range;

use super::{Codes, CodesPlan, Sequence, SequencePlan};
use crate::corruption::{Corruption, Result, ensure};
use crate::partition::partition_point;

/// The forms, as stored in the first byte.
const ONE_RUN: u8 = 0;
const RUNS: u8 = 1;
const EACH: u8 = 2;
/// Form, which lanes vary, number of runs.
const HEADER_LEN: usize = 4;
/// Rows of a run, on average, from which on nothing else is tried.
const LONG_RUN: usize = 4;
/// Rows that are decoded at once.
const AT_ONCE: usize = 32;

/// The codes of a block, of `L` lanes each, inside a page's bytes.
pub struct Lanes<'a, const L: usize> {
    count: usize,
    /// The first code; the lanes that do not vary are everywhere as here.
    first: [u64; L],
    form: Form<'a, L>,
}

enum Form<'a, const L: usize> {
    OneRun(Sequence<'a>),
    Runs {
        /// Of the first row of each run: the lanes that vary.
        lanes: [Option<Sequence<'a>>; L],
        runs: usize,
        /// The distances before each run, and of each row; none where each row is a run.
        distances: Option<(Sequence<'a>, Sequence<'a>)>,
    },
}

impl<'a, const L: usize> Codes<'a, [u64; L]> for Lanes<'a, L> {
    fn parse(bytes: &'a [u8], count: usize, first: [u64; L]) -> Result<(Lanes<'a, L>, usize)> {
        let header: [u8; HEADER_LEN] =
            *bytes.first_chunk().ok_or(Corruption::not("lanes within the page"))?;
        let [form, varying, low, high] = header;
        let mut at = HEADER_LEN;
        let mut sequence = |count| {
            let (sequence, len) = Sequence::parse(bytes.get(at..).unwrap_or(&[]), count)?;
            at += len;
            Ok(sequence)
        };
        let form = if form == ONE_RUN {
            Form::OneRun(sequence(count)?)
        } else {
            ensure(form == RUNS || form == EACH, "a form of lanes", form.into())?;
            let runs = if form == RUNS { u16::from_le_bytes([low, high]).into() } else { count };
            ensure(0 < runs && runs <= count, "as many runs as rows, or fewer", runs as u64)?;
            let mut lanes = [None; L];
            for (index, lane) in lanes.iter_mut().enumerate() {
                if varying >> index & 1 == 1 {
                    *lane = Some(sequence(runs)?);
                }
            }
            let distances =
                if form == RUNS { Some((sequence(runs)?, sequence(count)?)) } else { None };
            Form::Runs { lanes, runs, distances }
        };
        Ok((Lanes { count, first, form }, at))
    }

    fn packed_at(_: &[u8]) -> Result<usize> {
        Err(Corruption::not("one sequence"))
    }

    fn get(&self, index: usize) -> [u64; L] {
        let mut code = self.first;
        match &self.form {
            Form::OneRun(last) => code[L - 1] = last.get(index),
            Form::Runs { lanes, distances: None, .. } => {
                code = std::array::from_fn(|lane| self.lane(lanes, lane, index));
            }
            Form::Runs { lanes, runs, distances: Some((before, rows)) } => {
                let distance = rows.get(index);
                let (run, _) = run_at(before, *runs, distance);
                code = std::array::from_fn(|lane| self.lane(lanes, lane, run));
                let within = distance.wrapping_sub(before.get(run));
                code[L - 1] = code[L - 1].wrapping_add(within);
            }
        }
        code
    }

    fn lower_bound(&self, code: [u64; L]) -> usize {
        match &self.form {
            Form::OneRun(last) => match code[..L - 1].cmp(&self.first[..L - 1]) {
                std::cmp::Ordering::Less => 0,
                std::cmp::Ordering::Equal => last.lower_bound(code[L - 1]),
                std::cmp::Ordering::Greater => self.count,
            },
            Form::Runs { lanes, runs, distances: None } => self.equal(lanes, *runs, &code).start,
            Form::Runs { lanes, runs, distances: Some((before, rows)) } => {
                let equal = self.equal(lanes, *runs, &code[..L - 1]);
                let distance_of = |run: usize| (run < *runs).then(|| before.get(run));
                let (run, next) = (equal.start, equal.start + 1);
                let distance = if equal.is_empty() {
                    distance_of(run)
                } else {
                    let within = code[L - 1].saturating_sub(self.lane(lanes, L - 1, run));
                    let distance = before.get(run).checked_add(within);
                    // Behind the last row of the run, all codes are at the next one.
                    match (distance, distance_of(next)) {
                        (Some(distance), Some(next)) => Some(distance.min(next)),
                        (distance, next) => distance.or(next),
                    }
                };
                distance.map_or(self.count, |distance| rows.lower_bound(distance))
            }
        }
    }

    fn run_of(&self, code: [u64; L], mut near: impl FnMut(usize)) -> (usize, usize) {
        if let Form::Runs { lanes, runs, distances: None } = &self.form {
            let equal = self.equal(lanes, *runs, &code);
            near(equal.start);
            return (equal.start, equal.end);
        }
        let start = self.lower_bound(code);
        near(start);
        if start == self.count || self.get(start) != code {
            return (start, start);
        }
        let next = start + 1;
        // Mostly there is one row of a code.
        if next == self.count || self.get(next) != code {
            return (start, next);
        }
        (start, partition_point(next..self.count, |at| self.get(at) <= code))
    }

    fn decode(&self, start: usize, out: &mut [[u64; L]]) {
        out.fill(self.first);
        match &self.form {
            Form::OneRun(last) => {
                each_chunk(start, out, |at, some| column(last, at, some, L - 1));
            }
            Form::Runs { lanes, distances: None, .. } => each_chunk(start, out, |at, some| {
                for (index, lane) in lanes.iter().enumerate() {
                    lane.iter().for_each(|lane| column(lane, at, some, index));
                }
            }),
            Form::Runs { lanes, runs, distances: Some((before, rows)) } => {
                let mut run = None;
                each_chunk(start, out, |at, some| {
                    column(rows, at, some, L - 1);
                    for code in some {
                        let distance = code[L - 1];
                        let (mut at, mut next) =
                            run.unwrap_or_else(|| run_at(before, *runs, distance));
                        while next < *runs && before.get(next) <= distance {
                            (at, next) = (next, next + 1);
                        }
                        run = Some((at, next));
                        *code = std::array::from_fn(|lane| self.lane(lanes, lane, at));
                        let within = distance.wrapping_sub(before.get(at));
                        code[L - 1] = code[L - 1].wrapping_add(within);
                    }
                });
            }
        }
    }

    fn prefetch(&self, indexes: Range<usize>) {
        match &self.form {
            Form::OneRun(rows) | Form::Runs { distances: Some((_, rows)), .. } => {
                rows.prefetch(indexes);
            }
            Form::Runs { lanes, .. } => {
                lanes.iter().flatten().for_each(|lane| lane.prefetch(indexes.clone()));
            }
        }
    }
}

impl<const L: usize> Lanes<'_, L> {
    /// A lane of the first row of a run.
    #[inline]
    fn lane(&self, lanes: &[Option<Sequence<'_>>; L], lane: usize, run: usize) -> u64 {
        lanes[lane].as_ref().map_or(self.first[lane], |lane| lane.get(run))
    }

    /// The runs that begin with these lanes; none, where they would be, if there is no such run.
    fn equal(&self, lanes: &[Option<Sequence<'_>>; L], runs: usize, with: &[u64]) -> Range<usize> {
        let mut equal = 0..runs;
        for (index, &word) in with.iter().enumerate() {
            equal = match &lanes[index] {
                None if word < self.first[index] => equal.start..equal.start,
                None if word > self.first[index] => equal.end..equal.end,
                None => equal,
                Some(lane) if equal == (0..runs) => {
                    let (start, end) = lane.run_of(word, |_| ());
                    start.min(runs)..end.clamp(start, runs.max(start))
                }
                // Ascends, where the lanes before are the same.
                Some(lane) => {
                    let start = partition_point(equal.clone(), |run| lane.get(run) < word);
                    start..partition_point(start..equal.end, |run| lane.get(run) <= word)
                }
            };
            if equal.is_empty() {
                return equal;
            }
        }
        equal
    }
}

/// The run of the row at a distance, and the next one.
fn run_at(before: &Sequence<'_>, runs: usize, distance: u64) -> (usize, usize) {
    let next = distance.checked_add(1).map_or(runs, |next| before.lower_bound(next));
    (next.saturating_sub(1), next)
}

/// Calls `fill` for some rows after the other, each time with the index of the first of them.
fn each_chunk<const L: usize>(
    start: usize,
    out: &mut [[u64; L]],
    mut fill: impl FnMut(usize, &mut [[u64; L]]),
) {
    for (index, some) in out.chunks_mut(AT_ONCE).enumerate() {
        fill(start + index * AT_ONCE, some);
    }
}

/// Decodes a sequence into a lane of at most [`AT_ONCE`] codes.
fn column<const L: usize>(
    sequence: &Sequence<'_>,
    start: usize,
    out: &mut [[u64; L]],
    lane: usize,
) {
    let mut words = [0; AT_ONCE];
    let words = &mut words[..out.len()];
    sequence.decode(start, words);
    out.iter_mut().zip(words).for_each(|(code, word)| code[lane] = *word);
}

/// How codes of several lanes will be stored.
pub struct LanesPlan<const L: usize> {
    header: [u8; HEADER_LEN],
    sequences: Vec<(Vec<u64>, SequencePlan)>,
    is_constant_time: bool,
}

impl<const L: usize> LanesPlan<L> {
    fn new(form: u8, varying: u8, runs: usize, columns: Vec<Vec<u64>>) -> LanesPlan<L> {
        let planned = |column: Vec<u64>| {
            let plan = SequencePlan::of(&column);
            (column, plan)
        };
        let sequences: Vec<_> = columns.into_iter().map(planned).collect();
        let [low, high] = (runs as u16).to_le_bytes();
        let constant = form == ONE_RUN && sequences.iter().all(|(_, plan)| plan.is_constant_time());
        LanesPlan { header: [form, varying, low, high], sequences, is_constant_time: constant }
    }

    /// The lanes of some codes that vary.
    fn columns(codes: &[[u64; L]]) -> (u8, Vec<Vec<u64>>) {
        let mut varying = 0;
        let mut columns = Vec::new();
        for lane in 0..L {
            if codes.iter().any(|code| code[lane] != codes[0][lane]) {
                varying |= 1 << lane;
                columns.push(codes.iter().map(|code| code[lane]).collect());
            }
        }
        (varying, columns)
    }

    /// As runs, where the distances can be told from each other.
    fn as_runs(codes: &[[u64; L]]) -> Option<LanesPlan<L>> {
        let (mut firsts, mut before) = (Vec::new(), Vec::new());
        let mut rows = Vec::with_capacity(codes.len());
        let mut distance = 0u64;
        for run in codes.chunk_by(|left, right| left[..L - 1] == right[..L - 1]) {
            if !firsts.is_empty() {
                distance = rows.last().copied().unwrap_or(0u64).checked_add(1)?;
            }
            firsts.push(run[0]);
            before.push(distance);
            for code in run {
                rows.push(distance.checked_add(code[L - 1] - run[0][L - 1])?);
            }
        }
        let (varying, mut columns) = LanesPlan::columns(&firsts);
        columns.extend([before, rows]);
        Some(LanesPlan::new(RUNS, varying, firsts.len(), columns))
    }
}

impl<const L: usize> CodesPlan<[u64; L]> for LanesPlan<L> {
    fn of(codes: &[[u64; L]]) -> LanesPlan<L> {
        let same = |left: &[u64; L], right: &[u64; L]| left[..L - 1] == right[..L - 1];
        let (Some(first), Some(last)) = (codes.first(), codes.last()) else {
            return LanesPlan::new(ONE_RUN, 0, 0, Vec::new());
        };
        if same(first, last) {
            let rows = codes.iter().map(|code| code[L - 1]).collect();
            return LanesPlan::new(ONE_RUN, 0, 1, vec![rows]);
        }
        let runs = codes.chunk_by(same).count();
        let as_runs = if runs < codes.len() { LanesPlan::as_runs(codes) } else { None };
        let each = || {
            let (varying, columns) = LanesPlan::columns(codes);
            LanesPlan::new(EACH, varying, codes.len(), columns)
        };
        match as_runs {
            None => each(),
            // Where runs are long, they are smaller.
            Some(plan) if runs * LONG_RUN <= codes.len() => plan,
            Some(plan) => {
                [plan, each()].into_iter().min_by_key(LanesPlan::byte_len).unwrap_or_else(each)
            }
        }
    }

    fn byte_len(&self) -> usize {
        HEADER_LEN + self.sequences.iter().map(|(_, plan)| plan.byte_len()).sum::<usize>()
    }

    fn is_constant_time(&self) -> bool {
        self.is_constant_time
    }

    fn write(&self, _: &[[u64; L]], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.header);
        self.sequences.iter().for_each(|(values, plan)| plan.write(values, out));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Codes that ascend: of few runs, of many, of runs that are far apart in their last lanes.
    fn codes() -> impl Strategy<Value = Vec<[u64; 3]>> {
        let near = (0u64..3, 0u64..4, 0u64..300);
        let far = (0u64..2, any::<u64>(), any::<u64>());
        let one = (5u64..6, 7u64..8, any::<u64>());
        let wide = (0u64..3, 0u64..9, any::<u64>());
        let one_of = |strategy: BoxedStrategy<(u64, u64, u64)>| {
            prop::collection::vec(strategy, 1..300).prop_map(|codes| {
                let mut codes: Vec<[u64; 3]> =
                    codes.into_iter().map(|(a, b, c)| [a, b, c]).collect();
                codes.sort_unstable();
                codes
            })
        };
        prop_oneof![
            one_of(near.boxed()),
            one_of(far.boxed()),
            one_of(one.boxed()),
            one_of(wide.boxed()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn lanes_come_back_and_are_found(
            codes in codes(), others in codes(), start in 0usize..300, len in 0usize..300,
        ) {
            let plan = LanesPlan::of(&codes);
            let mut bytes = vec![];
            plan.write(&codes, &mut bytes);
            prop_assert_eq!(bytes.len(), plan.byte_len());
            bytes.extend([0xA5; 100]);
            let (lanes, len_read) = Lanes::parse(&bytes, codes.len(), codes[0]).unwrap();
            prop_assert_eq!(len_read, plan.byte_len());
            let start = start.min(codes.len());
            let end = (start + len).min(codes.len());
            let mut out = vec![[0; 3]; end - start];
            lanes.decode(start, &mut out);
            prop_assert_eq!(&out[..], &codes[start..end]);
            let near = |code: &[u64; 3]| {
                let [first, second, third] = *code;
                let above = code.map(|lane| lane.saturating_add(1));
                [*code, above, [first, second, third.wrapping_sub(1)]]
            };
            for code in codes.iter().flat_map(near).chain(others) {
                let lower = codes.partition_point(|other| *other < code);
                let upper = codes.partition_point(|other| *other <= code);
                prop_assert_eq!(lanes.lower_bound(code), lower);
                prop_assert_eq!(lanes.run_of(code, |_| ()), (lower, upper));
            }
            for (index, code) in codes.iter().enumerate() {
                prop_assert_eq!(lanes.get(index), *code);
            }
        }

        #[test]
        fn bytes_that_nobody_wrote_do_no_harm(
            codes in codes(), at in any::<usize>(), byte in any::<u8>(), others in codes(),
        ) {
            let mut bytes = vec![];
            LanesPlan::of(&codes).write(&codes, &mut bytes);
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok((lanes, _)) = Lanes::parse(&bytes, codes.len(), codes[0]) {
                let mut out = vec![[0; 3]; codes.len()];
                lanes.decode(0, &mut out);
                for code in others {
                    prop_assert!(lanes.lower_bound(code) <= codes.len());
                    let (start, end) = lanes.run_of(code, |_| ());
                    prop_assert!(start <= end && end <= codes.len());
                }
            }
        }
    }
}
