//! The codes of a block where a code is several words, its *lanes*, compared one after the other.
//!
//! Codes that agree in all lanes before one, the *run lane*, are a *run*: the rows of one device,
//! in the order of time. A block has one of these forms:
//!
//! - each row for itself: for each lane that varies, what the rows have there;
//! - runs: for each lane up to the run lane that varies from run to run, what the first row of each
//!   run has there; a sequence of the *bases* of the runs; a sequence of the *distances* of all
//!   rows; and for each lane behind the run lane that varies, what the rows have there.
//!
//! What rows have in a lane is a sequence, or has a form for words in no order (`lane`).
//!
//! The distance of a row is how far it is, in the run lane, from the first row of its run, plus the
//! base of the run, which is one more than the distance of the row before the run (0 for the first
//! run). So distances ascend over the whole block, without a jump from one run to the next.

use std::ops::Range;

use super::lane::{Lane, LanePlan};
use super::{Codes, CodesPlan, Sequence, Words, even_by};
use crate::corruption::{Corruption, Result, ensure};
use crate::partition::partition_point;

/// The run lane, which lanes vary, number of runs (0: each row for itself).
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
    /// Those that vary: of each row, or of the first row of each run as far as the run lane.
    lanes: [Option<Lane<'a>>; L],
    runs: Option<Runs<'a>>,
}

/// What rows have in the run lane.
struct Runs<'a> {
    lane: usize,
    count: usize,
    /// The base of each run.
    bases: Sequence<'a>,
    /// The distance of each row.
    rows: Sequence<'a>,
}

impl Runs<'_> {
    /// The run of the row at a distance, and the next one.
    fn at(&self, distance: u64) -> (usize, usize) {
        let next = distance.checked_add(1).map_or(self.count, |next| self.bases.lower_bound(next));
        (next.saturating_sub(1), next)
    }
}

