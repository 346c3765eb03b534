//! On-disk layouts. Every page is a standard PostgreSQL page: header, content, hole, trailer.
//!
//! - [`meta`]: block 0, what the index is and which pages are current; [`history`]: what was done
//!   last to it
//! - [`directory`]: sorted leaf fences with their blocks
//! - [`leaf`]: blocks of entries; [`leaf_builder`] fills them; [`tombstone`] marks dead entries;
//!   `slots` is what some of its entries have; `outline` is what a session remembers of where
//!   things are in one
//! - [`blob`]: the model's bytes
//! - [`delta`]: pages of a delta tree, which takes inserts
//! - [`edit`]: small changes of a page, as they are logged
//!
//! Everything is little-endian, at fixed offsets with explicit padding. What is written once is
//! *sealed* by a checksum in the trailer; what changes in place (tombstones, the metapage's
//! state) lies outside the seal.

pub mod blob;
pub mod delta;
pub mod directory;
pub mod edit;
pub mod history;
pub mod leaf;
pub mod leaf_builder;
pub mod meta;
pub(crate) mod outline;
pub(crate) mod slots;
pub mod tombstone;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::corruption::{Corruption, Result, ensure, ensure_that};
use crate::entry::{Block, Fence, HeapTid};
use crate::key::Code;

pub use edit::{Edit, apply};

#[cfg(target_endian = "big")]
compile_error!("pages are little-endian; big-endian machines are not supported");

/// Bytes of a page; PostgreSQL's default BLCKSZ, the only one supported.
pub const PAGE_SIZE: usize = 8192;
/// The bytes of one page.
pub type PageBytes = [u8; PAGE_SIZE];

/// Version of all layouts together; another one needs REINDEX unless this crate still reads it.
pub const FORMAT_VERSION: u8 = 5;

/// End of PostgreSQL's page header (`PageHeaderData` of bufpage.h).
pub(crate) const CONTENT_START: usize = 24;
/// Begin of the trailer, PostgreSQL's "special space".
pub(crate) const CONTENT_END: usize = PAGE_SIZE - size_of::<Trailer>();

/// Offsets in PostgreSQL's page header.
const PD_LOWER: usize = 12;
const PD_UPPER: usize = 14;
const PD_SPECIAL: usize = 16;
const PD_PAGESIZE_VERSION: usize = 18;
/// Page size and layout version 4, as PageSetPageSizeAndVersion writes them.
const PAGESIZE_VERSION: u16 = PAGE_SIZE as u16 | 4;

/// What a page is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PageKind {
    /// Block 0.
    Meta = 1,
    /// Learned leaf.
    Leaf = 2,
    /// Fences and blocks of leaves, or of other directory pages.
    Directory = 3,
    /// A piece of the model.
    Model = 4,
    /// A leaf's tombstones, once they outgrow the leaf.
    Tombstones = 5,
    /// Nothing.
    Free = 6,
    /// A page of a delta tree.
    Delta = 7,
}

/// The last bytes of each page.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Trailer {
    /// Epoch of the index in which the page was written; of a page of a
    /// delta tree, the state word that the tree was opened with, its name.
    birth: u64,
    /// CRC-32 of the sealed bytes and of the trailer's other fields.
    checksum: u32,
    sealed_from: u16,
    sealed_to: u16,
    kind: u8,
    version: u8,
    magic: u16,
    padding: u32,
}

const TRAILER_MAGIC: u16 = 0x4C49;

const _: () = assert!(size_of::<Trailer>() == 24 && CONTENT_END == 8168);

/// A fence as stored, behind its code.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct StoredPosition {
    tid_block: u32,
    tid_offset: u16,
    class: u8,
    padding: u8,
}

const _: () = assert!(size_of::<StoredPosition>() == 8 && fence_len::<u64>() == 16);

/// Bytes of a stored fence.
pub(crate) const fn fence_len<C>() -> usize {
    size_of::<C>() + size_of::<StoredPosition>()
}

/// Reads the fence at `at`, which the caller knows to lie inside the page.
#[inline(always)]
pub(crate) fn read_fence<C: Code>(page: &PageBytes, at: usize) -> Fence<C> {
    let stored: StoredPosition = read(page, at + size_of::<C>());
    let tid = HeapTid::new(stored.tid_block, stored.tid_offset);
    Fence { class: stored.class, code: read(page, at), tid }
}

/// Writes a fence at `at`.
pub(crate) fn write_fence<C: Code>(page: &mut PageBytes, at: usize, fence: Fence<C>) {
    debug_assert!(fence.tid < HeapTid::AFTER_ALL, "a position that can be stored");
    let stored = StoredPosition {
        tid_block: fence.tid.block(),
        tid_offset: fence.tid.offset(),
        class: fence.class,
        padding: 0,
    };
    write(page, at, &fence.code);
    write(page, at + size_of::<C>(), &stored);
}

/// Reads a fixed layout at `at`, which the caller knows to lie inside the page.
pub(crate) fn read<T: FromBytes>(page: &PageBytes, at: usize) -> T {
    let bytes = page.get(at..).unwrap_or(&[]);
    T::read_from_prefix(bytes).map_or_else(|_| T::new_zeroed(), |(value, _)| value)
}

