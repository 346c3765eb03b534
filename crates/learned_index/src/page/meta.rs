//! The metapage, block 0: what the index is, and which pages are current.
//!
//! The identity is written once per build and sealed; it lists the columns. The state
//! changes in place, with a checksum of its own; its first word is what scans compare to learn that
//! something was published. The watermark in it is a code, so what follows it, the identity too, is
//! at an offset that depends on the width of codes.

use std::ops::Range;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::delta::Tree;
use super::edit::{Edit, difference};
use super::history::{History, StoredHistory};
use super::{
    CONTENT_START, FORMAT_VERSION, PageBytes, PageKind, check_kind, fence_len, new_page, read,
    read_fence, seal, set_lower, verify_seal, write, write_fence,
};
use crate::corruption::{Corruption, Result, ensure};
use crate::entry::{Block, Fence};
use crate::key::float::FloatWord;
use crate::key::{Code, Key, NullClass, Word};

const MAGIC: u32 = 0x4C52_4E44;

/// No fence has changed since the model was trained.
pub const NOTHING_STALE: (Word, Word) = (Word::MAX, 0);

/// The most columns of a key: each takes a word of its code, or more.
pub const MOST_COLUMNS: usize = 8;

/// The numbers of types of keys whose equal values have different codes ([`crate::key::float`]).
/// Only the last column of a key has one of them: others order what is equal in those before.
pub const FLOAT4_BITS: u8 = 41;
/// See [`FLOAT4_BITS`].
pub const FLOAT8_BITS: u8 = 42;

/// A column of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyColumn {
    /// The type, by the number that the caller gave; never 0. [`FLOAT4_BITS`] and [`FLOAT8_BITS`]
    /// mean something here too.
    pub key_type: u8,
    /// Whether the codes are those of the values with all bits inverted.
    pub descending: bool,
    /// Whether NULLs stand before all values.
    pub nulls_first: bool,
}

impl KeyColumn {
    /// A column in the order of its values, NULLs last.
    pub const fn ascending(key_type: u8) -> KeyColumn {
        KeyColumn { key_type, descending: false, nulls_first: false }
    }
}

/// What stands behind the last column.
pub const NO_COLUMN: KeyColumn = KeyColumn { key_type: 0, descending: false, nulls_first: false };

/// A column that is stored beside the key, for scans that return it: `INCLUDE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncludedColumn {
    /// Bytes of its values; 0 if they have different lengths.
    pub length: u8,
    /// Bytes to which its values are aligned in a tuple: 1, 2, 4 or 8.
    pub alignment: u8,
    /// Whether its values are passed by value.
    pub by_value: bool,
    /// Words of a code that it takes; never 0.
    pub words: u8,
    /// Whether its values are of `numeric`, many of which are stored as numbers.
    pub decimal: bool,
}

/// What stands behind the last included column.
pub const NOT_INCLUDED: IncludedColumn =
    IncludedColumn { length: 0, alignment: 0, by_value: false, words: 0, decimal: false };

/// What the index is, from its build to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Random; another at every build, so that nothing remembered of an older index is used.
    pub incarnation: u64,
    /// The columns of the key; behind the last, [`NO_COLUMN`].
    pub columns: [KeyColumn; MOST_COLUMNS],
    /// The columns beside it; behind the last, [`NOT_INCLUDED`].
    pub included: [IncludedColumn; MOST_COLUMNS],
    /// How many of a code's words, the last ones, are of these: the others are the key.
    pub included_words: u8,
}

impl Identity {
    /// Of an index on one column.
    pub const fn of_column(incarnation: u64, column: KeyColumn) -> Identity {
        let mut columns = [NO_COLUMN; MOST_COLUMNS];
        columns[0] = column;
        Identity { incarnation, columns, included: [NOT_INCLUDED; MOST_COLUMNS], included_words: 0 }
    }

    /// Which keys are equal.
    pub fn equality<C: Code>(&self) -> Equality {
        let columns = self.columns.iter().take_while(|column| **column != NO_COLUMN);
        let included = usize::from(self.included_words);
        let (count, last) = (columns.clone().count(), columns.last().copied().unwrap_or(NO_COLUMN));
        let float = matches!(last.key_type, FLOAT4_BITS | FLOAT8_BITS).then(|| {
            // Words that no column takes stand behind the first one.
            let at = if count == 1 { 0 } else { C::WORDS.saturating_sub(included + 1) };
            let moved = count > 1 || included > 0;
            (at, FloatWord { moved, descending: last.descending })
        });
        Equality { included, float }
    }