impl<'a, const L: usize> Codes<'a, [u64; L]> for Lanes<'a, L> {
    fn parse(bytes: &'a [u8], count: usize, first: [u64; L]) -> Result<(Lanes<'a, L>, usize)> {
        let header: [u8; HEADER_LEN] =
            *bytes.first_chunk().ok_or(Corruption::not("lanes within the page"))?;
        let [lane, varying, low, high] = header;
        let (lane, runs) = (usize::from(lane), usize::from(u16::from_le_bytes([low, high])));
        let mut at = HEADER_LEN;
        let mut lanes = [None; L];
        let is_varying = |index: usize| varying >> index & 1 == 1;
        let (mut of_rows, mut as_runs) = (0, None);
        if runs > 0 {
            ensure(lane < L, "the run lane among the lanes", lane as u64)?;
            ensure(runs <= count, "as many runs as rows, or fewer", runs as u64)?;
            of_rows = lane + 1;
            for index in (0..of_rows).filter(|index| is_varying(*index)) {
                lanes[index] = Some(next(bytes, &mut at, runs, Lane::parse)?);
            }
            let bases = next(bytes, &mut at, runs, Sequence::parse)?;
            let rows = next(bytes, &mut at, count, Sequence::parse)?;
            as_runs = Some(Runs { lane, count: runs, bases, rows });
        }
        for index in (of_rows..L).filter(|index| is_varying(*index)) {
            lanes[index] = Some(next(bytes, &mut at, count, Lane::parse)?);
        }
        Ok((Lanes { count, first, lanes, runs: as_runs }, at))
    }

    fn packed_at(_: &[u8]) -> Result<usize> {
        Err(Corruption::not("one sequence"))
    }

    fn get(&self, index: usize) -> [u64; L] {
        let Some(runs) = &self.runs else {
            return std::array::from_fn(|lane| self.lane(lane, index));
        };
        let distance = runs.rows.get(index);
        let (run, _) = runs.at(distance);
        let place = |lane| if lane <= runs.lane { run } else { index };
        let mut code = std::array::from_fn(|lane| self.lane(lane, place(lane)));
        let within = distance.wrapping_sub(runs.bases.get(run));
        code[runs.lane] = code[runs.lane].wrapping_add(within);
        code
    }

    fn lower_bound(&self, code: [u64; L]) -> usize {
        let Some(runs) = &self.runs else {
            let equal = self.equal(self.count, &code[..L - 1], |_| ());
            return match &self.lanes[L - 1] {
                _ if equal.is_empty() => equal.start,
                Some(lane) if equal == (0..self.count) => lane.lower_bound(code[L - 1], self.count),
                Some(lane) => partition_point(equal, |row| lane.get(row) < code[L - 1]),
                None if code[L - 1] <= self.first[L - 1] => equal.start,
                None => equal.end,
            };
        };
        // The first row that is not before the code as far as the run lane.
        let lane = runs.lane;
        let equal = self.equal(runs.count, &code[..lane], |_| ());
        let base_of = |run: usize| (run < runs.count).then(|| runs.bases.get(run));
        let (run, next) = (equal.start, equal.start + 1);
        let distance = if equal.is_empty() {
            base_of(run)
        } else {
            let within = code[lane].saturating_sub(self.lane(lane, run));
            let distance = runs.bases.get(run).checked_add(within);
            // Behind the last row of the run, all codes are at the next one.
            match (distance, base_of(next)) {
                (Some(distance), Some(next)) => Some(distance.min(next)),
                (distance, next) => distance.or(next),
            }
        };
        let row = distance.map_or(self.count, |distance| runs.rows.lower_bound(distance));
        // Mostly it is the only one, or the code asks for nothing behind the run lane.
        if lane + 1 == L || row >= self.count || self.get(row) >= code {
            return row;
        }
        partition_point(row + 1..self.count, |row| self.get(row) < code)
    }

    fn run_of(&self, code: [u64; L], mut near: impl FnMut(usize)) -> (usize, usize) {
        if self.runs.is_none() {
            let equal = self.equal(self.count, &code, near);
            return (equal.start, equal.end);
        }
        let start = self.lower_bound(code);
        near(start);
        if start >= self.count || self.get(start) != code {
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
        let mut runs = self.runs.as_ref().map(|runs| WalkedRuns::new(self, runs, start));
        for (index, some) in out.chunks_mut(AT_ONCE).enumerate() {
            let start = start + index * AT_ONCE;
            let of_rows = runs.as_ref().map_or(0, |walked| walked.runs.lane + 1);
            if let Some(walked) = &mut runs {
                walked.decode(start, some);
            }
            for (at, lane) in self.lanes.iter().enumerate().skip(of_rows) {
                lane.iter().for_each(|lane| column(lane, start, some, at));
            }
        }
    }

    fn words<'o>(&self, word: usize, start: usize, out: &'o mut [u64]) -> Words<'o> {
        let of_runs = self.runs.as_ref().is_some_and(|runs| word <= runs.lane);
        match self.lanes.get(word) {
            _ if of_runs => {
                let mut codes = [self.first; AT_ONCE];
                for (index, some) in out.chunks_mut(AT_ONCE).enumerate() {
                    let codes = &mut codes[..some.len()];
                    self.decode(start + index * AT_ONCE, codes);
                    some.iter_mut().zip(codes).for_each(|(out, code)| *out = code[word]);
                }
                Words::Each(out)
            }
            Some(Some(lane)) => {
                lane.decode(start, out);
                Words::Each(out)
            }
            _ => Words::Same(self.first.get(word).copied().unwrap_or(0)),
        }
    }

    fn form(&self) -> &'static str {
        if self.runs.is_some() { "lane_runs" } else { "lanes" }
    }

    fn prefetch(&self, indexes: Range<usize>) {
        let mut of_rows = 0;
        if let Some(runs) = &self.runs {
            runs.rows.prefetch(indexes.clone());
            of_rows = runs.lane + 1;
        }
        self.lanes[of_rows..].iter().flatten().for_each(|lane| lane.prefetch(indexes.clone()));
    }
}

/// Reads what begins at a place, of `count` values, and goes on behind it.
fn next<'a, T>(
    bytes: &'a [u8],
    at: &mut usize,
    count: usize,
    parse: impl Fn(&'a [u8], usize) -> Result<(T, usize)>,
) -> Result<T> {
    let (parsed, len) = parse(bytes.get(*at..).unwrap_or(&[]), count)?;
    *at += len;
    Ok(parsed)
}

impl<const L: usize> Lanes<'_, L> {
    /// What a row, or the first row of a run, has in a lane.
    #[inline]
    fn lane(&self, lane: usize, index: usize) -> u64 {
        self.lanes[lane].as_ref().map_or(self.first[lane], |lane| lane.get(index))
    }

    /// The first row of a run.
    fn first_of(&self, runs: &Runs<'_>, run: usize) -> [u64; L] {
        let mut first = self.first;
        for (lane, word) in first[..=runs.lane].iter_mut().enumerate() {
            *word = self.lane(lane, run);
        }
        first
    }

    /// Which of the first `count` rows, or runs, begin with these lanes; none, where they would be,
    /// if none does. `near` is told an index near them.
    fn equal(&self, count: usize, with: &[u64], mut near: impl FnMut(usize)) -> Range<usize> {
        let mut equal = 0..count;
        for (index, &word) in with.iter().enumerate() {
            equal = match &self.lanes[index] {
                None if word < self.first[index] => equal.start..equal.start,
                None if word > self.first[index] => equal.end..equal.end,
                None => equal,
                Some(lane) if equal == (0..count) => {
                    let (start, end) = lane.run_of(word, count, &mut near);
                    start.min(count)..end.clamp(start, count.max(start))
                }
                // Ascends, where the lanes before are the same.
                Some(lane) => {
                    let start = partition_point(equal.clone(), |row| lane.get(row) < word);
                    start..partition_point(start..equal.end, |row| lane.get(row) <= word)
                }
            };
            if equal.is_empty() {
                return equal;
            }
        }
        equal
    }
}

