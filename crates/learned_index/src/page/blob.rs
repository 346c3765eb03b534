//! Pages that carry the model's bytes, each linked to the next.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{
    CONTENT_END, CONTENT_START, PageBytes, PageKind, check_kind, new_page, read, seal, set_lower,
    verify_seal, write,
};
use crate::corruption::{Result, ensure_at_most};
use crate::entry::Block;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    /// The page with the bytes that follow; 0: these are the last ones.
    next: u32,
    len: u32,
}

const BYTES_AT: usize = CONTENT_START + size_of::<Header>();

/// Bytes that fit a page.
pub const CAPACITY: usize = CONTENT_END - BYTES_AT;

/// A page with at most [`CAPACITY`] bytes.
pub fn encode(bytes: &[u8], next: Option<Block>, birth: u64) -> PageBytes {
    let mut page = new_page(PageKind::Model, birth);
    let header = Header { next: next.unwrap_or(0), len: bytes.len() as u32 };
    write(&mut page, CONTENT_START, &header);
    let end = BYTES_AT + bytes.len();
    page[BYTES_AT..end].copy_from_slice(bytes);
    set_lower(&mut page, end);
    seal(&mut page, CONTENT_START..end);
    page
}

/// Reads a page: its bytes, and the page that goes on.
pub fn decode(page: &PageBytes) -> Result<(&[u8], Option<Block>)> {
    check_kind(page, PageKind::Model, "a model page")?;
    verify_seal(page)?;
    let header: Header = read(page, CONTENT_START);
    let len = header.len as usize;
    ensure_at_most!(len, CAPACITY, "bytes of a model in a page")?;
    Ok((&page[BYTES_AT..BYTES_AT + len], (header.next != 0).then_some(header.next)))
}
