//! Arbitrary bytes in place of any page: a value or an error, never a panic, a hang or a read out
//! of bounds. `fuzz/` runs the same function under a coverage-guided fuzzer.

use learned_index::page::PageKind;
use proptest::prelude::*;

#[path = "../fuzz/decode.rs"]
mod decode;

const KINDS: [PageKind; 5] =
    [PageKind::Meta, PageKind::Leaf, PageKind::Directory, PageKind::Model, PageKind::Tombstones];

/// Bytes that look like a page in the places that decide how far a decoder gets: small numbers
/// in headers, and now and then anything.
fn page_bytes() -> impl Strategy<Value = Vec<u8>> {
    let small = prop_oneof![4 => 0u8..8, 1 => any::<u8>()];
    let sparse =
        prop::collection::vec(prop_oneof![6 => Just(0u8), 2 => small, 1 => any::<u8>()], 24..2_000);
    let dense = prop::collection::vec(any::<u8>(), 24..8_168);
    prop_oneof![3 => sparse, 1 => dense]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_as_any_page_give_a_value_or_an_error(bytes in page_bytes(), kind in 0usize..5) {
        decode::decode_everything(&bytes, KINDS[kind]);
    }

    #[test]
    fn a_leaf_header_over_any_blocks_gives_a_value_or_an_error(
        entries in 1u32..3_000, blocks in 1u16..5, stride in any::<u16>(), class in 0u8..4,
        body in prop::collection::vec(prop_oneof![2 => 0u8..6, 1 => any::<u8>()], 60..4_000),
        twist in prop_oneof![3 => Just(0u16), 1 => any::<u16>()],
    ) {
        let mut bytes = vec![0u8; 80];
        bytes[64..68].copy_from_slice(&entries.to_le_bytes());
        bytes[68..70].copy_from_slice(&blocks.to_le_bytes());
        bytes[70..72].copy_from_slice(&stride.to_le_bytes());
        bytes[72..74].copy_from_slice(&((80 + body.len()) as u16).to_le_bytes());
        bytes[74] = class;
        bytes.extend_from_slice(&body);
        // The block table: slots that mostly ascend, offsets behind the table.
        for block in 0..blocks {
            let at = 80 + 12 * usize::from(block);
            let slot = (u32::from(block) * entries / u32::from(blocks)) as u16 ^ twist;
            let offset = 80 + 12 * blocks + block * 17;
            bytes[at + 8..at + 10].copy_from_slice(&slot.to_le_bytes());
            bytes[at + 10..at + 12].copy_from_slice(&offset.to_le_bytes());
        }
        decode::decode_everything(&bytes, PageKind::Leaf);
    }
}