    /// The epoch that the index begins in, and its first state word. Not those of other indexes, so
    /// that no page of theirs passes for one of this. So small that counting on never overflows.
    pub(crate) fn beginning(&self) -> u64 {
        (self.incarnation >> 16) + 1
    }

    /// Whether NULLs stand before all values, where they have a class of their own: in an index of
    /// one column.
    pub fn nulls_first(&self) -> bool {
        let single = self.columns[1] == NO_COLUMN && self.included_words == 0;
        single && self.columns[0].nulls_first
    }

    /// The class of its NULLs.
    pub(crate) fn null_class(&self) -> NullClass {
        if self.nulls_first() { NullClass::NullsFirst } else { NullClass::NullsLast }
    }

    /// The ordinals of the leaves with values, under a state.
    pub(crate) fn value_leaves<C>(&self, state: &State<C>) -> Range<usize> {
        let (leaves, nulls) = (state.leaves as usize, state.null_leaves as usize);
        if self.nulls_first() { nulls.min(leaves)..leaves } else { 0..leaves.saturating_sub(nulls) }
    }
}

/// Which keys are equal: their codes may be different in what is stored beside the key, and in the
/// bits of equal floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Equality {
    /// Words of a code, the last ones, that are beside the key.
    included: usize,
    /// The word of a last column with such floats.
    float: Option<(usize, FloatWord)>,
}

impl Equality {
    /// The first and the last of the keys that are equal to one.
    #[inline]
    pub fn range_of<C: Code>(&self, key: Key<C>) -> (Key<C>, Key<C>) {
        if key.class != NullClass::Value {
            return (key, key);
        }
        let (mut first, mut last) = (key.code, key.code);
        if let Some((at, word)) = self.float {
            let (least, greatest) = word.equal(key.code.word_at(at));
            (first, last) = (first.with_word(at, least), last.with_word(at, greatest));
        }
        let with = |code: C, word| Key { code: code.with_last(self.included, word), ..key };
        (with(first, Word::MIN), with(last, Word::MAX))
    }
}

/// Which pages are current.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State<C = Word> {
    /// Changes with every transition (a delta tree opened, frozen or dropped, pages published), by
    /// one, and never repeats.
    pub word: u64,
    /// Counts publishes, from a number of the index on; no current page was born later.
    pub epoch: u64,
    /// The top page of the directory.
    pub directory_root: Block,
    /// Number of leaves.
    pub leaves: u32,
    /// How many of them hold NULLs: the first or the last ones.
    pub null_leaves: u32,
    /// The first page of the model.
    pub model_root: Block,
    /// Length of the model in bytes.
    pub model_len: u32,
    /// The model's kind, as [`crate::model::ModelKind`] numbers it.
    pub model_kind: u8,
    /// The epoch in which the model was written.
    pub model_birth: u64,
    /// The number of leaves that the model was trained on.
    pub model_leaves: u32,
    /// The fences that changed since the model was trained have codes from the first to the second
    /// of these ([`Code::word`]); none if they descend.
    pub stale: (Word, Word),
    /// The delta tree that takes inserts. None: there were no inserts since the last freeze.
    pub active: Option<Tree>,
    /// The delta tree that is being merged.
    pub frozen: Option<Tree>,
    /// Below it the frozen tree has been merged already.
    pub watermark: Fence<C>,
    /// Entries with a value in the leaves, tombstones included.
    pub values: u64,
    /// Entries without a value in the leaves, tombstones included.
    pub nulls: u64,
    /// What was done last, for those who look after the index.
    pub history: History,
}

impl<C> State<C> {
    /// Whether some entries may be in a delta tree.
    pub(crate) fn has_delta(&self) -> bool {
        self.active.is_some() || self.frozen.is_some()
    }
}