/// Runs that are decoded one after the other.
struct WalkedRuns<'l, 'a, const L: usize> {
    lanes: &'l Lanes<'a, L>,
    runs: &'l Runs<'a>,
    /// The first row of the run that was decoded last, and its base.
    first: [u64; L],
    base: u64,
    /// The next run, and its base if there is one.
    next: usize,
    next_base: Option<u64>,
}

impl<'l, 'a, const L: usize> WalkedRuns<'l, 'a, L> {
    fn new(lanes: &'l Lanes<'a, L>, runs: &'l Runs<'a>, start: usize) -> WalkedRuns<'l, 'a, L> {
        let distance = if start < lanes.count { runs.rows.get(start) } else { 0 };
        let (run, _) = runs.at(distance);
        let (first, next) = (lanes.first, run);
        let mut walked = WalkedRuns { lanes, runs, first, base: 0, next, next_base: Some(0) };
        walked.go_on();
        walked
    }

    /// Goes to the next run.
    fn go_on(&mut self) {
        let base_of = |run: usize| (run < self.runs.count).then(|| self.runs.bases.get(run));
        self.first = self.lanes.first_of(self.runs, self.next);
        self.base = base_of(self.next).unwrap_or(0);
        self.next += 1;
        self.next_base = base_of(self.next);
    }

    /// Decodes a few rows up to the run lane.
    fn decode(&mut self, start: usize, out: &mut [[u64; L]]) {
        let mut words = [0; AT_ONCE];
        let words = &mut words[..out.len()];
        self.runs.rows.decode(start, words);
        let lane = self.runs.lane;
        for (code, distance) in out.iter_mut().zip(words) {
            while self.next_base.is_some_and(|base| base <= *distance) {
                self.go_on();
            }
            *code = self.first;
            code[lane] = code[lane].wrapping_add(distance.wrapping_sub(self.base));
        }
    }
}

/// Decodes a lane of at most [`AT_ONCE`] codes, the `at`-th.
fn column<const L: usize>(lane: &Lane<'_>, start: usize, out: &mut [[u64; L]], at: usize) {
    let mut words = [0; AT_ONCE];
    let words = &mut words[..out.len()];
    lane.decode(start, words);
    out.iter_mut().zip(words).for_each(|(code, word)| code[at] = *word);
}

/// How codes of several lanes will be stored.
pub struct LanesPlan<const L: usize> {
    header: [u8; HEADER_LEN],
    /// The lanes, and bases and rows of runs among them, in the order in which they are stored.
    lanes: Vec<LanePlan>,
    is_constant_time: bool,
}

/// The lanes that vary, and their values, in the order in which they are stored.
#[derive(Default)]
struct Columns {
    varying: u8,
    values: Vec<Vec<u64>>,
}

impl Columns {
    /// Adds those of some lanes of some codes that vary.
    fn add<const L: usize>(&mut self, codes: &[[u64; L]], lanes: Range<usize>) {
        for lane in lanes {
            if codes.iter().any(|code| code[lane] != codes[0][lane]) {
                self.varying |= 1 << lane;
                self.values.push(codes.iter().map(|code| code[lane]).collect());
            }
        }
    }
}

/// In which lane one code differs from another first; `L` if in none.
fn differs_at<const L: usize>(left: &[u64; L], right: &[u64; L]) -> usize {
    (0..L).find(|&lane| left[lane] != right[lane]).unwrap_or(L)
}

impl<const L: usize> LanesPlan<L> {
    fn new(lane: usize, runs: usize, columns: Columns) -> LanesPlan<L> {
        // Bases and rows ascend, so they are sequences.
        let lanes: Vec<_> = columns.values.into_iter().map(LanePlan::of).collect();
        let [low, high] = (runs as u16).to_le_bytes();
        let constant = runs == 0 && lanes.iter().all(LanePlan::is_constant_time);
        let header = [lane as u8, columns.varying, low, high];
        LanesPlan { header, lanes, is_constant_time: constant }
    }

