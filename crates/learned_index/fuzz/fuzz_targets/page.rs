#![no_main]

use learned_index::page::PageKind;
use libfuzzer_sys::fuzz_target;

#[path = "../decode.rs"]
mod decode;

fuzz_target!(|input: &[u8]| {
    let Some((&first, bytes)) = input.split_first() else { return };
    let kind = match first % 5 {
        0 => PageKind::Meta,
        1 => PageKind::Leaf,
        2 => PageKind::Directory,
        3 => PageKind::Model,
        _ => PageKind::Tombstones,
    };
    decode::decode_everything(bytes, kind);
});