/// Writes a fixed layout at `at`.
pub(crate) fn write<T: IntoBytes + Immutable>(page: &mut PageBytes, at: usize, value: &T) {
    page[at..at + size_of::<T>()].copy_from_slice(value.as_bytes());
}

/// A new page without content.
pub(crate) fn new_page(kind: PageKind, birth: u64) -> PageBytes {
    let mut page = [0; PAGE_SIZE];
    write(&mut page, PD_UPPER, &(CONTENT_END as u16));
    write(&mut page, PD_SPECIAL, &(CONTENT_END as u16));
    write(&mut page, PD_PAGESIZE_VERSION, &PAGESIZE_VERSION);
    let trailer = Trailer {
        birth,
        checksum: 0,
        sealed_from: 0,
        sealed_to: 0,
        kind: kind as u8,
        version: FORMAT_VERSION,
        magic: TRAILER_MAGIC,
        padding: 0,
    };
    write(&mut page, CONTENT_END, &trailer);
    set_lower(&mut page, CONTENT_START);
    page
}

/// Sets where the content ends. Everything from there to the trailer is the hole, which
/// PostgreSQL does not keep.
pub(crate) fn set_lower(page: &mut PageBytes, lower: usize) {
    write(page, PD_LOWER, &(lower as u16));
}

/// The bytes that a new `pd_lower` changes in the page: an edit for the log.
pub(crate) fn lower_edit(lower: usize) -> (u16, [u8; 2]) {
    (PD_LOWER as u16, (lower as u16).to_le_bytes())
}

fn checksum_of(page: &PageBytes, trailer: &Trailer) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    let sealed = usize::from(trailer.sealed_from)..usize::from(trailer.sealed_to);
    hasher.update(page.get(sealed).unwrap_or(&[]));
    hasher.update(Trailer { checksum: 0, ..*trailer }.as_bytes());
    hasher.finalize()
}

/// Seals bytes that nothing changes after they are written.
pub(crate) fn seal(page: &mut PageBytes, sealed: std::ops::Range<usize>) {
    let mut trailer: Trailer = read(page, CONTENT_END);
    trailer.sealed_from = sealed.start as u16;
    trailer.sealed_to = sealed.end as u16;
    trailer.checksum = checksum_of(page, &trailer);
    write(page, CONTENT_END, &trailer);
}

/// The checksum in a page's seal.
pub(crate) fn checksum(page: &PageBytes) -> u32 {
    read::<Trailer>(page, CONTENT_END).checksum
}

/// Checks the seal. As costly as reading the whole page: for the first look at a page, and for
/// checks.
pub fn verify_seal(page: &PageBytes) -> Result<()> {
    let trailer: Trailer = read(page, CONTENT_END);
    let sum = checksum_of(page, &trailer);
    if sum != trailer.checksum {
        return Err(Corruption::new("the page's checksum", trailer.checksum.into()));
    }
    Ok(())
}

/// Checks what no reader looks at: the rest of PostgreSQL's header, and that there is nothing in
/// the hole. `end` is where the content ends.
pub(crate) fn verify_rest(page: &PageBytes, end: usize) -> Result<()> {
    const PD_FLAGS: usize = 10;
    const PD_PRUNE_XID: usize = 20;
    let flags: u16 = read(page, PD_FLAGS);
    let prune_xid: u32 = read(page, PD_PRUNE_XID);
    let (lower, upper): (u16, u16) = (read(page, PD_LOWER), read(page, PD_UPPER));
    let (special, version): (u16, u16) = (read(page, PD_SPECIAL), read(page, PD_PAGESIZE_VERSION));
    let standard = flags == 0
        && prune_xid == 0
        && usize::from(upper) == CONTENT_END
        && usize::from(special) == CONTENT_END
        && version == PAGESIZE_VERSION;
    ensure_that(standard, "a page header of PostgreSQL")?;
    ensure(usize::from(lower) == end, "pd_lower where the content ends", lower.into())?;
    let hole = page.get(end..CONTENT_END).unwrap_or(&[]);
    ensure_that(hole.iter().all(|&byte| byte == 0), "nothing in the hole")
}

/// Where PostgreSQL's header says that the content ends.
pub(crate) fn lower(page: &PageBytes) -> usize {
    usize::from(read::<u16>(page, PD_LOWER))
}

/// Checks all of a page that can be checked by itself, of whatever kind it is: its seal, its
/// header, its hole. Free pages may say anything.
pub(crate) fn verify_whole<C: Code>(page: &PageBytes, block: Block) -> Result<()> {
    verify_all_of::<C>(page, block).map_err(|corruption| corruption.at(block))
}