/// A state as stored: this, the watermark, and [`StoredRest`].
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct StoredState {
    word: u64,
    /// `!word`: a reader without a lock sees that it read half of a change.
    word_complement: u64,
    epoch: u64,
    directory_root: u32,
    leaves: u32,
    null_leaves: u32,
    model_root: u32,
    model_len: u32,
    active_root: u32,
    frozen_root: u32,
    model_kind: u8,
    padding: [u8; 3],
    active_name: u64,
    frozen_name: u64,
    model_birth: u64,
    stale_from: u64,
    stale_to: u64,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct StoredRest {
    values: u64,
    nulls: u64,
    history: StoredHistory,
    model_leaves: u32,
    /// CRC-32 of the state as stored, with 0 here.
    checksum: u32,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct StoredIdentity {
    magic: u32,
    version: u32,
    incarnation: u64,
    /// Bits of a key code.
    code_bits: u16,
    /// Words at the end of a code that are not of the key.
    included_words: u16,
    padding: u32,
    columns: [StoredColumn; MOST_COLUMNS],
    included: [StoredIncluded; MOST_COLUMNS],
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct StoredColumn {
    key_type: u8,
    /// [`DESCENDING`], [`NULLS_FIRST`].
    flags: u8,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct StoredIncluded {
    length: u8,
    /// The alignment, [`BY_VALUE`] and [`DECIMAL`].
    layout: u8,
    words: u8,
    padding: u8,
}

const BY_VALUE: u8 = 0x80;
const DECIMAL: u8 = 0x40;

impl From<IncludedColumn> for StoredIncluded {
    fn from(column: IncludedColumn) -> StoredIncluded {
        let IncludedColumn { length, alignment, by_value, words, decimal } = column;
        let flag = |is: bool, flag| if is { flag } else { 0 };
        let layout = alignment | flag(by_value, BY_VALUE) | flag(decimal, DECIMAL);
        StoredIncluded { length, layout, words, padding: 0 }
    }
}

impl From<StoredIncluded> for IncludedColumn {
    fn from(stored: StoredIncluded) -> IncludedColumn {
        let StoredIncluded { length, layout, words, padding: _ } = stored;
        let alignment = layout & !(BY_VALUE | DECIMAL);
        let (by_value, decimal) = (layout & BY_VALUE != 0, layout & DECIMAL != 0);
        IncludedColumn { length, alignment, by_value, words, decimal }
    }
}

const DESCENDING: u8 = 1;
const NULLS_FIRST: u8 = 2;

impl From<KeyColumn> for StoredColumn {
    fn from(column: KeyColumn) -> StoredColumn {
        let KeyColumn { key_type, descending, nulls_first } = column;
        let flag = |is: bool, flag| if is { flag } else { 0 };
        let flags = flag(descending, DESCENDING) | flag(nulls_first, NULLS_FIRST);
        StoredColumn { key_type, flags }
    }
}

impl From<StoredColumn> for KeyColumn {
    fn from(stored: StoredColumn) -> KeyColumn {
        let StoredColumn { key_type, flags } = stored;
        let (descending, nulls_first) = (flags & DESCENDING != 0, flags & NULLS_FIRST != 0);
        KeyColumn { key_type, descending, nulls_first }
    }
}

const STATE_AT: usize = CONTENT_START;
const WATERMARK_AT: usize = STATE_AT + size_of::<StoredState>();
const CHECKSUM_LEN: usize = size_of::<u32>();

const fn rest_at<C>() -> usize {
    WATERMARK_AT + fence_len::<C>()
}

const fn identity_at<C>() -> usize {
    rest_at::<C>() + size_of::<StoredRest>()
}

const _: () = assert!(size_of::<StoredState>() == 96 && size_of::<StoredRest>() == 88);
const _: () = assert!(identity_at::<u64>() == 224 && size_of::<StoredIdentity>() == 72);
const _: () = assert!(STATE_AT.is_multiple_of(8), "the state word is loaded as an aligned u64");

/// A metapage.
pub fn encode<C: Code>(identity: &Identity, state: &State<C>) -> PageBytes {
    let mut page = new_page(PageKind::Meta, state.epoch);
    let stored = StoredIdentity {
        magic: MAGIC,
        version: FORMAT_VERSION.into(),
        incarnation: identity.incarnation,
        code_bits: code_bits::<C>(),
        included_words: identity.included_words.into(),
        padding: 0,
        columns: identity.columns.map(StoredColumn::from),
        included: identity.included.map(StoredIncluded::from),
    };
    let end = identity_at::<C>() + size_of::<StoredIdentity>();
    write(&mut page, identity_at::<C>(), &stored);
    write_state(&mut page, state);
    set_lower(&mut page, end);
    seal(&mut page, identity_at::<C>()..end);
    page
}

const fn code_bits<C>() -> u16 {
    8 * size_of::<C>() as u16
}

fn write_state<C: Code>(page: &mut PageBytes, state: &State<C>) {
    let stored = StoredState {
        word: state.word,
        word_complement: !state.word,
        epoch: state.epoch,
        directory_root: state.directory_root,
        leaves: state.leaves,
        null_leaves: state.null_leaves,
        model_root: state.model_root,
        model_len: state.model_len,
        active_root: state.active.map_or(0, |tree| tree.root),
        frozen_root: state.frozen.map_or(0, |tree| tree.root),
        model_kind: state.model_kind,
        padding: [0; 3],
        active_name: state.active.map_or(0, |tree| tree.name),
        frozen_name: state.frozen.map_or(0, |tree| tree.name),
        model_birth: state.model_birth,
        stale_from: state.stale.0,
        stale_to: state.stale.1,
    };
    let State { values, nulls, model_leaves, history, .. } = *state;
    let history = history.into();
    write(page, STATE_AT, &stored);
    write_fence(page, WATERMARK_AT, state.watermark);
    let rest = StoredRest { values, nulls, history, model_leaves, checksum: 0 };
    write(page, rest_at::<C>(), &rest);
    let checksum = checksum_of_state::<C>(page);
    write(page, identity_at::<C>() - CHECKSUM_LEN, &checksum);
}

fn checksum_of_state<C>(page: &PageBytes) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&page[STATE_AT..identity_at::<C>() - CHECKSUM_LEN]);
    hasher.update(&[0; CHECKSUM_LEN]);
    hasher.finalize()
}

/// Reads a metapage.
pub fn decode<C: Code>(page: &PageBytes) -> Result<(Identity, State<C>)> {
    check_kind(page, PageKind::Meta, "a metapage")?;
    let stored: StoredIdentity = read(page, identity_at::<C>());
    ensure(
        stored.magic == MAGIC,
        "the magic number of a learned index's metapage",
        stored.magic.into(),
    )?;
    let version = stored.version;
    ensure(
        version == u32::from(FORMAT_VERSION),
        "the format number that was written",
        version.into(),
    )?;
    verify_seal(page)?;
    let bits = stored.code_bits;
    ensure(bits == code_bits::<C>(), "key codes of this index's width", bits.into())?;
    let words = stored.included_words;
    ensure(usize::from(words) < C::WORDS, "fewer included words than a code has", words.into())?;
    let identity = Identity {
        incarnation: stored.incarnation,
        columns: stored.columns.map(KeyColumn::from),
        included: stored.included.map(IncludedColumn::from),
        included_words: words as u8,
    };
    Ok((identity, decode_state(page)?))
}

fn decode_state<C: Code>(page: &PageBytes) -> Result<State<C>> {
    let stored: StoredState = read(page, STATE_AT);
    let StoredRest { values, nulls, history, model_leaves, checksum } = read(page, rest_at::<C>());
    if checksum_of_state::<C>(page) != checksum {
        return Err(Corruption::new("the checksum of the metapage's state", checksum.into()));
    }
    ensure(stored.word == !stored.word_complement, "a whole state word", stored.word)?;
    Ok(State {
        word: stored.word,
        epoch: stored.epoch,
        directory_root: stored.directory_root,
        leaves: stored.leaves,
        null_leaves: stored.null_leaves,
        model_root: stored.model_root,
        model_len: stored.model_len,
        model_kind: stored.model_kind,
        model_birth: stored.model_birth,
        stale: (stored.stale_from, stored.stale_to),
        model_leaves,
        active: tree(stored.active_root, stored.active_name),
        frozen: tree(stored.frozen_root, stored.frozen_name),
        watermark: read_fence(page, WATERMARK_AT),
        values,
        nulls,
        history: history.into(),
    })
}

fn tree(root: Block, name: u64) -> Option<Tree> {
    (root != 0).then_some(Tree { root, name })
}

/// The edits that put another state into a metapage.
pub fn change<C: Code>(page: &PageBytes, state: &State<C>) -> Vec<Edit> {
    let mut changed = *page;
    write_state(&mut changed, state);
    difference(page, &changed)
}

/// Offset of the state word in the metapage; the next eight bytes hold its complement.
pub const WORD_AT: usize = STATE_AT;

/// The state word, without any other check. `None` if only half of a change is there.
pub fn word(page: &PageBytes) -> Option<u64> {
    let (word, complement): (u64, u64) = (read(page, WORD_AT), read(page, WORD_AT + 8));
    (word == !complement).then_some(word)
}

/// The incarnation, without any check: a guess at which build this is.
pub fn incarnation<C>(page: &PageBytes) -> u64 {
    read(page, identity_at::<C>() + 8)
}