    fn of_each(codes: &[[u64; L]]) -> LanesPlan<L> {
        let mut columns = Columns::default();
        columns.add(codes, 0..L);
        LanesPlan::new(0, 0, columns)
    }

    /// As runs, where the distances can be told from each other.
    fn as_runs(codes: &[[u64; L]], lane: usize) -> Option<LanesPlan<L>> {
        let (mut firsts, mut bases) = (Vec::new(), Vec::new());
        let mut rows = Vec::with_capacity(codes.len());
        for run in codes.chunk_by(|left, right| left[..lane] == right[..lane]) {
            let base = rows.last().map_or(Some(0u64), |last: &u64| last.checked_add(1))?;
            firsts.push(run[0]);
            bases.push(base);
            for code in run {
                rows.push(base.checked_add(code[lane] - run[0][lane])?);
            }
        }
        let mut columns = Columns::default();
        columns.add(&firsts, 0..lane + 1);
        columns.values.extend([bases, rows]);
        columns.add(codes, lane + 1..L);
        Some(LanesPlan::new(lane, firsts.len(), columns))
    }
}

impl<const L: usize> CodesPlan<[u64; L]> for LanesPlan<L> {
    fn of(codes: &[[u64; L]]) -> LanesPlan<L> {
        // How often a lane is the first to change from one code to the next.
        let mut changes = [0; L];
        for pair in codes.windows(2) {
            if let Some(changes) = changes.get_mut(differs_at(&pair[0], &pair[1])) {
                *changes += 1;
            }
        }
        let runs_of = |lane: usize| 1 + changes[..lane].iter().sum::<usize>();
        let last_lane =
            |enough: &dyn Fn(usize) -> bool| (1..L).rfind(|lane| enough(runs_of(*lane)));
        let long = last_lane(&|runs| runs * LONG_RUN <= codes.len());
        if let Some(lane) = long.filter(|lane| runs_of(*lane) > 1) {
            // They are smaller.
            return LanesPlan::as_runs(codes, lane).unwrap_or_else(|| LanesPlan::of_each(codes));
        }
        // Shorter ones may be smaller, unless there is hardly any.
        let short = last_lane(&|runs| runs > 1 && runs * 8 <= codes.len() * 7);
        let as_runs = short.and_then(|lane| LanesPlan::as_runs(codes, lane));
        let each = LanesPlan::of_each(codes);
        match as_runs {
            Some(runs) if runs.byte_len() < each.byte_len() => runs,
            _ => each,
        }
    }

    fn byte_len(&self) -> usize {
        HEADER_LEN + self.lanes.iter().map(LanePlan::byte_len).sum::<usize>()
    }

    fn is_constant_time(&self) -> bool {
        self.is_constant_time
    }

    fn write(&self, _: &[[u64; L]], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.header);
        self.lanes.iter().for_each(|lane| lane.write(out));
    }

    fn run_len(codes: &[[u64; L]], smallest: usize) -> Option<usize> {
        let (first, other) = (codes.first()?, codes.get(smallest.checked_sub(1)?)?);
        let lane = differs_at(first, other).min(L - 1);
        (lane > 0).then(|| codes.partition_point(|code| code[..lane] == first[..lane]))
    }

    fn even_prefix(codes: &[[u64; L]]) -> usize {
        let lane = codes.windows(2).next().map_or(0, |pair| differs_at(&pair[0], &pair[1]));
        even_by(codes, |left, right| {
            let same = lane < L && left[..lane] == right[..lane];
            same.then(|| right[lane] - left[lane])
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Codes that ascend: of few runs, of many, of runs that are far apart in their last lanes, of
    /// runs in the second lane with anything behind it.
    fn codes() -> impl Strategy<Value = Vec<[u64; 3]>> {
        let near = (0u64..3, 0u64..4, 0u64..300);
        let far = (0u64..2, any::<u64>(), any::<u64>());
        let one = (5u64..6, 7u64..8, any::<u64>());
        let wide = (0u64..3, 0u64..9, any::<u64>());
        let beside = (0u64..30, (0u64..90).prop_map(|a| 7 * a), any::<u64>());
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
            one_of(beside.boxed()),
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
            for lane in 0..3 {
                let mut words = vec![0; end - start];
                let words: Vec<u64> = match lanes.words(lane, start, &mut words) {
                    Words::Each(words) => words.to_vec(),
                    Words::Same(word) => vec![word; end - start],
                };
                prop_assert!(words.iter().eq(codes[start..end].iter().map(|code| &code[lane])));
            }
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
