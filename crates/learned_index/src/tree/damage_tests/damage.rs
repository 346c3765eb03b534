//! Ways in which a page can be damaged.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngCore};

use super::subject::{ROLES, Role, Subject};
use crate::entry::Block;
use crate::key::{Code, Sample};
use crate::page::{PAGE_SIZE, PageBytes};
use crate::store::Store;
use crate::store::memory::MemoryStore;

/// What happened to one page, or to two.
#[derive(Clone, Debug)]
pub(super) enum Damage {
    /// A bit at a byte is another one.
    Bit(usize, u8),
    /// Bytes were written over it.
    Bytes(usize, Vec<u8>),
    /// Nothing is left.
    Zeros,
    /// The second half was never written.
    Torn,
    /// Anything at all.
    Noise,
    /// It changed places with another page.
    Swapped(Block),
    /// It has the bytes of another page.
    Copied(Block),
    /// It is the page of another index.
    Foreign,
    /// It is as it was some time ago: a write was lost.
    Earlier,
    /// The file ends before it.
    CutOff,
}

/// One case: the page, what it is for, and the damage.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) block: Block,
    pub(super) role: Role,
    pub(super) damage: Damage,
}

impl Case {
    pub(super) fn random<C: Sample>(subject: &Subject<C>, random: &mut StdRng) -> Case {
        let role = *ROLES.choose(random).unwrap();
        let blocks = subject.blocks(role);
        let block = *blocks.choose(random).unwrap();
        // Another page of the same kind, more often than any other.
        let same = random.random_range(0..4) > 0;
        let others: Vec<Block> = match same {
            true => blocks.iter().copied().filter(|&other| other != block).collect(),
            false => (0..subject.store.blocks()).filter(|&other| other != block).collect(),
        };
        let other = others.choose(random).copied().unwrap_or(0);
        let damage = match random.random_range(0..14) {
            0..4 => Damage::Bit(random.random_range(0..PAGE_SIZE), 1 << random.random_range(0..8)),
            4..6 => {
                let mut bytes = vec![0; random.random_range(1..40)];
                random.fill_bytes(&mut bytes);
                // Headers, the first entries, and the trailer decide most.
                let at = match random.random_range(0..4) {
                    0 => random.random_range(PAGE_SIZE - 40..PAGE_SIZE),
                    1 => random.random_range(0..PAGE_SIZE),
                    _ => random.random_range(0..140),
                };
                bytes.truncate(PAGE_SIZE - at);
                Damage::Bytes(at, bytes)
            }
            6 => Damage::Zeros,
            7 => Damage::Torn,
            8 => Damage::Noise,
            9 => Damage::Swapped(other),
            10 => Damage::Copied(other),
            11 => Damage::Foreign,
            12 => Damage::Earlier,
            _ => Damage::CutOff,
        };
        Case { block, role, damage }
    }

    /// Damages a copy of the index. Returns whether that changed anything that means something.
    pub(super) fn inflict<C: Sample>(
        &self,
        subject: &Subject<C>,
        foreign: &Subject<C>,
        store: &MemoryStore<C>,
    ) -> bool {
        let mut random: StdRng = rand::SeedableRng::seed_from_u64(u64::from(self.block));
        let whole = subject.page(self.block);
        let mut page = whole;
        let mut other = None;
        match &self.damage {
            Damage::Bit(at, bit) => page[*at] ^= bit,
            Damage::Bytes(at, bytes) => page[*at..at + bytes.len()].copy_from_slice(bytes),
            Damage::Zeros => page.fill(0),
            Damage::Torn => page[PAGE_SIZE / 2..].fill(0),
            Damage::Noise => random.fill_bytes(&mut page),
            Damage::Swapped(block) => {
                page = subject.page(*block);
                other = Some((*block, whole));
            }
            Damage::Copied(block) => page = subject.page(*block),
            Damage::Foreign => {
                let blocks = foreign.blocks(self.role);
                page = foreign.page(blocks[self.block as usize % blocks.len()]);
            }
            Damage::Earlier => page = *subject.earlier.read(self.block, 0),
            Damage::CutOff => {
                store.truncate(self.block);
                let after = &subject.roles[self.block as usize..];
                return after.iter().any(|role| *role != Role::Free);
            }
        }
        store.damage(self.block, |bytes| *bytes = page);
        let mut matters = differ::<C>(self.role, &whole, &page);
        // A model is a hint; one that fits as well is as good.
        matters &= !matches!((self.role, &self.damage), (Role::Model, Damage::Foreign));
        if let Some((block, bytes)) = other {
            store.damage(block, |old| *old = bytes);
            matters |= differ::<C>(subject.roles[block as usize], &subject.page(block), &bytes);
        }
        matters
    }
}

/// Whether two pages differ in more than bytes that mean nothing:
///
/// - the position in the WAL and the checksum in PostgreSQL's header, which are PostgreSQL's
/// - what a free page says
/// - the list of dead slots in a leaf that has a page for them by now
fn differ<C: Code>(role: Role, one: &PageBytes, other: &PageBytes) -> bool {
    const WAL_POSITION_AND_CHECKSUM: usize = 10;
    if role == Role::Free {
        return false;
    }
    let mut meaning = (*one, *other);
    for page in [&mut meaning.0, &mut meaning.1] {
        page[..WAL_POSITION_AND_CHECKSUM].fill(0);
    }
    if role == Role::LeafWithMap
        && let Ok(head) = crate::page::leaf::Head::<C>::parse(one, 0)
    {
        let lower = usize::from(u16::from_le_bytes([one[12], one[13]]));
        for page in [&mut meaning.0, &mut meaning.1] {
            page[head.of(one).tombstones_at()..lower].fill(0);
        }
    }
    meaning.0 != meaning.1
}