fn verify_all_of<C: Code>(page: &PageBytes, block: Block) -> Result<()> {
    let trailer: Trailer = read(page, CONTENT_END);
    let is = |kind: PageKind| trailer.kind == kind as u8;
    if is(PageKind::Tombstones) {
        // These have no seal.
        let plain = [trailer.birth, trailer.checksum.into(), trailer.padding.into()];
        let sealed = u32::from(trailer.sealed_from) + u32::from(trailer.sealed_to);
        ensure_that(plain == [0; 3] && sealed == 0, "the trailer of a tombstone page")?;
        return verify_rest(page, CONTENT_END);
    }
    verify_seal(page)?;
    let sealed_to = usize::from(trailer.sealed_to);
    match () {
        // The list of dead slots may go on behind the seal.
        () if is(PageKind::Leaf) => {
            verify_rest(page, leaf::Head::<C>::parse(page, block)?.of(page).content_end())
        }
        () if is(PageKind::Delta) => verify_rest(page, delta::content_end::<C>(page, block)?),
        () => verify_rest(page, sealed_to),
    }
}

/// Checks that a page is of one kind and of a version that this crate reads.
#[inline]
pub(crate) fn check_kind(page: &PageBytes, kind: PageKind, expected: &'static str) -> Result<()> {
    let trailer: Trailer = read(page, CONTENT_END);
    ensure(
        trailer.magic == TRAILER_MAGIC,
        "the magic number of a learned index",
        trailer.magic.into(),
    )?;
    if trailer.version != FORMAT_VERSION {
        return Err(other_format(page, trailer.version));
    }
    ensure(trailer.kind == kind as u8, expected, trailer.kind.into())
}

/// What is wrong with a page that says it has another format: that it has, if its seal is whole.
/// The seal covers the trailer, which every format has in this place, so a damaged byte is not
/// taken for another format.
#[cold]
fn other_format(page: &PageBytes, format: u8) -> Corruption {
    match verify_seal(page) {
        Ok(()) => Corruption::other_version(format.into()),
        Err(_) => Corruption::new("the format byte that was written", format.into()),
    }
}

/// A page that is free.
pub fn free_page() -> PageBytes {
    new_page(PageKind::Free, 0)
}

/// Whether a page has entries: whether it is a leaf, learned or of a delta tree. What is damaged
/// may be called either.
pub fn has_entries(page: &PageBytes) -> bool {
    is_kind(page, PageKind::Leaf) || is_kind(page, PageKind::Delta)
}

/// Whether a page may be written over: it is free, or was never written.
pub fn is_free(page: &PageBytes) -> bool {
    is_kind(page, PageKind::Free) || page.iter().all(|&byte| byte == 0)
}

/// Whether a page is of one kind and of a version that this crate reads.
pub(crate) fn is_kind(page: &PageBytes, kind: PageKind) -> bool {
    check_kind(page, kind, "a page of a kind").is_ok()
}

/// The epoch in which the page was written; of a delta tree's page, the tree's name.
pub fn birth(page: &PageBytes) -> u64 {
    read::<Trailer>(page, CONTENT_END).birth
}

/// Makes a sealed page one of another format.
#[doc(hidden)]
pub fn forge_format(page: &mut PageBytes, format: u8) {
    let trailer: Trailer = read(page, CONTENT_END);
    write(page, CONTENT_END, &Trailer { version: format, ..trailer });
    seal(page, usize::from(trailer.sealed_from)..usize::from(trailer.sealed_to));
}

/// Gives any bytes a valid trailer and seal, so that fuzzers and tests get past them to the
/// decoders.
#[doc(hidden)]
pub fn forge(page: &mut PageBytes, kind: PageKind, sealed: std::ops::Range<u16>) {
    let fresh = new_page(kind, 0);
    page[CONTENT_END..].copy_from_slice(&fresh[CONTENT_END..]);
    seal(page, usize::from(sealed.start)..usize::from(sealed.end));
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [PageKind; 4] =
        [PageKind::Meta, PageKind::Directory, PageKind::Leaf, PageKind::Delta];

    fn sealed_page(kind: PageKind) -> PageBytes {
        let mut page = new_page(kind, 5);
        page[CONTENT_START..CONTENT_START + 40].fill(0xA5);
        seal(&mut page, CONTENT_START..CONTENT_START + 40);
        page
    }

    fn format_of(page: &PageBytes, kind: PageKind) -> Option<u64> {
        check_kind(page, kind, "a page").err().and_then(|corruption| corruption.version())
    }

    #[test]
    fn a_page_of_another_format_says_so() {
        for kind in KINDS {
            let mut page = sealed_page(kind);
            assert_eq!(check_kind(&page, kind, "a page"), Ok(()));
            forge_format(&mut page, FORMAT_VERSION + 1);
            assert_eq!(format_of(&page, kind), Some(u64::from(FORMAT_VERSION) + 1));
        }
    }

    #[test]
    fn a_damaged_byte_is_never_taken_for_another_format() {
        for kind in KINDS {
            let whole = sealed_page(kind);
            for (at, mask) in (0..PAGE_SIZE).flat_map(|at| (0..8).map(move |bit| (at, 1 << bit))) {
                let mut page = whole;
                page[at] ^= mask;
                assert_eq!(format_of(&page, kind), None, "byte {at}");
            }
        }
    }
}
