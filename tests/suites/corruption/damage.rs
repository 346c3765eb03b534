//! Pages of a real index file, what each is for, and ways to damage them.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngCore};

pub(super) const PAGE: usize = 8192;
/// Where the trailer begins.
const TRAILER: usize = 8168;

/// What a page is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Meta,
    Leaf,
    LeafWithDead,
    LeafWithMap,
    Map,
    Directory,
    UpperDirectory,
    Model,
    DeltaLeaf,
    DeltaInner,
    Free,
}

pub(super) const ROLES: [Role; 11] = [
    Role::Meta,
    Role::Leaf,
    Role::LeafWithDead,
    Role::LeafWithMap,
    Role::Map,
    Role::Directory,
    Role::UpperDirectory,
    Role::Model,
    Role::DeltaLeaf,
    Role::DeltaInner,
    Role::Free,
];

fn number(page: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([page[at], page[at + 1]])
}

/// The role that a page says it has.
fn role_of(page: &[u8]) -> Role {
    match page[TRAILER + 16] {
        1 => Role::Meta,
        2 if page[28..32] != [0; 4] => Role::LeafWithMap,
        2 if number(page, 24) > 0 => Role::LeafWithDead,
        2 => Role::Leaf,
        3 if number(page, 24) > 0 => Role::UpperDirectory,
        3 => Role::Directory,
        4 => Role::Model,
        5 => Role::Map,
        6 => Role::Free,
        7 if number(page, 60) > 0 => Role::DeltaInner,
        7 => Role::DeltaLeaf,
        other => panic!("a page of kind {other}"),
    }
}

/// The blocks of a role.
pub(super) fn blocks(file: &[u8], role: Role) -> Vec<usize> {
    let pages = file.chunks(PAGE).enumerate();
    pages.filter(|(_, page)| role_of(page) == role).map(|(block, _)| block).collect()
}

/// What happens to a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// A few bytes.
    Bytes,
    Zeros,
    /// Anything at all.
    Noise,
    /// The second half was never written.
    Torn,
    /// The bytes of another page of the kind, or of any.
    Copied,
    /// Two pages have changed places.
    Swapped,
    /// A page of another index.
    Foreign,
    /// The file ends before it.
    CutOff,
    /// The file ends within it.
    CutThrough,
}

pub(super) const DAMAGES: [Damage; 9] = [
    Damage::Bytes,
    Damage::Zeros,
    Damage::Noise,
    Damage::Torn,
    Damage::Copied,
    Damage::Swapped,
    Damage::Foreign,
    Damage::CutOff,
    Damage::CutThrough,
];

/// Damages one page of a role. Returns the file, and whether something that means anything is
/// damaged for certain.
pub(super) fn inflict(
    whole: &[u8],
    foreign: &[u8],
    role: Role,
    damage: Damage,
    random: &mut StdRng,
) -> (Vec<u8>, bool) {
    let mut file = whole.to_vec();
    let candidates = blocks(whole, role);
    let block = *candidates.choose(random).unwrap();
    let at = block * PAGE;
    let others: Vec<usize> = candidates.iter().copied().filter(|&other| other != block).collect();
    let any = random.random_range(0..whole.len() / PAGE);
    let other = others.choose(random).copied().unwrap_or(any) * PAGE;
    match damage {
        Damage::Bytes => {
            // What the trailer says of the kind, and the first fields of the content.
            let offset = [TRAILER + 14, 24, 40, 60][random.random_range(0..4)];
            for byte in &mut file[at + offset..at + offset + 6] {
                *byte ^= random.random_range(1..=255u8);
            }
        }
        Damage::Zeros => file[at..at + PAGE].fill(0),
        Damage::Noise => random.fill_bytes(&mut file[at..at + PAGE]),
        Damage::Torn => file[at + PAGE / 2..at + PAGE].fill(0),
        Damage::Copied => file.copy_within(other..other + PAGE, at),
        Damage::Swapped => {
            file.copy_within(other..other + PAGE, at);
            file[other..other + PAGE].copy_from_slice(&whole[at..at + PAGE]);
        }
        Damage::Foreign => {
            let blocks = blocks(foreign, role);
            let other = blocks[random.random_range(0..blocks.len())] * PAGE;
            file[at..at + PAGE].copy_from_slice(&foreign[other..other + PAGE]);
        }
        Damage::CutOff => file.truncate(at),
        Damage::CutThrough => file.truncate(at + PAGE / 3),
    }
    // Free pages may say anything, and one model is as good as another.
    let cut = matches!(damage, Damage::CutOff | Damage::CutThrough);
    let meant = match (role, damage) {
        _ if cut => whole[at..].chunks(PAGE).any(|page| role_of(page) != Role::Free),
        (Role::Free, _) | (Role::Model, Damage::Foreign) => false,
        _ => file[at..at + PAGE] != whole[at..at + PAGE],
    };
    (file, meant)
}
